"""`LiteLLMModel`: the adapter itself."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio
import msgspec

from tinyllm_actors.errors import MalformedResponse, UnknownModel
from tinyllm_actors.function.tracing import current_traceparent
from tinyllm_actors.integrations.litellm.client import takes_client
from tinyllm_actors.integrations.litellm.loading import observed
from tinyllm_actors.integrations.litellm.names import capabilities_of
from tinyllm_actors.integrations.litellm.request import call_arguments, check_options
from tinyllm_actors.integrations.litellm.session import Session
from tinyllm_actors.integrations.litellm.streams import Reasons, is_stream, read_farewell, reports_of
from tinyllm_actors.integrations.litellm.usage import Prices
from tinyllm_actors.integrations.openai_compatible.events import events_of
from tinyllm_actors.llm.answer import DEFAULT_LIMITS, completion_from_wire
from tinyllm_actors.llm.assembly import ChunkAssembler
from tinyllm_actors.llm.model import Capabilities, ChatModel, Completed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from tinyllm_actors.llm.answer import AnswerLimits
    from tinyllm_actors.llm.model import ChatRequest, Completion, StreamEvent, Usage

__all__ = ["LiteLLMModel", "from_name"]

_PREFIX = "litellm/"
FAREWELL = 5.0
"""How long what follows the end of an answer (the tokens) may take, in seconds."""


class LiteLLMModel(ChatModel):
    """A model of any provider that litellm knows.

    ```python
    model = LiteLLMModel("anthropic/claude-3-5-haiku-latest", temperature=0)
    await model.open()
    completion = await model.complete(ChatRequest(messages=[UserMessage("hello")]))
    ```

    Args:
        model: litellm's name of it, `"provider/model"`.
        idle_timeout: seconds without a word from the provider, before the first and between two. A call that is not
            streamed is silent until its answer is whole: allow what the longest one takes.
        limits: how much text and how many tool calls are accepted.
        stream_usage: ask for the tokens of a streamed answer. Turn it off for a provider that refuses
            `stream_options` (Bytez, OCI).
        send_reasoning: send the model's earlier thinking back to it. Most providers refuse it; DeepSeek's thinking
            models want it between tool calls.
        send_traceparent: send the header `traceparent` with each request, as `openai_compatible` does.
        capabilities: what the model can do, when litellm's table is wrong or does not have it.
        options: for `litellm.acompletion` with each call (`api_key`, `api_base`, `temperature`, …); those of the
            request win.

    Raises:
        ConfigurationError: an option cannot be.
    """

    def __init__(
        self,
        model: str,
        *,
        idle_timeout: float = 120.0,
        limits: AnswerLimits = DEFAULT_LIMITS,
        stream_usage: bool = True,
        send_reasoning: bool = False,
        send_traceparent: bool = False,
        capabilities: Capabilities | None = None,
        **options: Any,
    ) -> None:
        check_options(options)
        self.name = model
        self._given_capabilities = capabilities
        self.capabilities = capabilities or Capabilities()
        self._limits = limits
        self._stream_usage = stream_usage
        self._send_reasoning = send_reasoning
        self._send_traceparent = send_traceparent
        self._options = options
        self._session = Session(model, options, idle_timeout=idle_timeout, takes_client=takes_client)
        self._prices: Prices | None = None

    def __repr__(self) -> str:
        """Show the model; never the key."""
        return f"LiteLLMModel({self.name!r})"

    async def open(self) -> None:
        """Import litellm, if nobody has, and find out what can be known without the network. Nothing if it is open.

        Raises:
            UnknownModel: litellm does not know the provider.
            MissingCredential: a key is surely missing.
            MissingDependency: litellm is not installed, or not in a version that works here.
        """
        if self._session.is_open:
            return
        await self._session.open()
        litellm = self._session.litellm
        self.capabilities = self._given_capabilities or capabilities_of(litellm, self.name)
        self._prices = Prices(litellm, self.name, self._session.provider)

    async def aclose(self) -> None:
        """Give up the connections; the last model on a loop clears what litellm keeps there.

        Calls that are under way fail with `ModelUnavailable`.
        """
        await self._session.aclose()

    async def complete(self, request: ChatRequest) -> Completion:
        """Return the whole answer to `request`.

        Raises:
            ModelError: see `failures`.
            ConfigurationError: an option, or a package that the provider needs.
        """
        bridge = self._session.opened(self)
        try:
            return await bridge.call(self._complete, self._arguments(request, stream=False))
        except anyio.ClosedResourceError:
            raise self._session.closed() from None

    @asynccontextmanager
    async def stream(self, request: ChatRequest) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Open the answer to `request` as events; `Completed` is the last one.

        Raises:
            ModelError: see `failures`; raised where the reader is.
            ConfigurationError: an option, or a package that the provider needs.
        """
        bridge = self._session.opened(self)
        async with bridge.stream(self._events, self._arguments(request, stream=True)) as events:
            yield events

    def _arguments(self, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
        key = self._session.api_key
        return call_arguments(
            self.name,
            request,
            self._options if key is None else {**self._options, "api_key": key},
            stream=stream,
            client=self._session.client,
            stream_usage=self._stream_usage,
            send_reasoning=self._send_reasoning,
            traceparent=current_traceparent() if self._send_traceparent else None,
        )

    # --- on asyncio ---

    # A failure is raised outside of the `except` that made it: its context would be litellm's exception, which quotes
    # requests and answers.

    async def _complete(self, arguments: dict[str, Any]) -> Completion:
        try:
            return self._completion(await self._ask(arguments))
        except (Exception, asyncio.CancelledError) as error:
            failure = self._session.failure(error)
        raise failure

    async def _events(self, arguments: dict[str, Any]) -> AsyncGenerator[StreamEvent, None]:
        assembler = ChunkAssembler(self.name, limits=self._limits)
        answer: Any = None
        try:
            answer = await self._ask(arguments)
            if hasattr(answer, "__anext__"):
                reports: list[Any] = []
                mocked = arguments.get("mock_response") is not None
                async with aclosing(self._chunks(answer, reports, mocked)) as chunks:
                    async for chunk in chunks:
                        for event in assembler.feed(chunk):
                            yield event
                yield self._completed(assembler, answer, reports)
            else:
                for event in events_of(self._completion(answer)):
                    yield event
            return
        except (Exception, asyncio.CancelledError) as error:
            failure = self._session.failure(error, assembler if _agreed(answer) else None)
        finally:
            if answer is not None and hasattr(answer, "aclose"):
                await answer.aclose()
        raise failure

    async def _ask(self, arguments: dict[str, Any]) -> Any:
        return await self._session.ask(self._session.litellm.acompletion, arguments)

    async def _chunks(self, answer: Any, reports: list[Any], mocked: bool) -> AsyncGenerator[dict[str, object], None]:
        """Yield the chunks of litellm's stream, with the provider's reason to end and without one that is made up.

        Args:
            answer: the stream.
            reports: gets what the provider says of tokens.
            mocked: there is no provider.
        """
        to_the_end = observed(self._session.litellm)  # behind the last chunk litellm works for its callbacks only
        reasons = Reasons(answer, mocked=mocked)
        reason: str | None = None
        while True:
            try:
                chunk = await self._session.patiently(anext(answer, None))
            except Exception:
                reason = reasons.given()
                if reason is None:
                    raise
                break  # the answer is whole; what broke off is the farewell
            if chunk is None:
                break
            last = getattr(answer, "sent_last_chunk", False) is True
            if last and reasons.given() is None:
                break
            yield chunk.model_dump()
            if last and not to_the_end:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(FAREWELL):
                        await read_farewell(answer, reports)
                break
        reports[:0] = reports_of(answer)
        if reason is not None:
            yield {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}

    def _completion(self, response: Any) -> Completion:
        completion = completion_from_wire(response.model_dump(), self.name, limits=self._limits)
        return _tidied(completion, self._opened_prices.of_answer(completion.usage, response))

    def _completed(self, assembler: ChunkAssembler, answer: Any, reports: list[Any]) -> Completed:
        if not assembler.started and (assembler.finish_reason is None or not is_stream(answer)):
            raise MalformedResponse(f"{self.name}: the provider answered, but not with a stream; check api_base")
        return Completed(_tidied(assembler.finish().completion, self._opened_prices.of_stream(reports)))

    @property
    def _opened_prices(self) -> Prices:
        assert self._prices is not None
        return self._prices


def from_name(name: str, options: Mapping[str, object]) -> LiteLLMModel:
    """Return the model that a string names: `"provider/model"`, with or without `"litellm/"` before it.

    Args:
        name: the string.
        options: the arguments of `LiteLLMModel`.

    Raises:
        UnknownModel: it names nothing. Whether litellm knows the provider is found out by `open()`.
        ConfigurationError: an option cannot be.
    """
    model = name.removeprefix(_PREFIX)
    if not model.strip("/ "):
        raise UnknownModel(f"{name!r} names no model; write it as 'provider/model', such as 'openai/gpt-4o-mini'")
    check_options(options)  # before one of them meets an argument of the same name
    return LiteLLMModel(model, **cast("dict[str, Any]", options))


def _agreed(answer: Any) -> bool:
    """Tell whether the provider has agreed to stream; for some, litellm asks it only when the first chunk is wanted."""
    return answer is not None and getattr(answer, "completion_stream", answer) is not None


def _tidied(completion: Completion, usage: Usage | None) -> Completion:
    """Add the price, and drop a field that litellm adds to say nothing."""
    extra = {name: value for name, value in completion.extra.items() if value or name != "provider_specific_fields"}
    return msgspec.structs.replace(completion, usage=usage, extra=extra)
