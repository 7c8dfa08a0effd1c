"""Tracers that are slower than the calls: what they miss is counted and told, and nobody waits for them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from structlog.testing import capture_logs

from tinyllm_actors import ActorSystem, Function
from tinyllm_actors.function.tracing import Tracer, observation, observe, start_tracing
from tinyllm_actors.testing import TraceRecorder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tinyllm_actors.function.tracing import Observation

pytestmark = pytest.mark.anyio


class Echo(Function):
    async def run(self, said: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return said


class Held(Tracer):
    """Takes nothing more until it is let go."""

    name = "held"

    def __init__(self) -> None:
        self.busy = threading.Event()
        self.gate = threading.Event()
        self.seen: list[str] = []

    def started(self, observation: Observation) -> None:
        self.busy.set()
        self.gate.wait(10)

    def ended(self, observation: Observation) -> None:
        self.seen.append(str(observation.output))


async def test_what_a_slow_tracer_misses_is_counted_and_told() -> None:
    """The hub counts it, the log names the tracer and none beside it, once for the same losses; the rest arrives."""
    held, quick = Held(), TraceRecorder()
    with capture_logs() as lines:
        async with ActorSystem("service") as system:
            tracing = await start_tracing(system, held, quick, max_waiting=2)
            echo = await system.spawn(Echo)
            await echo(said="first")
            await anyio.to_thread.run_sync(held.busy.wait, 10)  # it has taken over what there was
            for number in range(5):
                await echo(said=str(number))
            assert tracing.captures
            assert tracing.dropped > 0
            for _ in range(2):
                await system["services/tracing"].ask("check")
            told = [line for line in lines if "has lost" in line["event"]]
            assert [line["event"].partition(" and ")[0] for line in told] == [
                f"tracer 'held' has lost {tracing.dropped} records"
            ]
            held.gate.set()
    assert held.seen[0] == "first"
    assert len(quick.observations) == 6


@pytest.mark.leaves_behind("threads", reason="a tracer that hangs is left behind, which is what this is about")
async def test_a_tracer_that_hangs_does_not_hold_up_the_end() -> None:
    """After `close_timeout` the system is over, and the log says whose records are lost."""
    held = Held()
    with capture_logs() as lines:
        async with ActorSystem("service") as system:
            await start_tracing(system, held, TraceRecorder(), close_timeout=0.05)
            echo = await system.spawn(Echo)
            await echo(said="first")
            await anyio.to_thread.run_sync(held.busy.wait, 10)
        assert "tracer 'held' did not take all records in time; what was left is lost" in [
            line["event"] for line in lines
        ]
    held.gate.set()


async def test_nothing_of_a_decorated_function_is_kept_where_that_is_not_wished() -> None:
    """`capture=False` holds for coroutine functions and generators too; and an observation ends once."""

    @observation(capture=False)
    async def whisper(word: str) -> str:
        return word

    @observation(capture=False)
    async def murmur(word: str) -> AsyncGenerator[str, None]:
        yield word

    class Worker(Function):
        async def run(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            with observe("block") as block:
                assert block is not None
                block.output = "said"
                block.hub.end(block, "ended by hand")
            return [await whisper("hush"), *[word async for word in murmur("hush")]]

    recorder = TraceRecorder()
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        assert (await (await system.spawn(Worker))())["output"] == ["hush", "hush"]
    for name in ("whisper", "murmur"):
        seen = recorder.find(name)
        assert (seen.input, seen.output, seen.status) == (None, None, "ok")
    assert recorder.find("block").output == "ended by hand"
