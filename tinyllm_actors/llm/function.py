"""The Function that calls a model: retries, time-outs and typed failures around the port."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.errors import ActorError, ConfigurationError, ModelError, StartFailed
from tinyllm_actors.function import Call, Function
from tinyllm_actors.function.tracing import current_observation
from tinyllm_actors.kernel import Backoff
from tinyllm_actors.llm.attempts import Attempts, Setup
from tinyllm_actors.llm.budget import active_budgets, chain
from tinyllm_actors.llm.ladder import Ladder, LadderMemory
from tinyllm_actors.llm.limits import ModelChoice
from tinyllm_actors.llm.max_tokens import Sizing
from tinyllm_actors.llm.messages import UserMessage
from tinyllm_actors.llm.model import ChatRequest, Completed
from tinyllm_actors.llm.next_step import FALLBACK_ON, Patience
from tinyllm_actors.llm.ref import LLMRef, SwapModel
from tinyllm_actors.llm.route import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tinyllm_actors.llm.budget import Budget
    from tinyllm_actors.llm.limits import Limits
    from tinyllm_actors.llm.max_tokens import MaxTokensStrategy
    from tinyllm_actors.llm.messages import ContentPart
    from tinyllm_actors.llm.model import ChatModel, Completion
    from tinyllm_actors.llm.model_info import ModelInfo
    from tinyllm_actors.llm.structured import StructuredOutput
    from tinyllm_actors.llm.watch import Watch

__all__ = ["LLM"]

_BACKOFF: Final = Backoff(0.5, 30.0, jitter=0.25)


class LLM(Function):
    """Answers a `ChatRequest` with `{"completion": Completion}`, or streams the model's events and then that.

    A failure that may pass is tried again, after the provider's `Retry-After` or a growing wait, as long as the
    deadline allows and no output was delivered. Then the next of the `fallbacks` is asked. After a 429 all callers of
    the model wait, once.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.errors import Overloaded
    >>> from tinyllm_actors.llm import LLM, ChatRequest, Limits, UserMessage
    >>> from tinyllm_actors.testing import ScriptedModel, fail, text
    >>> async def main() -> str:
    ...     first = ScriptedModel([fail(Overloaded("try later"))], name="first")
    ...     second = ScriptedModel([text("Hello!")], name="second")
    ...     async with ActorSystem("service") as system:
    ...         spec = LLM.spec(first, fallbacks=[second], max_retries=0, limits=Limits(requests_per_minute=60))
    ...         llm = await system.spawn(spec)
    ...         result = await llm(request=ChatRequest(messages=[UserMessage("Hi")]))
    ...         return result["output"]["completion"].message.content
    >>> anyio.run(main)
    'Hello!'

    ```

    Args:
        model: a model, or a name such as `"openai/gpt-4o-mini"`.
        model_options: for the adapter (`api_key`, `api_base`, `temperature` …), if `model` is a name.
        idle_timeout: seconds that the model may be silent: until the whole answer, or until the next piece of a
            stream. If in doubt, leave it.
        max_retries: how often a call is tried again.
        backoff: how long to wait before each retry, unless the provider says.
        limits: what all callers of this model may do together; see `Limits`.
        fallbacks: models to ask, one after the other, when this one cannot answer: names, models or `ModelChoice`s.
        fallback_on: failures after which the next is asked; left out, those that another provider may not have, so
            neither a refused request nor a prompt that is too long.
        fallback_after: seconds that a retry, or the call's turn, may be away while there is another model to ask.
        context_window_fallback: the model to ask when a prompt is too long for the others.
        max_tokens: how long answers may be, where the request does not say: a number of tokens or a strategy.
        expected_io_ratio: for `MaxTokensStrategy.EXPECTED_RATIO`: tokens of answer for each token of prompt.
        budget: what its calls may use, in addition to the budgets that are active where it is called.
        known_models: prices and sizes of models that the library does not know, or knows differently, by name.
        **options: of `Function`.

    Raises:
        ConfigurationError: an argument has no meaning.
    """

    ref_type = LLMRef
    observation_kind = "generation"

    def __init__(
        self,
        model: str | ChatModel,
        *,
        model_options: Mapping[str, Any] | None = None,
        idle_timeout: float = 120.0,
        max_retries: int = 3,
        backoff: Backoff | None = None,
        limits: Limits | None = None,
        fallbacks: Sequence[str | ChatModel | ModelChoice] = (),
        fallback_on: tuple[type[Exception], ...] = FALLBACK_ON,
        fallback_after: float = 5.0,
        context_window_fallback: str | ChatModel | ModelChoice | None = None,
        max_tokens: int | MaxTokensStrategy | None = None,
        expected_io_ratio: float = 1.0,
        budget: Budget | None = None,
        known_models: Mapping[str, ModelInfo] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not idle_timeout > 0 or max_retries < 0 or not fallback_after >= 0:
            raise ConfigurationError(
                f"need idle_timeout > 0, max_retries >= 0 and fallback_after >= 0, got {idle_timeout!r}, "
                f"{max_retries!r} and {fallback_after!r}"
            )
        self._choice = ModelChoice(model, model_options, limits)
        self._fallbacks = [_choice(fallback) for fallback in fallbacks]
        self._wider = None if context_window_fallback is None else _choice(context_window_fallback)
        self._budget = budget
        self._known_models = known_models
        self._sizing = None if max_tokens is None else Sizing(max_tokens, expected_io_ratio)
        self._patience = Patience(
            idle_timeout=idle_timeout,
            max_retries=max_retries,
            backoff=backoff or _BACKOFF,
            fallback_on=fallback_on,
            fallback_after=fallback_after,
        )
        self._setup: Setup | None = None
        self._cheaper: dict[str | ChatModel, Route] = {}
        self._ladders = LadderMemory()

    async def started(self) -> None:
        """Find the model's provider, and open the model if nobody has."""
        route = self._route(self._choice)
        try:
            model = (await route.lease()).model
            if self.display_name is None:
                self.display_name = type(model).__name__.removesuffix("Model")
        except StartFailed as error:
            # A model that is down for now is what fallbacks are for; one that is set up wrongly is to be mended.
            if not self._fallbacks or not isinstance(error.cause, ModelError):
                raise
        self._setup = Setup(
            patience=self._patience,
            routes=[route, *map(self._route, self._fallbacks)],
            wider=None if self._wider is None else self._route(self._wider),
            sizing=self._sizing,
            route_to=self._route_to,
        )
        await super().started()

    def _route(self, choice: ModelChoice) -> Route:
        return Route(self.context.system, choice, self._known_models)

    def _route_to(self, model: str | ChatModel) -> Route:
        """Return the way to the cheaper model of a budget, for which this one's options do not hold."""
        route = self._cheaper.get(model)
        if route is None:
            self._cheaper[model] = route = self._route(ModelChoice(model))
        return route

    async def receive(self, message: Any) -> Any:
        """Handle a call, or take another model."""
        if type(message) is Call:
            return await self._call(message.arguments)
        if type(message) is SwapModel:
            return await self._swap(message.choice)
        raise TypeError(f"{self.name} takes calls and SwapModel, got {type(message).__name__}")

    async def _swap(self, choice: ModelChoice) -> Exception | None:
        """Open another model and call it from now on; if it does not open, keep this one and return why."""
        assert self._setup is not None
        route = self._route(choice)
        try:
            await route.lease()
        except (ActorError, ConfigurationError) as error:
            return error
        self._setup = replace(self._setup, routes=[route, *self._setup.routes[1:]])
        return None

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        request: ChatRequest | None = None,
        output: StructuredOutput[Any] | None = None,
        content: str | list[ContentPart] | None = None,
    ) -> dict[str, Completion]:
        """Return the whole answer.

        Args:
            request: what is asked.
            output: makes the model answer in a type, in the way that it is best at.
            content: instead of a request, one message of a user.
        """
        return {"completion": await self._attempts(_request(request, content), output, _complete).answer()}

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Stream the model's events, without `Completed`, and then the dictionary of the call."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `ref.stream(request=…)`")

        async def run(
            request: ChatRequest | None = None,
            output: StructuredOutput[Any] | None = None,
            content: str | list[ContentPart] | None = None,
        ) -> dict[str, Completion]:
            async def once(model: ChatModel, request: ChatRequest, watch: Watch) -> Completion:
                observation = current_observation()
                async with model.stream(request) as events:
                    async for event in events:
                        if observation is not None:
                            observation.first_output()
                        if isinstance(event, Completed):
                            return event.completion
                        watch.feed(event)
                        await emit(event)
                        watch.rest()
                raise ModelError(f"the stream of {model.name!r} ended without a completion", output_started=True)

            return {"completion": await self._attempts(_request(request, content), output, once).answer()}

        await emit(await self._call(message.arguments, run))

    def _attempts(
        self,
        request: ChatRequest,
        output: StructuredOutput[Any] | None,
        call: Callable[[ChatModel, ChatRequest, Watch], Awaitable[Completion]],
    ) -> Attempts:
        assert self._setup is not None
        active = active_budgets()
        budgets = chain(self._budget, *active) if active or self._budget is not None else ()
        ladder = None if output is None else Ladder(output, self._ladders.of(output))
        return Attempts(self._setup, request, ladder, budgets, self.context, call)


def _choice(model: str | ChatModel | ModelChoice) -> ModelChoice:
    return model if isinstance(model, ModelChoice) else ModelChoice(model)


def _request(request: ChatRequest | None, content: str | list[ContentPart] | None) -> ChatRequest:
    if request is not None and content is None:
        return request
    if content is not None and request is None:
        return ChatRequest(messages=[UserMessage(content)])
    raise TypeError("call an LLM with either request=ChatRequest(…) or content='…'")


def _complete(model: ChatModel, request: ChatRequest, watch: Watch) -> Awaitable[Completion]:
    return model.complete(request)
