"""Functions that answer piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, FunctionStream, Supervisor
from tinyllm_actors.errors import ActorFailed
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


async def test_leaving_early_lets_the_generator_clean_up() -> None:
    """Its clean-up may await, though the call is cancelled."""
    closed: list[str] = []

    class Careful(FunctionStream):
        async def run(self, **_: Any) -> AsyncGenerator[Any, None]:
            try:
                while True:
                    yield 1
            finally:
                await anyio.lowlevel.checkpoint()
                closed.append("closed")

    async with ActorSystem("test") as system, system.events(Transition) as events:
        ref = await system.spawn(Careful)
        async with ref.stream(buffer=1) as items:
            await items.receive()
            await anyio.wait_all_tasks_blocked()
        await ref.stop()
        targets: list[str] = []
        while (event := events.receive_nowait()) is not None:
            targets += [event.target] if event.machine == "function" else []
    assert closed == ["closed"]
    assert targets[-1] == "CANCELLED"


async def test_an_item_that_does_not_fit_ends_the_stream() -> None:
    """The error is the last dictionary, says where it was, and keeps what came before."""

    class Wrong(FunctionStream):
        output_validator = int

        async def run(self, **_: Any) -> AsyncGenerator[Any, None]:
            for item in ("1", "two", "3"):
                yield item

    async with ActorSystem("test") as system:
        first, last = await collect(await system.spawn(Wrong))
        assert first == {"status": "success", "output": 1}
        assert last["error"]["state"] == "OUTPUT_VALIDATION"
        assert last["error"]["partial"] == [1]
        assert "'two'" in last["message"]


async def test_evaluation_comes_at_the_end() -> None:
    """Evaluators see all items, and what they said is one more dictionary, after an error too."""
    seen: list[Any] = []

    def score(input: Any, output: Any, error: Any) -> int:
        seen.append((output, error and error["message"]))
        return 1

    async with ActorSystem("test") as system:
        ref = await system.spawn(Count.spec(run_evaluators=[score]))
        *_, last = await collect(ref, to=2)
        assert last == {
            "status": "success",
            "output": [0, 1],
            "evaluations": [{"evaluator": "score", "evals": {"score": 1}}],
        }
        *_, last = await collect(ref, to=1, fail=True)
        assert last["status"] == "error"
        assert last["evaluations"] == [{"evaluator": "score", "evals": {"score": 1}}]
    assert seen == [([0, 1], None), (None, "out of numbers")]


async def test_run_must_be_an_async_generator() -> None:
    """A coroutine without a `yield` is named as such; one that is not overridden too; and calls are calls."""

    class Plain(FunctionStream):
        async def run(self, **_: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            return 1

    class List(FunctionStream):
        def run(self, **_: Any) -> Any:
            return [1]

    async with ActorSystem("test", supervisor=Supervisor(backoff=None)) as system:
        for kind in (Plain, List):
            (last,) = await collect(await system.spawn(kind))
            assert "must be an async generator" in last["message"]
        bare = await system.spawn(FunctionStream)
        (last,) = await collect(bare)
        assert "does not define run()" in last["message"]
        with pytest.raises(ActorFailed, match="takes calls only"):
            async with bare.stream("hello") as items:
                await items.receive()


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
