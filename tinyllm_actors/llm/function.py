"""The Function that calls a model: retries, time-outs and typed failures around the port."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.errors import ModelError, ModelTimeout
from tinyllm_actors.function import Call, Function
from tinyllm_actors.kernel import Backoff
from tinyllm_actors.llm.model import Completed, Completion, TextDelta
from tinyllm_actors.llm.provider import LEASE, open_provider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tinyllm_actors.kernel import ActorRef
    from tinyllm_actors.llm.model import ChatModel, ChatRequest, StreamEvent

__all__ = ["LLM"]


class LLM(Function):
    """Answers a `ChatRequest` with `{"completion": Completion}`, or streams the model's events and then that.

    A failure that may pass is tried again, after the provider's `Retry-After` or a growing wait, as long as the
    deadline allows and no output was delivered.

    Args:
        model: a model, or a name such as `"openai/gpt-4o-mini"`.
        model_options: for the adapter (`api_key`, `api_base`, `temperature` …), if `model` is a name.
        idle_timeout: seconds that the model may be silent: until the whole answer, or until the next piece of a
            stream. If in doubt, leave it.
        max_retries: how often a call is tried again.
        backoff: how long to wait before each retry, unless the provider says.
        **options: of `Function`.
    """

    def __init__(
        self,
        model: str | ChatModel,
        *,
        model_options: Mapping[str, Any] | None = None,
        idle_timeout: float = 120.0,
        max_retries: int = 3,
        backoff: Backoff | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not idle_timeout > 0 or max_retries < 0:
            raise ValueError(f"need idle_timeout > 0 and max_retries >= 0, got {idle_timeout!r} and {max_retries!r}")
        self._model = model
        self._model_options = model_options
        self._idle_timeout = idle_timeout
        self._max_retries = max_retries
        self._backoff = backoff or Backoff(0.5, 30.0, jitter=0.25)
        self._provider: ActorRef | None = None

    async def started(self) -> None:
        """Find the model's provider, and open the model if nobody has."""
        self._provider = await open_provider(self.context.system, self._model, self._model_options)
        if self.display_name is None:
            self.display_name = type(await self._lease()).__name__.removesuffix("Model")
        await super().started()

    async def _lease(self) -> ChatModel:
        assert self._provider is not None
        return await self._provider.ask(LEASE)

    async def run(self, request: ChatRequest) -> dict[str, Completion]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the whole answer."""

        async def once(model: ChatModel, watch: _Watch) -> Completion:
            return await model.complete(request)

        return {"completion": await self._with_retries(once)}

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Stream the model's events, without `Completed`, and then the dictionary of the call."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `ref.stream(request=…)`")

        async def run(request: ChatRequest) -> dict[str, Completion]:
            async def once(model: ChatModel, watch: _Watch) -> Completion:
                async with model.stream(request) as events:
                    async for event in events:
                        if isinstance(event, Completed):
                            return event.completion
                        watch.feed(event)
                        await emit(event)
                        watch.rest()
                raise ModelError(f"the stream of {model.name!r} ended without a completion", output_started=True)

            return {"completion": await self._with_retries(once)}

        await emit(await self._call(message.arguments, run))

    async def _with_retries(self, once: Callable[[ChatModel, _Watch], Awaitable[Completion]]) -> Completion:
        attempt = 0
        while True:
            model = await self._lease()
            remaining = self.context.remaining()
            # A little before the caller's deadline, so that the caller still hears what was the matter.
            patience = min(self._idle_timeout, remaining - min(0.5, remaining * 0.1))
            watch = _Watch(self, patience)
            try:
                with watch.scope:
                    return await once(model, watch)
                raise watch.error(model.name)
            except ModelError as error:
                if not error.retryable or error.output_started or watch.delivered or attempt >= self._max_retries:
                    raise
                delay = max(self._backoff.delay(attempt, random.random()), error.retry_after or 0.0)
                if delay >= self.context.remaining():
                    raise
            finally:
                watch.close()
            attempt += 1
            await anyio.sleep(delay)


class _Watch:
    """Cancels a call whose model is silent for too long. Costs one look at the clock for each event."""

    def __init__(self, llm: LLM, patience: float) -> None:
        self._system = llm.context.system
        self._patience = patience
        self._text: list[str] = []
        self._fed_at = self._system.now()
        self._waits_for_reader = False
        self.delivered = False
        self.scope = anyio.CancelScope()
        self._entry = self._system.timers.at(self._fed_at + patience, self)

    def feed(self, event: StreamEvent) -> None:
        """An event came; from now on the reader is waited for, not the model."""
        self.delivered = True
        self._waits_for_reader = True
        if type(event) is TextDelta:
            self._text.append(event.text)

    def rest(self) -> None:
        """The reader has the event; the model's turn."""
        self._waits_for_reader = False
        self._fed_at = self._system.now()

    def expire(self) -> None:
        now = self._system.now()
        due = now + self._patience if self._waits_for_reader else self._fed_at + self._patience
        if now < due:
            self._entry = self._system.timers.at(due, self)
        else:
            self.scope.cancel()

    def close(self) -> None:
        self._system.timers.cancel(self._entry)

    def error(self, name: str) -> ModelTimeout:
        return ModelTimeout(
            f"model {name!r} was silent for {self._patience:.3g} s; raise idle_timeout if it needs longer",
            output_started=self.delivered,
            partial="".join(self._text),
            model=name,
        )
