"""Many calls in one turn, and what is told of them: bounded, in order, and nobody waits for ever."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Toolkit, tool
from tinyllm_actors.tool import ToolContext, ToolFinished, ToolOutcome, ToolProgress, ToolRequest, ToolStarted
from tinyllm_actors.tool.telling import MAX_PENDING_REPORTS, Observer, Teller

pytestmark = pytest.mark.anyio

MANY = 792
CAP = 8


@tool
async def work(n: int, context: ToolContext) -> str:
    """Work; the first ones wait until as many run as may."""
    counts["running"] += 1
    counts["peak"] = max(counts["peak"], counts["running"])
    context.report(n)
    while counts["peak"] < CAP:
        await anyio.lowlevel.checkpoint()
    for _ in range(n % 3):
        await anyio.lowlevel.checkpoint()
    counts["running"] -= 1
    return f"{n} " + "x" * 10


counts = {"running": 0, "peak": 0}


def many() -> list[ToolRequest]:
    """Return the calls of a very long turn."""
    return [ToolRequest(str(n), "work", f'{{"n": {n}}}') for n in range(MANY)]


@pytest.mark.usefixtures("only_new_garbage")
async def test_792_calls_in_one_turn() -> None:
    """The cap holds, results come in the order of the calls, and what one turn took is free for the next."""
    counts.update(running=0, peak=0)
    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit([work], max_concurrency=CAP), name="kit")

        async def turn(calls: list[ToolRequest]) -> None:
            result = await ref.within(None)(calls=calls)
            assert [outcome.content.split()[0] for outcome in result["output"]["outcomes"]] == [
                call.call_id for call in calls
            ]

        async def traced() -> int:
            # An actor remembers its last message, and so may hold that turn's answer: let that be a small one.
            for _ in range(3):
                await turn(many()[:CAP])
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        await turn(many())
        tracemalloc.start()
        try:
            before = await traced()
            for _ in range(2):
                await turn(many())
            after = await traced()
        finally:
            tracemalloc.stop()
        assert counts["peak"] == CAP
        # Two turns that are kept take 1 MB. Trio holds up to 1,000 deadlines of the past, of 300 bytes each.
        assert after - before < 400_000
        assert len(system.inspect("kit").children) == CAP


async def test_a_slow_reader_stops_no_call_for_ever() -> None:
    """Calls that run side by side all wait for one reader with a small buffer, and each event comes, in its order."""
    told: dict[str, list[type]] = {}
    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit([work], max_concurrency=CAP))
        async with ref.within(None).stream(calls=many()[:100], buffer=2) as events:
            async for event in events:
                if isinstance(event, ToolStarted | ToolProgress | ToolFinished):
                    call_id = event.outcome.call_id if isinstance(event, ToolFinished) else event.call_id
                    told.setdefault(call_id, []).append(type(event))
                await anyio.lowlevel.checkpoint()
    assert len(told) == 100
    assert all(kinds == [ToolStarted, ToolProgress, ToolFinished] for kinds in told.values())


async def test_reports_beyond_the_bound_are_dropped() -> None:
    """A tool that reports without end, to a reader that does not read, holds a few reports only."""

    @tool
    async def chatty(context: ToolContext) -> str:
        """Report."""
        for n in range(1000):
            context.report(n)
        return "done"

    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit([chatty]))
        async with ref.stream(calls=[ToolRequest("a", "chatty", "{}")]) as events:
            told = [event async for event in events]
    progress = [event.progress for event in told if isinstance(event, ToolProgress)]
    assert progress == list(range(MAX_PENDING_REPORTS))
    assert isinstance(told[-2], ToolFinished)


async def test_an_observer_is_told_at_once() -> None:
    """`observe` gets the events of a call that is no stream; reports after the end of a call reach nobody."""
    late: list[ToolContext] = []

    @tool
    async def export(context: ToolContext) -> str:
        """Export."""
        context.report("half")
        late.append(context)
        return "done"

    seen: list[object] = []
    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit([export]))
        await ref(calls=[ToolRequest("a", "export", "{}")], observe=seen.append)
        late[0].report("late")
        async with ref.stream(calls=[ToolRequest("b", "export", "{}")]) as events:
            told = [event async for event in events]
        late[1].report("late")
    done = ToolOutcome("a", "export", "done")
    assert seen == [ToolStarted("a", "export", "{}"), ToolProgress("a", "export", "half"), ToolFinished(done)]
    assert len(told) == 4


async def test_a_cancelled_call_reports_no_more() -> None:
    """What waits to be told of a call is forgotten with it, for a stream and for an observer."""
    seen: list[object] = []
    call = ToolRequest("a", "export", "{}")
    context: Any = None
    reports = Observer(seen.append).reports(context, call)
    reports.drop()
    reports.report("late")

    async def emit(event: object) -> None:
        seen.append(event)

    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit([work]))
        streamed = Teller(emit).reports(ref.cell.actor.context, call)
        streamed.report("early")
        streamed.drop()
        streamed.report("late")
        await streamed.finish()
    assert seen == []
