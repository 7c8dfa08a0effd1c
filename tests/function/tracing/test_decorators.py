"""Observations that code makes of itself: decorated functions, and blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from tinyllm_actors import ActorSystem, Function
from tinyllm_actors.function.tracing import current_observation, observation, observe, start_tracing
from tinyllm_actors.testing import (
    TraceRecorder,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


pytestmark = pytest.mark.anyio


class Echo(Function):
    async def run(self, said: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        await anyio.lowlevel.checkpoint()
        return said


@pytest.fixture
def recorder() -> TraceRecorder:
    """Return a tracer that keeps what it is told."""
    return TraceRecorder()


async def test_functions_are_decorated(recorder: TraceRecorder) -> None:
    """`@observation` observes plain, async and generator functions, and what is called inside of them."""

    @observation()
    def parse(raw: str) -> int:
        return int(raw)

    @observation("loaded", kind="retriever")
    async def load(self: object, raw: str, times: int = 1) -> int:
        return parse(raw) * times

    @observation(kind="chain")
    async def pieces(upto: int) -> AsyncGenerator[int, None]:
        for number in range(upto):
            parse(str(number))
            yield number

    @observation(capture=False)
    def secret(word: str) -> str:
        return word

    class Worker(Function):
        async def run(self) -> list[int]:  # pyright: ignore[reportIncompatibleMethodOverride]
            found: list[int] = []
            async for number in pieces(2):
                parse("7")  # not inside of `pieces`: it is the reader that works here
                found.append(number)
            secret("hush")
            with pytest.raises(ValueError, match="invalid literal"):
                parse("x")
            with pytest.raises(TypeError):
                parse()  # pyright: ignore[reportCallIssue]
            return [await load(None, "2", times=3), *found]

    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        result = await (await system.spawn(Worker))()
    assert result["output"] == [6, 0, 1]
    outer, worker = recorder.find("loaded"), recorder.find("Worker")
    assert (outer.kind, outer.input, outer.output) == ("retriever", {"raw": "2", "times": 3}, 6)
    assert [seen.name for seen in recorder.children(outer)] == ["parse"]
    stream = recorder.find("pieces")
    assert (stream.output, stream.kind) == ([0, 1], "chain")
    assert stream.first_output_at
    assert len(recorder.children(stream)) == 2
    assert (recorder.find("secret").input, recorder.find("secret").output) == (None, None)
    failed = [seen for seen in recorder.observations if seen.status == "error"]
    assert [(seen.name, (seen.error or {})["type"]) for seen in failed] == [
        ("parse", "ValueError"),
        ("parse", "TypeError"),
    ]
    assert {seen.trace_id for seen in recorder.observations} == {worker.trace_id}
    assert parse("3") == 3  # outside of a system, it is the function itself
    assert [number async for number in pieces(2)] == [0, 1]


async def test_a_decorated_generator_that_fails_or_is_left_ends(recorder: TraceRecorder) -> None:
    """A generator's observation ends however the generator does."""

    @observation()
    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        raise OSError("gone")

    class Worker(Function):
        async def run(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            items = failing()
            assert await anext(items) == 1
            await items.aclose()
            async for _ in failing():
                pass

    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        await (await system.spawn(Worker))()
    assert [(seen.name, seen.status) for seen in recorder.observations] == [
        ("failing", "cancelled"),
        ("failing", "error"),
        ("Worker", "error"),
    ]
    assert not recorder.running


async def test_a_block_says_for_whom(recorder: TraceRecorder) -> None:
    """A block's user, session and tags hold for what is inside of it, and for nothing else."""

    class Front(Function):
        async def run(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            with observe("turn", user_id="ann", session_id="s", tags=("vip",)):
                await system["echo"](said="x")
            await system["echo"](said="y")

    async with ActorSystem("service") as system:
        await start_tracing(system, recorder, tags=["all"])
        await system.spawn(Echo, name="echo")
        await (await system.spawn(Front))()
    inside, turn, outside, front = recorder.observations
    assert [(seen.user_id, seen.session_id, seen.tags) for seen in (inside, turn)] == [("ann", "s", ("all", "vip"))] * 2
    assert [(seen.user_id, seen.session_id, seen.tags) for seen in (outside, front)] == [(None, None, ("all",))] * 2


async def test_nothing_is_traced_without_tracers() -> None:
    """Where nobody started tracing, code that wants to add to its observation finds none."""
    found: list[object] = []

    class Looker(Function):
        async def run(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            found.append(current_observation())
            with observe("block") as inside:
                found.append(inside)

    async with ActorSystem("service") as system:
        await (await system.spawn(Looker))()
    assert found == [None, None]
