"""The agent: a supervisor of its model, memory and tools, and a Function that answers a user with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from tinyllm_actors.agent.desk import Control, Desk
from tinyllm_actors.agent.events import RunFinished, RunStarted
from tinyllm_actors.agent.handoff import Handoff
from tinyllm_actors.agent.input import check_input
from tinyllm_actors.agent.loop import Loop
from tinyllm_actors.agent.parts import Parts
from tinyllm_actors.agent.ref import DESK, AgentRef
from tinyllm_actors.agent.scope import RunScope, current_scope
from tinyllm_actors.agent.settings import RunSettings
from tinyllm_actors.agent.states import AGENT, AgentStates, AgentStep
from tinyllm_actors.conversation.run_journal import Recall
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function import Call, Function, unwrap
from tinyllm_actors.kernel import ActorRef, Backoff, ChildSpec, Supervisor
from tinyllm_actors.llm import LLM, StructuredOutput, SystemMessage
from tinyllm_actors.memory import BufferMemory
from tinyllm_actors.tool import Tool, Toolkit, ToolSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from tinyllm_actors.agent.events import AgentEvent
    from tinyllm_actors.agent.prompting import Prompting
    from tinyllm_actors.conversation import Resumption, RunJournal
    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.llm import ChatModel, Message
    from tinyllm_actors.llm.messages import ContentPart
    from tinyllm_actors.prompting import ExampleManager, PromptManager
    from tinyllm_actors.tool import ToolOutcome

__all__ = ["Agent"]

_MOVES = {edge: AGENT.walk(edge[0], edge[1:]) for edge in AGENT.edges}
DEFAULT_SYSTEM_ROLE = "You are a helpful assistant."


class Agent(Function):
    """Answers a user, with a model that may ask for tools, and remembers the conversation.

    `await agent(content="…")` answers `{"status": "success", "output": {"response": …}}`, where the response is a
    `chat.completion` object of OpenAI's wire form; `answer_text(result)` is what it says. `agent.stream(content="…")`
    delivers typed events, the last of which carries the same dictionary. `AgentRef` says how to reach a run while it
    goes on.

    A tool that raises, hangs or crashes fails its call, of which the model is told, never the conversation. Every
    model call has an idle time-out, every tool call a deadline, every run its limits. Whatever ends a run, the history
    stays valid and keeps what was completed.

    An agent inside of another one, as a tool or by hand-off, counts on both: limits can be tightened inside, never
    widened.

    Args:
        model: a model, a name such as `"openai/gpt-4o-mini"` or `"local"`, or the spec of an `LLM`, which has more
            options (rate limits, fallbacks, budgets …).
        model_options: for the adapter (`api_key`, `api_base`, `temperature` …).
        system_role: standing instructions.
        example_manager: examples of questions and answers to show the model; those that are selected, once in a run.
        initial_user_message_text: what a user says before everything else.
        answer_format: how to answer, in words.
        time_aware: tell the model when the run began, to the minute, in UTC.
        prompt_manager: puts all of these together, and fits them into the model's context; they are options of it then.
        tools: functions, tools, toolkits, sources of tools, and hand-offs that the model may use.
        memory: the spec of a `Memory`, or a reference to one that is shared; left out, the newest 100 messages.
        max_steps: model calls that one run may make, those of agents inside of it included. The last one is made
            without tools, so that it is an answer; a run that needs more ends with `StepLimitExceeded`.
        max_tool_calls: tool calls of one run, likewise; of one more the model is told that there is none.
        max_tool_calls_per_turn: those of one model message; likewise.
        max_tool_concurrency: tool calls of one turn that run at the same time.
        max_tokens: tokens of one run's model calls; beyond, it ends with `BudgetExceeded`.
        max_usd: US dollars of one run's model calls; likewise.
        max_seconds: of one run; then it ends with `TimeLimitExceeded`.
        max_depth: agents that may work inside of one another, this one included; `DelegationTooDeep`.
        tool_retries: how often the model may repeat the same calls with the same results before it has to answer
            without tools.
        approval_timeout: seconds that a call waits for a person before it is denied; None for as long as the caller
            waits.
        idle_timeout: seconds that the model may be silent; 120 if left out.
        max_retries: how often a model call that failed for the moment is tried again; 3 if left out.
        backoff: how long to wait before each retry, unless the provider says; left out, half a second, doubling.
        output_model: the type of the answer: a pydantic model, any type that pydantic knows, or a `StructuredOutput`.
            The value is `output["value"]`; an answer that does not fit goes back to the model with what is wrong.
        on_tools: called, and awaited if it says so, with the outcomes of each round of tool calls. If it raises, the
            run fails.
        on_event: likewise with every event of every run, streamed or not.
        journal: what records its runs; given by a conversation.
        **options: of `Function`: `name`, `run_evaluators`, `processed_output_evaluators`, `user_id`, `session_id` …

    Raises:
        ConfigurationError: an argument has no meaning; the message names it.
    """

    ref_type = AgentRef
    observation_kind = "agent"
    input_validator: ClassVar[Any] = staticmethod(check_input)
    # A part that keeps failing makes the agent fail, and its own supervisor decides.
    supervision: ClassVar[Supervisor | None] = Supervisor(max_restarts=5, period=30.0)

    if not TYPE_CHECKING:  # to checkers it takes what the constructor does: see `Actor.spec`

        @classmethod
        def spec(cls, *args: Any, **kwargs: Any) -> ChildSpec:
            """Return how to make this agent. Functions among its tools are looked at now, once for all that it makes.

            Raises:
                ConfigurationError: one of them can be no tool.
            """
            tools = kwargs.get("tools")
            if tools is not None and not isinstance(tools, Toolkit):
                entries = [
                    entry if isinstance(entry, Toolkit | ToolSource | Handoff) else Tool.of(entry) for entry in tools
                ]
                tools = [entry for entry in entries if not isinstance(entry, Handoff)]
                shared = Toolkit(tools, max_concurrency=kwargs.get("max_tool_concurrency", 8))
                kwargs["tools"] = shared if len(tools) == len(entries) else entries
            return super().spec(*args, **kwargs)

    def __init__(
        self,
        *,
        model: str | ChatModel | ChildSpec,
        model_options: Mapping[str, Any] | None = None,
        system_role: str = DEFAULT_SYSTEM_ROLE,
        example_manager: ExampleManager | None = None,
        initial_user_message_text: str | None = None,
        answer_format: str | None = None,
        time_aware: bool = False,
        prompt_manager: PromptManager | None = None,
        tools: Iterable[Tool[..., Any] | Toolkit | ToolSource | Handoff | Callable[..., Any]] | Toolkit = (),
        memory: ChildSpec | ActorRef | None = None,
        max_steps: int = 50,
        max_tool_calls: int | None = None,
        max_tool_calls_per_turn: int = 1000,
        max_tool_concurrency: int = 8,
        max_tokens: int | None = None,
        max_usd: float | None = None,
        max_seconds: float | None = None,
        max_depth: int = 8,
        tool_retries: int = 3,
        approval_timeout: float | None = None,
        idle_timeout: float | None = None,
        max_retries: int | None = None,
        backoff: Backoff | None = None,
        output_model: Any = None,
        on_tools: Callable[[Sequence[ToolOutcome]], Awaitable[Any] | Any] | None = None,
        on_event: Callable[[AgentEvent], Awaitable[Any] | Any] | None = None,
        journal: RunJournal | None = None,
        **options: Any,
    ) -> None:
        for name in options.keys() - (Function.__init__.__kwdefaults__ or {}).keys():
            raise TypeError(
                f"{type(self).__name__} has no option {name!r}; what is for its model goes into "
                f"model_options={{{name!r}: …}}"
            )
        super().__init__(**options)
        self._settings = RunSettings(
            max_steps=max_steps,
            tool_retries=tool_retries,
            max_tool_calls=max_tool_calls,
            max_tool_calls_per_turn=max_tool_calls_per_turn,
            max_tokens=max_tokens,
            max_usd=max_usd,
            max_seconds=max_seconds,
            approval_timeout=approval_timeout,
            max_depth=max_depth,
            on_tools=on_tools,
            on_event=on_event,
        )
        self._toolkit, self._handoffs = _sort(tools, max_tool_concurrency)
        self._prompting: Prompting | None = None
        of_prompts = {
            "example_manager": example_manager,
            "initial_user_message_text": initial_user_message_text,
            "answer_format": answer_format,
            "time_aware": time_aware,
        }
        if prompt_manager is not None or any(of_prompts.values()):
            from tinyllm_actors.agent.prompting import prompting_for  # only these agents pay for it

            own_role = system_role != DEFAULT_SYSTEM_ROLE
            self._prompting = prompting_for(model, prompt_manager, system_role, of_prompts, own_role=own_role)
        self._llm_spec = _llm_spec(
            model,
            model_options=model_options,
            idle_timeout=idle_timeout,
            max_retries=max_retries,
            backoff=backoff,
            **({} if self._prompting is None else self._prompting.llm_options()),
            **self._identity(),
        )
        self._output: StructuredOutput[Any] | None = None
        if output_model is not None:
            self._output = (
                output_model if isinstance(output_model, StructuredOutput) else StructuredOutput(output_model)
            )
        self._memory_source = memory or BufferMemory.spec()
        if journal is not None and isinstance(memory, ActorRef):
            raise ConfigurationError(
                f"memory={memory!r} is shared; a conversation fills its own from the journal: give the spec of a memory"
            )
        self._head: list[Message] = [SystemMessage(system_role)] if system_role else []
        self._journal = journal
        self._activity = AgentStates.READY
        self._activity_since = 0.0
        self._parts: Parts | None = None

    async def started(self) -> None:
        """Start the parts."""
        context = self.context
        control = Control()
        await context.spawn(Desk.spec(control), name=DESK)
        if isinstance(self._memory_source, ActorRef):
            memory = cast("FunctionRef", self._memory_source)
        else:
            memory = await context.spawn(self._memory_source, name="memory")
        toolkit = await context.spawn(self._toolkit.spec(**self._identity()), name="toolkit") if self._toolkit else None
        llm = await context.spawn(self._llm_spec, name="llm")
        if self._prompting is not None:
            await self._prompting.start(context)
        self._parts = Parts(
            context=context,
            settings=self._settings,
            control=control,
            head=self._head,
            prompting=self._prompting,
            output=self._output,
            llm=llm,
            memory=memory,
            toolkit=self._toolkit,
            toolkit_ref=toolkit,
            handoffs=self._handoffs,
            journal=self._journal,
            move=self._move,
        )
        await super().started()

    async def receive(self, message: Any) -> Any:
        """Handle a call, or what a conversation tells of the past."""
        if type(message) is Recall:
            assert self._parts is not None
            unwrap(await self._parts.memory(messages=message.messages, clear=True))
            return None
        return await super().receive(message)

    # --- a run -------------------------------------------------------------------------------------

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        content: str | list[ContentPart],
        history: Sequence[Message] = (),
        resumption: Resumption | None = None,
    ) -> dict[str, Any]:
        """Answer `content`.

        Args:
            content: what the user says: text, or parts.
            history: what was said elsewhere before; the model is shown it, and it is not remembered.
            resumption: of a conversation's turn that was not finished when the process ended.
        """
        return await self._loop(None).run(content, history, resumption)

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Answer as events."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `agent.stream(content=…)`")
        run_id = self.context.message_id
        await emit(RunStarted(run_id, self.context.path))

        async def run(
            content: str | list[ContentPart],
            history: Sequence[Message] = (),
            resumption: Resumption | None = None,
        ) -> dict[str, Any]:
            return await self._loop(emit).run(content, history, resumption)

        await emit(RunFinished(await self._call(message.arguments, run), run_id))

    def _loop(self, emit: Callable[[Any], Awaitable[None]] | None) -> Loop:
        assert self._parts is not None
        context, settings = self.context, self._settings
        scope = RunScope(
            context.path,
            max_steps=settings.max_steps,
            max_tool_calls=settings.max_tool_calls,
            max_depth=settings.max_depth,
            parent=current_scope(),
        )
        scope.enter()
        return Loop(self._parts, scope, context.message_id, emit)

    # --- what it is doing --------------------------------------------------------------------------

    def machine_states(self) -> Mapping[str, str]:
        """Return what it is doing, and where the call is."""
        return {**super().machine_states(), AGENT.name: self._activity}

    def _move(self, step: AgentStep) -> None:
        source = self._activity
        if step is AgentStep.END and source is AgentStates.READY:
            return  # the run ended before it did anything
        self._activity = AGENT.step(self.name, source, step)
        system = self.kernel_cell.system
        if system.events_stream.transitions:
            now = system.now()
            since, self._activity_since = self._activity_since, now
            self._publish_of(AGENT.name, _MOVES[source, step], now - since if since else 0.0)


def _sort(tools: Any, max_concurrency: int) -> tuple[Toolkit, dict[str, Handoff]]:
    """Tell what is run from what hands over."""
    if isinstance(tools, Toolkit):
        return tools, {}
    entries = list(tools)
    handoffs: dict[str, Handoff] = {}
    for entry in entries:
        if isinstance(entry, Handoff) and handoffs.setdefault(entry.name, entry) is not entry:
            raise ConfigurationError(f"two hand-offs are called {entry.name!r}; give one another name with name=")
    toolkit = Toolkit([entry for entry in entries if not isinstance(entry, Handoff)], max_concurrency=max_concurrency)
    for name in handoffs:
        if name in toolkit.tools:
            raise ConfigurationError(f"a hand-off and a tool are both called {name!r}; give one another name")
    return toolkit, handoffs


def _llm_spec(model: str | ChatModel | ChildSpec, **options: Any) -> ChildSpec:
    given = {key: value for key, value in options.items() if value is not None}
    if not isinstance(model, ChildSpec):
        return LLM.spec(model, **given)
    of_calls = sorted(given.keys() - {"user_id", "session_id"})
    if of_calls:
        raise ConfigurationError(f"{of_calls[0]}={given[of_calls[0]]!r} belongs into the spec given as model")
    return model
