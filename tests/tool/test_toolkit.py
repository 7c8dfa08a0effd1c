"""The actors of tools: one outcome for each call, whatever the tool does."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors import Actor, ActorRef, ActorSystem, Tool, Toolkit, tool
from tinyllm_actors.errors import ActorFailed, ConfigurationError, ToolRetry
from tinyllm_actors.tool import (
    ListTools,
    ToolContext,
    ToolFinished,
    ToolOutcome,
    ToolProgress,
    ToolRequest,
    ToolsChanged,
    ToolSource,
    ToolStarted,
)

pytestmark = pytest.mark.anyio


def call(name: str, arguments: str = "{}", call_id: str = "a") -> ToolRequest:
    """Return one call."""
    return ToolRequest(call_id, name, arguments)


async def outcomes(toolkit: Toolkit, *calls: ToolRequest) -> list[ToolOutcome]:
    """Run the calls in a system of their own."""
    async with ActorSystem("test", grace=0.05) as system:
        ref = await system.spawn(toolkit)
        result = await ref(calls=list(calls))
        assert result["status"] == "success"
        return result["output"]["outcomes"]


@tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def test_each_call_has_its_outcome_in_call_order() -> None:
    """Results come in the order of the calls, not of their ends."""
    done = anyio.Event()

    async def first() -> str:
        """End last."""
        await done.wait()
        return "first"

    async def second() -> str:
        """End first."""
        done.set()
        return "second"

    found = await outcomes(Toolkit([first, second]), call("first", call_id="1"), call("second", call_id="2"))
    assert [(outcome.call_id, outcome.content) for outcome in found] == [("1", "first"), ("2", "second")]


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("request_", "error", "says"),
    [
        (call("ad", "{}"), "UnknownTool", "'add'"),
        (call("add", '{"a": "one", "b": 2}'), "InvalidArguments", "a"),
        (call("add", "{not json"), "InvalidArguments", "JSON"),
        (call("boom"), "ValueError", "no luck"),
        (call("again"), "ToolRetry", "try a city"),
        (call("slow"), "ToolTimeout", "0.01"),
        (call("leave"), "ToolError", "end the process"),
        (call("guarded"), "ToolDenied", "approval"),
    ],
)
async def test_what_goes_wrong_is_told_to_the_model(request_: ToolRequest, error: str, says: str) -> None:
    """Each failure fails its own call only, with a message that says what."""

    @tool
    async def boom() -> None:
        """Fail."""
        raise ValueError("no luck")

    @tool
    async def again() -> None:
        """Ask for more."""
        raise ToolRetry("try a city")

    @tool(timeout=0.01)
    async def slow() -> None:
        """Never end."""
        await anyio.sleep_forever()

    @tool
    async def leave() -> None:
        """Leave."""
        raise SystemExit(3)

    @tool(requires_approval=True)
    async def guarded() -> None:
        """Do something dangerous."""
        raise AssertionError("must not run")

    kit = Toolkit([add, boom, again, slow, leave, guarded])
    failed, fine = await outcomes(kit, request_, call("add", '{"a": 1, "b": 2}', "b"))
    assert (failed.status, failed.error) == ("error", error)
    assert says in failed.content
    assert (fine.status, fine.content) == ("success", "3")


async def test_a_tool_that_swallows_its_cancellation_is_replaced() -> None:
    """The call ends with an error, the stuck actor is abandoned, and the tool works again."""
    stuck = True

    @tool(timeout=0.01)
    async def stubborn() -> str:
        """Refuse to end, once."""
        nonlocal stuck
        while stuck:
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                continue
        return "at last"

    async with ActorSystem("test", grace=0.05) as system:
        ref = await system.spawn(Toolkit([stubborn], slack=0.05))
        (outcome,) = (await ref(calls=[call("stubborn")]))["output"]["outcomes"]
        assert outcome.error == "AskTimeout"
        stuck = False
        (outcome,) = (await ref(calls=[call("stubborn")]))["output"]["outcomes"]
        assert outcome.content == "at last"


async def test_calls_of_one_tool_run_side_by_side_under_the_cap() -> None:
    """Never more than the cap, and as many as it allows, also of the same tool."""
    running = peak = 0

    @tool
    async def work(n: int) -> int:
        """Work."""
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        running -= 1
        return n

    calls = [call("work", f'{{"n": {n}}}', str(n)) for n in range(40)]
    found = await outcomes(Toolkit([work], max_concurrency=4), *calls)
    assert [outcome.content for outcome in found] == [str(n) for n in range(40)]
    assert peak == 4


async def test_a_sequential_tool_runs_alone() -> None:
    """Nothing runs beside it, and the order of the calls is kept around it."""
    log: list[str] = []

    @tool(sequential=True)
    async def alone() -> None:
        """Run alone."""
        log.append("alone begins")
        await anyio.lowlevel.checkpoint()
        log.append("alone ends")

    @tool
    async def other() -> None:
        """Run with others."""
        log.append("other")
        await anyio.lowlevel.checkpoint()

    await outcomes(Toolkit([alone, other]), call("other"), call("alone"), call("other"))
    assert log == ["other", "alone begins", "alone ends", "other"]


async def test_a_streamed_turn_tells_what_happens() -> None:
    """Start, progress and end come as events, and then the dictionary."""

    @tool
    async def export(context: ToolContext) -> str:
        """Export."""
        context.report("half")
        return "done"

    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit([export]))
        async with ref.stream(calls=[call("export")]) as events:
            *told, last = [event async for event in events]
    done = ToolOutcome("a", "export", "done")
    assert told == [ToolStarted("a", "export", "{}"), ToolProgress("a", "export", "half"), ToolFinished(done)]
    assert last == {"status": "success", "output": {"outcomes": [done]}}


async def test_repeated_only_as_often_as_the_tool_allows() -> None:
    """A tool with two retries runs three times; its context counts the attempts."""
    attempts: list[int] = []

    @tool(retries=2)
    async def flaky(context: ToolContext) -> str:
        """Fail twice."""
        attempts.append(context.attempt)
        if len(attempts) < 3:
            raise ConnectionError("not yet")
        return "done"

    (outcome,) = await outcomes(Toolkit([flaky]), call("flaky"))
    assert outcome.content == "done"
    assert attempts == [1, 2, 3]


async def test_a_blocking_tool_blocks_nobody() -> None:
    """A plain function runs in a thread: the event loop goes on meanwhile."""
    import threading

    release = threading.Event()

    @tool
    def block() -> str:
        """Block the thread."""
        release.wait(10)
        return "free"

    @tool
    async def unblock() -> str:
        """Let it go."""
        release.set()
        return "ok"

    found = await outcomes(Toolkit([block, unblock]), call("block"), call("unblock"))
    assert [outcome.content for outcome in found] == ["free", "ok"]


def test_two_tools_of_one_name_are_refused() -> None:
    """The message names the name."""
    with pytest.raises(ConfigurationError, match="'add'"):
        Toolkit([add, Toolkit([add])])


async def test_a_tool_by_itself_is_a_function() -> None:
    """It can be spawned and called like any other."""
    async with ActorSystem("test") as system:
        ref: Any = await system.spawn(add)
        assert await ref(arguments='{"a": 1, "b": 2}') == {"status": "success", "output": {"content": "3"}}


async def test_an_actor_whose_definition_changed_while_it_worked_is_stopped() -> None:
    """It answers its call with the old definition, and is not kept for the next."""
    working, release = anyio.Event(), anyio.Event()

    async def work() -> str:
        """Work."""
        working.set()
        await release.wait()
        return "old"

    async def newer() -> str:
        """Work better."""
        return "new"

    class Source(ToolSource):
        async def open(self, system: ActorSystem) -> ActorRef:
            return await system.service("source", Owner.spec())

    class Owner(Actor):
        def receive(self, message: Any) -> Any:
            assert type(message) is ListTools
            return [Tool.of(work)]

    kit = Toolkit([Source()])
    assert len(kit) == 0
    assert kit
    async with ActorSystem("test") as system:
        ref = await system.spawn(kit)
        found: list[ToolOutcome] = []

        async def turn() -> None:
            found.extend((await ref(calls=[call("work")]))["output"]["outcomes"])

        async with anyio.create_task_group() as group:
            group.start_soon(turn)
            await working.wait()
            (owner,) = [path for path in ref.cell.actor._sourced]
            news = ToolsChanged(owner, (Tool.from_function(newer, name="work"),))
            group.start_soon(ref.cell.actor._change, news)
            await anyio.wait_all_tasks_blocked()
            release.set()
        (old,) = found
        await turn()
        assert [old.content, found[1].content] == ["old", "new"]
        with anyio.fail_after(30):
            while len(system.inspect(ref.path).children) > 1:
                await anyio.lowlevel.checkpoint()


async def test_only_calls_are_taken() -> None:
    """Other messages are refused, as a call and as a stream; at least one call runs at a time."""
    with pytest.raises(ConfigurationError, match="max_concurrency must be at least 1"):
        Toolkit([], max_concurrency=0)
    async with ActorSystem("test") as system:
        ref: Any = await system.spawn(Toolkit([add]))
        with pytest.raises(ActorFailed, match="takes calls only"):
            async with ref.stream("what?") as events:
                await events.receive()


async def test_an_actor_that_died_while_it_was_free_is_replaced() -> None:
    """The next call gets a new one."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit([add]), name="kit")
        await system["kit/add"].stop()
        (outcome,) = (await ref(calls=[call("add", '{"a": 1, "b": 2}')]))["output"]["outcomes"]
        assert outcome.content == "3"
