"""The agent: a supervisor of its model, memory and tools, and a Function that answers a user with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from tinyllm_actors.agent.decision import Act, Answer, GiveUp, decide
from tinyllm_actors.agent.events import MessageCompleted, RunFinished, RunStarted
from tinyllm_actors.agent.input import check_input
from tinyllm_actors.conversation import interrupted, repair
from tinyllm_actors.errors import ConfigurationError, FunctionFailed
from tinyllm_actors.function import Call, Function, unwrap
from tinyllm_actors.kernel import ActorRef, Backoff, ChildSpec, Supervisor
from tinyllm_actors.llm import (
    LLM,
    AssistantMessage,
    ChatRequest,
    SystemMessage,
    TextDelta,
    ToolMessage,
    ToolSchema,
    UserMessage,
)
from tinyllm_actors.memory import BufferMemory
from tinyllm_actors.tool import ListTools, ToolFinished, Toolkit, ToolRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from tinyllm_actors.function import FunctionRef, Result
    from tinyllm_actors.llm import ChatModel, Completion, Message
    from tinyllm_actors.llm.messages import ContentPart
    from tinyllm_actors.tool import Tool, ToolOutcome, ToolSource

__all__ = ["Agent"]

DEFAULT_SYSTEM_ROLE = "You are a helpful assistant."


class Agent(Function):
    """Answers a user, with a model that may ask for tools, and remembers the conversation.

    `await agent(content="…")` answers `{"status": "success", "output": {"response": …}}`, where the response is a
    `chat.completion` object of OpenAI's wire form. `agent.stream(content="…")` delivers typed events, the last of
    which carries the same dictionary.

    A tool that raises, hangs or crashes fails its call, of which the model is told, never the conversation. Every
    model call has an idle time-out, every tool call a deadline, every run a limit of steps. Whatever ends a run, the
    history stays valid and keeps what was completed.

    Args:
        model: a model, or a name such as `"openai/gpt-4o-mini"` or `"local"`.
        model_options: for the adapter (`api_key`, `api_base`, `temperature` …).
        system_role: standing instructions.
        tools: functions, tools, toolkits or sources of tools that the model may use.
        memory: the spec of a `Memory`, or a reference to one that is shared; left out, the newest 100 messages.
        max_steps: model calls that one run may make.
        tool_retries: how often the model may repeat the same calls with the same results before it has to answer
            without tools.
        idle_timeout: seconds that the model may be silent.
        max_retries: how often a model call that failed for the moment is tried again.
        backoff: how long to wait before each retry, unless the provider says; left out, half a second, doubling.
        max_tool_concurrency: tool calls of one turn that run at the same time.
        **options: of `Function`: `name`, `run_evaluators`, `processed_output_evaluators`, `user_id`, `session_id` …

    Raises:
        ConfigurationError: an argument has no meaning; the message names it.
    """

    input_validator: ClassVar[Any] = staticmethod(check_input)
    # A part that keeps failing makes the agent fail, and its own supervisor decides.
    supervision: ClassVar[Supervisor | None] = Supervisor(max_restarts=5, period=30.0)

    def __init__(
        self,
        *,
        model: str | ChatModel,
        model_options: Mapping[str, Any] | None = None,
        system_role: str = DEFAULT_SYSTEM_ROLE,
        tools: Iterable[Tool[..., Any] | Toolkit | ToolSource | Callable[..., Any]] | Toolkit = (),
        memory: ChildSpec | ActorRef | None = None,
        max_steps: int = 25,
        tool_retries: int = 3,
        idle_timeout: float = 120.0,
        max_retries: int = 3,
        backoff: Backoff | None = None,
        max_tool_concurrency: int = 8,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if max_steps < 1 or tool_retries < 1:
            raise ConfigurationError(
                f"need max_steps >= 1 and tool_retries >= 1, got {max_steps!r} and {tool_retries!r}"
            )
        if not isinstance(tools, Toolkit):
            tools = Toolkit(tools, max_concurrency=max_tool_concurrency)
        self._llm_spec = LLM.spec(
            model,
            model_options=model_options,
            idle_timeout=idle_timeout,
            max_retries=max_retries,
            backoff=backoff,
            **self._identity(),
        )
        self._toolkit_definition = tools
        self._memory_source = memory or BufferMemory.spec()
        self._system = SystemMessage(system_role) if system_role else None
        self._max_steps = max_steps
        self._tool_retries = tool_retries
        self._schemas = _schemas(tools.tools.values())
        self._llm: FunctionRef | None = None
        self._memory: FunctionRef | None = None
        self._toolkit: FunctionRef | None = None

    def _identity(self) -> dict[str, Any]:
        return {"user_id": self.user_id, "session_id": self.session_id}

    async def started(self) -> None:
        """Start the parts."""
        context = self.context
        if isinstance(self._memory_source, ActorRef):
            self._memory = cast("FunctionRef", self._memory_source)
        else:
            self._memory = await context.spawn(self._memory_source, name="memory")
        if self._toolkit_definition:
            self._toolkit = await context.spawn(self._toolkit_definition, name="toolkit")
        self._llm = await context.spawn(self._llm_spec, name="llm")
        await super().started()

    # --- a run -------------------------------------------------------------------------------------

    async def run(self, content: str | list[ContentPart]) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Answer `content`."""
        return await self._run(content, None)

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Answer as events."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `agent.stream(content=…)`")
        await emit(RunStarted(self.context.message_id, self.context.path))

        async def run(content: str | list[ContentPart]) -> dict[str, Any]:
            return await self._run(content, emit)

        await emit(RunFinished(await self._call(message.arguments, run)))

    async def _run(
        self, content: str | list[ContentPart], emit: Callable[[Any], Awaitable[None]] | None
    ) -> dict[str, Any]:
        user = UserMessage(content)
        shown = await self._remember([user])
        turn = _Turn(repair(shown[:-1] if shown and shown[-1] == user else shown), user)
        try:
            while True:
                step = decide(turn.said, steps=turn.steps, max_steps=self._max_steps, tool_retries=self._tool_retries)
                if isinstance(step, Answer):
                    assert turn.completion is not None
                    await self._remember([step.message])
                    return {"response": turn.completion.to_wire()}
                if isinstance(step, GiveUp):
                    raise step.error
                if isinstance(step, Act):
                    await self._act(turn, step, emit)
                else:
                    turn.steps += 1
                    turn.completion = completion = await self._think(turn, step.with_tools, emit)
                    turn.said.append(completion.message)
        except BaseException as error:
            # Sent without waiting, as this may be a cancellation: what was completed stays in the history.
            unsaved = turn.unsaved(error)
            if unsaved and self._memory is not None:
                self._memory.tell_nowait(Call({"messages": unsaved}))
            raise

    async def _think(self, turn: _Turn, with_tools: bool, emit: Callable[[Any], Awaitable[None]] | None) -> Completion:
        """Call the model once."""
        assert self._llm is not None
        if self._toolkit is not None and self._toolkit_definition.sources:  # whose tools may have changed
            self._schemas = _schemas(await self._toolkit.ask(ListTools()))
        head: list[Message] = [] if self._system is None else [self._system]
        request = ChatRequest(messages=[*head, *turn.history, *turn.said], tools=self._schemas if with_tools else ())
        llm = self._llm.within(None)  # bounded by its idle time-out
        turn.partial.clear()
        if emit is None:
            return unwrap(await llm(request=request))["completion"]
        async with llm.stream(request=request) as events:
            async for event in events:
                if isinstance(event, dict):
                    completion: Completion = unwrap(cast("Result", event))["completion"]
                    await emit(MessageCompleted(completion.message, completion.usage))
                    return completion
                if isinstance(event, TextDelta):
                    turn.partial.append(event.text)
                await emit(event)
        raise RuntimeError("the model's stream ended without a result")

    async def _act(self, turn: _Turn, step: Act, emit: Callable[[Any], Awaitable[None]] | None) -> None:
        """Run the tool calls of the last message; each gets exactly one result, in the order of the calls."""
        requests = [ToolRequest(call.id, call.name, call.arguments) for call in step.calls]
        turn.outcomes = {}
        if self._toolkit is None:
            results = [
                ToolMessage(call.id, "Error: there are no tools; answer without them", call.name) for call in step.calls
            ]
        else:
            async with self._toolkit.within(None).stream(calls=requests) as events:
                async for event in events:
                    if isinstance(event, ToolFinished):
                        turn.outcomes[event.outcome.call_id] = event.outcome
                    if isinstance(event, dict):
                        unwrap(cast("Result", event))
                    elif emit is not None:
                        await emit(event)
            results = turn.results()
        group: list[Message] = [turn.said[-1], *results]
        turn.said += results
        await self._remember(group)
        turn.saved = len(turn.said)

    async def _remember(self, messages: Sequence[Message]) -> list[Message]:
        """Add messages to the memory and return what it shows."""
        assert self._memory is not None
        return unwrap(await self._memory(messages=messages))["memories"]


def _schemas(tools: Iterable[Tool[..., Any]]) -> list[ToolSchema]:
    return [ToolSchema(tool.name, tool.description, tool.parameters, tool.strict) for tool in tools]


class _Turn:
    """What is known of the run in progress."""

    def __init__(self, history: list[Message], user: UserMessage) -> None:
        self.history = history
        self.said: list[Message] = [user]
        self.saved = 1  # how much of `said` is in the memory
        self.steps = 0
        self.completion: Completion | None = None
        self.outcomes: dict[str, ToolOutcome] = {}
        self.partial: list[str] = []

    def results(self) -> list[ToolMessage]:
        """Return one result for each call of the last message, in their order."""
        last = self.said[-1]
        assert isinstance(last, AssistantMessage)
        outcomes = self.outcomes
        return [
            ToolMessage(call.id, outcomes[call.id].content, call.name) if call.id in outcomes else interrupted(call)
            for call in last.tool_calls
        ]

    def unsaved(self, error: BaseException) -> list[Message]:
        """Return what a run that broke off leaves behind: closed tool calls, and the part of an answer."""
        rest = self.said[self.saved :]
        if rest:
            last = rest[-1]
            return [*rest, *self.results()] if isinstance(last, AssistantMessage) and last.tool_calls else rest
        partial = "".join(self.partial)
        if not partial and isinstance(error, FunctionFailed):
            partial = str(error.result["error"].get("partial") or "")
        return [AssistantMessage(content=partial)] if partial else []
