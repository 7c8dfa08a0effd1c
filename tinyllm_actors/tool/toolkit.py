"""A set of tools that are called together: concurrently, under a cap, with one outcome for each call."""

from __future__ import annotations

import difflib
import itertools
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

import anyio

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function import Call, Function
from tinyllm_actors.kernel import Supervisor
from tinyllm_actors.tool.actor import ToolFunction
from tinyllm_actors.tool.approval import ApprovalRequest, decided_arguments, needs_approval
from tinyllm_actors.tool.definition import Tool
from tinyllm_actors.tool.outcome import ToolFinished, ToolOutcome, ToolRequest, ToolStarted
from tinyllm_actors.tool.result import cut_result
from tinyllm_actors.tool.source import ListTools, ToolsChanged, ToolSource, merge_tools, topic
from tinyllm_actors.tool.telling import Observer, Teller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from tinyllm_actors.function import FunctionRef, Result
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["Toolkit", "ToolkitFunction"]


class Toolkit:
    """Tools with distinct names, as an agent gets them.

    Args:
        tools: tools, functions, other toolkits, or sources of tools that are known only at run time.
        name: what it is called in the log.
        max_concurrency: calls of one turn that run at the same time. If in doubt, leave it.
        slack: seconds beyond a tool's own time-out after which its actor counts as stuck and is replaced.

    Raises:
        ConfigurationError: two tools have the same name, or something is no tool.
    """

    def __init__(
        self,
        tools: Iterable[Tool[..., Any] | Toolkit | ToolSource | Callable[..., Any]],
        *,
        name: str = "Toolkit",
        max_concurrency: int = 8,
        slack: float = 2.0,
    ) -> None:
        if max_concurrency < 1:
            raise ConfigurationError(f"max_concurrency must be at least 1, got {max_concurrency!r}")
        self.name = name
        self.max_concurrency = max_concurrency
        self.slack = slack
        self.tools: dict[str, Tool[..., Any]] = {}
        self.sources: list[ToolSource] = []
        for entry in tools:
            if isinstance(entry, ToolSource):
                self.sources.append(entry)
                continue
            if isinstance(entry, Toolkit):
                self.sources += entry.sources
            for tool in entry.tools.values() if isinstance(entry, Toolkit) else [Tool.of(entry)]:
                if tool.name in self.tools:
                    raise ConfigurationError(f"two tools are called {tool.name!r}; give one another name with name=")
                self.tools[tool.name] = tool

    def with_tools(self, tools: Iterable[Tool[..., Any]]) -> Toolkit:
        """Return the same toolkit with the tools of the moment, as its actor answers `ListTools`, in it."""
        now = copy(self)
        now.tools = {tool.name: tool for tool in tools}
        return now

    def spec(self, *, user_id: str | None = None, session_id: str | None = None) -> ChildSpec:
        """Return how to make the actor that runs these tools.

        Args:
            user_id: on whose behalf they run; tools find it in their `ToolContext`.
            session_id: as part of what, likewise.
        """
        known = {"user_id": user_id, "session_id": session_id}
        given = {key: value for key, value in known.items() if value is not None}  # most agents have neither
        return ToolkitFunction.spec(self, **given).named(self.name)

    def approvals(self, calls: Iterable[ToolRequest], *, expires_at: float | None = None) -> list[ApprovalRequest]:
        """Return a question for each of these calls that a person has to decide on, in their order.

        Calls that carry a decision need no other, and calls that will be refused anyway (no such tool, arguments that
        do not fit) need none. Nothing runs but `requires_approval`, where it is a function.
        For tools of sources, ask the toolkit's actor: `Toolkit(await ref.ask(ListTools())).approvals(calls)`.

        ```python
        >>> from tinyllm_actors import Toolkit, tool
        >>> from tinyllm_actors.tool import ToolRequest
        >>> @tool(requires_approval=lambda arguments: arguments["amount"] > 100)
        ... def pay(amount: int) -> str:
        ...     '''Pay.'''
        ...     return "paid"
        >>> calls = [ToolRequest("a", "pay", '{"amount": 5}'), ToolRequest("b", "pay", '{"amount": 500}')]
        >>> [question.call_id for question in Toolkit([pay]).approvals(calls)]
        ['b']

        ```

        Args:
            calls: as a model asked for them.
            expires_at: when the questions are no longer open, in seconds of Unix time.
        """
        return [
            ApprovalRequest(
                call_id=call.call_id,
                name=call.name,
                arguments=call.arguments,
                description=tool.description,
                expires_at=expires_at,
            )
            for call in calls
            if call.decision is None
            and (tool := self.tools.get(call.name)) is not None
            and needs_approval(tool, call.arguments)
        ]

    def __len__(self) -> int:
        return len(self.tools)

    def __bool__(self) -> bool:
        return bool(self.tools or self.sources)


class ToolkitFunction(Function):
    """Supervises the actors of its tools and runs the calls of a turn.

    Its argument is `calls`, a list of `ToolRequest`; its output is `{"outcomes": [ToolOutcome, …]}` in the order of
    the calls. Its stream delivers `ToolStarted`, `ToolProgress` and `ToolFinished` as they happen; a call may give
    `observe` instead, a quick plain function that gets them at once, for a third of the cost. A call whose tool
    fails, hangs or crashes has an outcome that says so; the others do not notice.

    Either may give `settle`, a quick plain function that gets each outcome in the moment in which the tool has ended,
    so that none is lost on its way here when the call is cancelled.

    It answers `ListTools` with the tools there are now: its own, and those of its sources. A source that does not
    answer, or a name that comes twice, is a failed start; after later changes the first keeps the name.
    """

    supervision: ClassVar[Supervisor | None] = Supervisor(max_restarts=100, period=10.0, backoff=None)
    observation_kind = "chain"

    def __init__(self, toolkit: Toolkit, **options: Any) -> None:
        options.setdefault("name", toolkit.name)
        super().__init__(**options)
        self._toolkit = toolkit
        self._tools = toolkit.tools
        self._sourced: dict[str, tuple[Tool[..., Any], ...]] = {}
        self._free: dict[str, list[FunctionRef]] = {}
        self._extra = itertools.count(2)

    async def started(self) -> None:
        """Start one actor for each tool; more are started while calls of the same tool run side by side."""
        for tool in self._toolkit.tools.values():
            self._free[tool.name] = [await self._spawn(tool, tool.name)]
        for source in self._toolkit.sources:
            ref = await source.open(self.context.system)
            self.context.system.group(topic(ref.path)).join(self.context.ref)
            self._sourced[ref.path] = tuple(await ref.ask(ListTools(), timeout=source.answer_timeout))
        if self._sourced:
            self._tools, clashes = merge_tools(self._toolkit.tools, self._sourced.values())
            if clashes:
                raise ConfigurationError(f"two tools are called {clashes[0]!r}; give those of a source a prefix")
        await super().started()

    async def receive(self, message: Any) -> Any:
        """Handle a call, a question for the tools, or news of a source."""
        if type(message) is ListTools:
            return list(self._tools.values())
        if type(message) is ToolsChanged:
            return await self._change(message)
        return await super().receive(message)

    async def _change(self, news: ToolsChanged) -> None:
        self._sourced[news.source] = news.tools
        before = self._tools
        self._tools, clashes = merge_tools(self._toolkit.tools, self._sourced.values())
        for name in clashes:
            import structlog

            structlog.get_logger("tinyllm_actors.tool").warning("tool left out: its name is taken", tool=name)
        # Their actors run the old definitions; whoever is called next gets one of the new.
        for name in [name for name, tool in before.items() if self._tools.get(name) is not tool]:
            for ref in self._free.pop(name, []):
                await ref.stop()

    async def _spawn(self, tool: Tool[..., Any], name: str | None) -> FunctionRef:
        spec = ToolFunction.spec(tool, **self._identity())
        return await self.context.spawn(spec, name=name or f"{tool.name}~{next(self._extra)}")

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        calls: Sequence[ToolRequest],
        observe: Callable[[object], None] | None = None,
        settle: Callable[[ToolOutcome], None] | None = None,
    ) -> dict[str, list[ToolOutcome]]:
        """Run the calls and return their outcomes."""
        return {"outcomes": await self._run_all(calls, None if observe is None else Observer(observe), settle)}

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Run the calls, telling what happens, and then the dictionary of the call."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `ref.stream(calls=…)`")

        async def run(
            calls: Sequence[ToolRequest], settle: Callable[[ToolOutcome], None] | None = None
        ) -> dict[str, list[ToolOutcome]]:
            return {"outcomes": await self._run_all(calls, Teller(emit), settle)}

        result: Result = await self._call(message.arguments, run)
        await emit(result)

    async def _run_all(
        self,
        calls: Sequence[ToolRequest],
        teller: Teller | Observer | None,
        settle: Callable[[ToolOutcome], None] | None,
    ) -> list[ToolOutcome]:
        if len(calls) == 1:
            return [await self._run_one(calls[0], teller, settle)]
        outcomes: list[ToolOutcome | None] = [None] * len(calls)

        async def run_one(index: int) -> None:
            outcomes[index] = await self._run_one(calls[index], teller, settle)

        # Runs of calls that may overlap, cut wherever a sequential tool is called.
        batch: list[int] = []
        for index, call in enumerate(calls):
            tool = self._tools.get(call.name)
            if tool is not None and tool.sequential:
                await _together(run_one, batch, self._toolkit.max_concurrency)
                await run_one(index)
                batch = []
            else:
                batch.append(index)
        await _together(run_one, batch, self._toolkit.max_concurrency)
        return [outcome for outcome in outcomes if outcome is not None]

    async def _run_one(
        self, call: ToolRequest, teller: Teller | Observer | None, settle: Callable[[ToolOutcome], None] | None
    ) -> ToolOutcome:
        if teller is not None:
            await teller.tell(ToolStarted(call.call_id, call.name, decided_arguments(call.arguments, call.decision)))
        tool = self._tools.get(call.name)
        if tool is None:
            outcome = self._refusal(call, "UnknownTool", self._unknown(call.name))
            if settle is not None:
                settle(outcome)
        else:
            outcome = await self._run_tool(tool, call, teller, settle)
        if teller is not None:
            await teller.tell(ToolFinished(outcome))
        return outcome

    async def _run_tool(
        self,
        tool: Tool[..., Any],
        call: ToolRequest,
        teller: Teller | Observer | None,
        settle: Callable[[ToolOutcome], None] | None,
    ) -> ToolOutcome:
        free = self._free.setdefault(tool.name, [])
        while free and not free[-1].alive:
            free.pop()
        ref = free.pop() if free else await self._spawn(tool, None)
        bound = None if tool.timeout is None else (tool.timeout + self._toolkit.slack) * (tool.retries + 1)
        arguments: dict[str, Any] = {"arguments": call.arguments, "call_id": call.call_id}
        if call.idempotency_key:
            arguments["idempotency_key"] = call.idempotency_key
        if call.decision is not None:
            arguments["decision"] = call.decision
        settled: ToolOutcome | None = None
        if settle is not None:

            def ended(result: Result) -> None:
                nonlocal settled
                settle(settled := self._outcome(tool, call, result))

            arguments["ended"] = ended
        try:
            if teller is None:
                result = await ref.within(bound)(**arguments)
            else:
                reports = teller.reports(self.context, call)
                try:
                    result = await ref.within(bound)(**arguments, report=reports.report)
                    await reports.finish()
                finally:
                    reports.drop()
        except BaseException:
            self._give_back(tool, ref, free)  # its own call is being cancelled, and it is ready for the next
            raise
        if result["status"] == "error" and result["error"]["type"] in {"AskTimeout", "Unresponsive"}:
            self.context.start_task(ref.kill, name=f"replace {tool.name}")  # it swallows its cancellation
        else:
            self._give_back(tool, ref, free)
        if settled is not None:
            return settled
        outcome = self._outcome(tool, call, result)
        if settle is not None:  # it did not come to its end: it was late, or crashed
            settle(outcome)
        return outcome

    def _outcome(self, tool: Tool[..., Any], call: ToolRequest, result: Result) -> ToolOutcome:
        if result["status"] == "success":
            output = result["output"]
            return ToolOutcome(call.call_id, call.name, output["content"], full=output.get("full"))
        return self._refusal(call, result["error"]["type"], cut_result(result["message"], tool.max_result_chars))

    def _give_back(self, tool: Tool[..., Any], ref: FunctionRef, free: list[FunctionRef]) -> None:
        if self._free.get(tool.name) is free:
            free.append(ref)
        else:  # the definition changed meanwhile
            self.context.start_task(ref.stop, name=f"stop {tool.name}")

    @staticmethod
    def _refusal(call: ToolRequest, error: str, message: str) -> ToolOutcome:
        return ToolOutcome(call.call_id, call.name, f"Error: {message}", "error", error)

    def _unknown(self, name: str) -> str:
        names = list(self._tools)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"there is no tool {name!r}.{hint} The tools are: {', '.join(names) or 'none'}"


async def _together(run_one: Callable[[int], Awaitable[None]], indexes: list[int], cap: int) -> None:
    """Run the calls at these indexes, at most `cap` at a time."""
    if not indexes:
        return
    if len(indexes) == 1:
        await run_one(indexes[0])
        return
    waiting = iter(indexes)

    async def work() -> None:
        for index in waiting:
            await run_one(index)

    async with anyio.create_task_group() as group:
        for _ in range(min(cap, len(indexes))):
            group.start_soon(work)
