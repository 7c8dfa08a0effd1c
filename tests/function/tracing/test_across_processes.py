"""A trace goes on across processes, conversations and queues."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors import ActorSystem, Agent, Function, tool
from tinyllm_actors.function.tracing import continue_trace, current_traceparent, observe, start_tracing
from tinyllm_actors.function.tracing.remote import parse_traceparent
from tinyllm_actors.kernel import Backoff, InFlight, Supervisor
from tinyllm_actors.testing import ScriptedModel, TraceRecorder, text, tool_call
from tinyllm_actors.tool import ToolContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
KEPT, DROPPED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"

on_each_loop = pytest.mark.anyio


class Says(Function):
    """Says what header a request of its would carry."""

    async def run(self) -> str | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        await anyio.lowlevel.checkpoint()
        return current_traceparent()


class Asks(Function):
    """Calls another one, inside of a trace that a message brought if there is one."""

    def __init__(self, other: Any, header: str | None = None) -> None:
        super().__init__()
        self._other = other
        self._header = header

    async def run(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        with continue_trace(self._header):
            inner = await self._other()
        with observe("after"):
            pass
        return inner["output"]


@on_each_loop
async def test_a_callers_trace_goes_on_here() -> None:
    """The first observation is inside of the caller's, those inside of it are not, and the block ends where it ends."""
    recorder = TraceRecorder()
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder, sample_rate=0.0)
        says = await system.spawn(Says)
        asks = await system.spawn(Asks.spec(says))
        with continue_trace(KEPT):
            result = await asks()
        await asks()  # not sampled
        with continue_trace(DROPPED):
            await asks()
    outer, inner = recorder.find("Asks"), recorder.find("Says")
    assert len(recorder.observations) == 3
    assert {seen.trace_id for seen in recorder.observations} == {TRACE}
    assert (outer.parent_id, inner.parent_id, recorder.find("after").parent_id) == (SPAN, outer.id, outer.id)
    assert outer.is_root
    assert result["output"] == inner.traceparent == f"00-{TRACE}-{inner.id}-01"
    assert recorder.render().splitlines()[0] == "Asks  span"


@on_each_loop
async def test_a_message_may_bring_a_trace_along() -> None:
    """A header that came in a message is the parent of the calls in the block, and of nothing after it."""
    recorder = TraceRecorder()
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        says = await system.spawn(Says)
        await (await system.spawn(Asks.spec(says, KEPT)))()
    outer, inner, after = (recorder.find(name) for name in ("Asks", "Says", "after"))
    assert (inner.trace_id, inner.parent_id) == (TRACE, SPAN)
    assert outer.trace_id != TRACE
    assert after.parent_id == outer.id


@on_each_loop
async def test_who_traces_nothing_passes_the_header_on() -> None:
    """Without tracing, what is called next gets the caller's own header; without either, none."""
    async with ActorSystem("service") as system:
        says = await system.spawn(Says)
        with continue_trace(DROPPED):
            assert (await says())["output"] == DROPPED
        assert (await says())["output"] is None


@on_each_loop
async def test_a_second_attempt_is_inside_of_the_caller_too() -> None:
    """What is handled again after a crash is beside the first attempt, inside of the caller's observation."""

    class Fragile(Function):
        def _accept(self, arguments: dict[str, Any]) -> dict[str, Any]:
            if self.context.attempt == 0:
                self._step("no such step")  # pyright: ignore[reportArgumentType]
            return super()._accept(arguments)

        async def run(self) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
            return 1

    recorder = TraceRecorder()
    supervisor = Supervisor(backoff=Backoff(0.0, 0.0))
    async with ActorSystem("service", supervisor=supervisor) as system:
        await start_tracing(system, recorder)
        fragile = await system.spawn(Fragile.spec().with_options(on_inflight=InFlight(redeliveries=1)))
        with continue_trace(KEPT):
            await fragile()
    assert [(seen.trace_id, seen.parent_id) for seen in recorder.observations] == [(TRACE, SPAN)] * 2


@on_each_loop
async def test_turns_of_a_conversation_belong_to_who_sent_them() -> None:
    """Turns that wait in one conversation are each in the trace of their own sender; a timer's is its own."""
    recorder = TraceRecorder()
    gate = anyio.Event()

    @tool
    async def slow() -> str:
        """Take long."""
        await gate.wait()
        return "done"

    headers = [f"00-{number:032x}-{SPAN}-01" for number in (1, 2, 3)]
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        spec = Agent.spec(name="Agent", model=ScriptedModel([tool_call("slow"), *[text("done")] * 4]), tools=[slow])
        chats = await system.conversations(spec, store="memory:")

        async def send(number: int) -> None:
            with continue_trace(headers[number]):
                await chats["ann"](content="hello", turn_id=f"t{number}")

        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(send, number)
            await anyio.wait_all_tasks_blocked()
            gate.set()
        await chats["ann"](content="hello", turn_id="t9")
    turns = [seen for seen in recorder.observations if seen.name == "Agent"]
    assert sorted(seen.trace for seen in turns)[:3] == [1, 2, 3]
    assert [seen.parent_id for seen in sorted(turns, key=lambda seen: seen.trace)] == [SPAN, SPAN, SPAN, None]


@on_each_loop
async def test_a_conversation_says_whose_it_is() -> None:
    """The session is the key; the user is what `user_of` says; tools are told both, as traces are."""
    told: list[tuple[str | None, str | None]] = []

    @tool
    async def whoami(context: ToolContext) -> str:
        """Say who I am."""
        told.append((context.user_id, context.session_id))
        return "you"

    def steps() -> list[Any]:
        return [tool_call("whoami"), text("done")]

    recorder = TraceRecorder()
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        plain = await system.conversations(Agent.spec(model=ScriptedModel(steps()), tools=[whoami]), store="memory:")
        await plain["ada/holiday"](content="?")
        spec = Agent.spec(model=ScriptedModel(steps()), tools=[whoami], user_id="nobody", session_id="support")

        def user_of(key: str) -> str:
            return key.partition("/")[0]

        split = await system.conversations(spec, store="memory:", name="split", user_of=user_of)
        await split["ada/holiday"](content="?")
    assert told == [(None, "ada/holiday"), ("ada", "support")]
    seen = [(found.user_id, found.session_id) for found in recorder.observations if found.kind == "generation"]
    assert seen == [(None, "ada/holiday")] * 2 + [("ada", "support")] * 2


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_a_header_is_read_as_it_was_written(trace: int, span: int, flags: int) -> None:
    """Numbers and flags come out as they went in; a later version may say more."""
    header = f"00-{trace:032x}-{span:016x}-{flags:02x}"
    found = parse_traceparent(header)
    assert found is not None
    assert (found.trace, found.span, found.sampled) == (trace, span, bool(flags & 1))
    assert parse_traceparent(f"cc{header[2:]}-more") == found == parse_traceparent(f" {header}\t")


@given(st.text(max_size=600) | st.text("0123456789abcdef-", max_size=80))
def test_what_is_no_header_changes_nothing(header: str) -> None:
    """Whatever a peer sends, it is a parent of the standard's form, or none; it never raises."""
    found = parse_traceparent(header)
    assert found is None or (0 < found.trace < 2**128 and 0 < found.span < 2**64)


@pytest.mark.parametrize(
    "header",
    [
        "",
        KEPT.upper(),
        f"ff{KEPT[2:]}",
        f"{KEPT}-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        KEPT.replace("0a", "\N{ARABIC-INDIC DIGIT ZERO}a"),
        f"cc{KEPT[2:]}-{'x' * 600}",
    ],
)
def test_the_standards_refusals(header: str) -> None:
    """Capitals, zeros, the version ff, more than version 00 has, and headers without end are no parent."""
    assert parse_traceparent(header) is None
