"""The Function that calls a model: retries, time-outs and typed failures around the port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ModelError
from tinyllm_actors.function import Call, Function
from tinyllm_actors.kernel import Backoff
from tinyllm_actors.llm.attempts import Attempts, Patience
from tinyllm_actors.llm.budget import active_budgets, chain
from tinyllm_actors.llm.ladder import Ladder, LadderMemory
from tinyllm_actors.llm.model import Completed
from tinyllm_actors.llm.route import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tinyllm_actors.llm.budget import Budget
    from tinyllm_actors.llm.model import ChatModel, ChatRequest, Completion
    from tinyllm_actors.llm.model_info import ModelInfo
    from tinyllm_actors.llm.structured import StructuredOutput
    from tinyllm_actors.llm.watch import Watch

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
        budget: what its calls may use, in addition to the budgets that are active where it is called.
        known_models: prices and sizes of models that the library does not know, or knows differently, by name.
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
        budget: Budget | None = None,
        known_models: Mapping[str, ModelInfo] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not idle_timeout > 0 or max_retries < 0:
            raise ValueError(f"need idle_timeout > 0 and max_retries >= 0, got {idle_timeout!r} and {max_retries!r}")
        self._model = model
        self._model_options = model_options
        self._budget = budget
        self._known_models = known_models
        self._patience = Patience(
            idle_timeout=idle_timeout, max_retries=max_retries, backoff=backoff or Backoff(0.5, 30.0, jitter=0.25)
        )
        self._route: Route | None = None
        self._routes: dict[str | ChatModel, Route] = {}
        self._ladders = LadderMemory()

    async def started(self) -> None:
        """Find the model's provider, and open the model if nobody has."""
        self._route = Route(self.context.system, self._model, self._model_options, self._known_models)
        self._routes = {self._model: self._route}
        model = await self._route.lease()
        if self.display_name is None:
            self.display_name = type(model).__name__.removesuffix("Model")
        await super().started()

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, request: ChatRequest, output: StructuredOutput[Any] | None = None
    ) -> dict[str, Completion]:
        """Return the whole answer; `output` makes the model answer in a type, in the way that it is best at."""
        return {"completion": await self._attempts(request, output, _complete).answer()}

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Stream the model's events, without `Completed`, and then the dictionary of the call."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `ref.stream(request=…)`")

        async def run(request: ChatRequest, output: StructuredOutput[Any] | None = None) -> dict[str, Completion]:
            async def once(model: ChatModel, request: ChatRequest, watch: Watch) -> Completion:
                async with model.stream(request) as events:
                    async for event in events:
                        if isinstance(event, Completed):
                            return event.completion
                        watch.feed(event)
                        await emit(event)
                        watch.rest()
                raise ModelError(f"the stream of {model.name!r} ended without a completion", output_started=True)

            return {"completion": await self._attempts(request, output, once).answer()}

        await emit(await self._call(message.arguments, run))

    def _attempts(
        self,
        request: ChatRequest,
        output: StructuredOutput[Any] | None,
        call: Callable[[ChatModel, ChatRequest, Watch], Awaitable[Completion]],
    ) -> Attempts:
        assert self._route is not None
        active = active_budgets()
        budgets = chain(self._budget, *active) if active or self._budget is not None else ()
        ladder = None if output is None else Ladder(output, self._ladders.of(output))
        return Attempts(self._patience, self._route, request, ladder, budgets, self.context, self._route_to, call)

    def _route_to(self, model: str | ChatModel) -> Route:
        """Return the way to another model, for which this one's options do not hold."""
        route = self._routes.get(model)
        if route is None:
            self._routes[model] = route = Route(self.context.system, model, None, self._known_models)
        return route


async def _complete(model: ChatModel, request: ChatRequest, watch: Watch) -> Completion:
    return await model.complete(request)
