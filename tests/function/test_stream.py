"""Functions that answer piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, FunctionStream
from tinyllm_actors.kernel import Transition

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio


class Count(FunctionStream):
    output_validator = int

    async def run(self, to: int, fail: bool = False) -> AsyncGenerator[Any, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        for n in range(to):
            yield str(n)
        if fail:
            raise ValueError("out of numbers")


async def collect(ref: Any, **arguments: Any) -> list[Any]:
    """Return what a stream delivers."""
    async with ref.stream(**arguments) as items:
        return [item async for item in items]


async def test_each_item_is_validated_and_is_a_dictionary() -> None:
    """Items come converted by the output validator, each with the status of a success, and nothing else comes."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(Count)
        assert await collect(ref, to=3) == [{"status": "success", "output": n} for n in range(3)]
        assert await ref(to=3) == {"status": "success", "output": [0, 1, 2]}
        assert await collect(ref, to=0) == []


async def test_each_item_is_a_step_of_the_machine() -> None:
    """OUTPUT_VALIDATION leads to itself for each further item."""
    async with ActorSystem("test") as system, system.events(Transition) as events:
        ref = await system.spawn(Count)
        await collect(ref, to=3)
        targets: list[str] = []
        while (event := events.receive_nowait()) is not None:
            if event.machine == "function":
                targets.append(event.target)
        assert targets.count("OUTPUT_VALIDATION") == 3
        assert targets[-1] == "COMPLETE"


async def test_an_error_in_the_middle_is_the_last_dictionary() -> None:
    """What came before is delivered; the error says what and keeps it as `partial`."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(Count)
        *items, last = await collect(ref, to=2, fail=True)
        assert [item["output"] for item in items] == [0, 1]
        assert last["status"] == "error"
        assert last["message"] == "out of numbers"
        assert last["error"]["partial"] == [0, 1]
        assert await ref(to=1) == {"status": "success", "output": [0]}


async def test_leaving_early_cancels_the_producer() -> None:
    """The generator's clean-up has run when the next call is answered."""
    closed: list[int] = []

    class Endless(FunctionStream):
        async def run(self, **_: Any) -> AsyncGenerator[Any, None]:
            n = 0
            try:
                while True:
                    yield n
                    n += 1
                    await anyio.lowlevel.checkpoint()
            finally:
                closed.append(n)

    async with ActorSystem("test") as system:
        ref = await system.spawn(Endless)
        for _ in range(2):
            async with ref.stream() as items:
                async for item in items:
                    if item["output"] == 3:
                        break
        await ref.stop()
        assert len(closed) == 2


async def test_the_producer_is_bounded() -> None:
    """A producer runs at most `buffer` items ahead of its reader."""
    made: list[int] = []

    class Eager(FunctionStream):
        async def run(self, **_: Any) -> AsyncGenerator[Any, None]:
            for n in range(100):
                made.append(n)
                yield n

    async with ActorSystem("test") as system:
        ref = await system.spawn(Eager)
        async with ref.stream(buffer=4) as items:
            await anyio.wait_all_tasks_blocked()
            assert len(made) == 4
            async for item in items:
                assert len(made) <= item["output"] + 6
        assert len(made) == 100


async def test_processing_comes_at_the_end() -> None:
    """process_output gets all items, and its result is one more dictionary."""

    class Sum(Count):
        async def process_output(self, items: list[int]) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            return sum(items)

    async with ActorSystem("test") as system:
        ref = await system.spawn(Sum)
        assert (await collect(ref, to=4))[-1] == {"status": "success", "output": 6}
