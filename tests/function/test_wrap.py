"""Functions made of callables, generators and objects of other libraries."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from tinyllm_actors import ActorSystem, chain
from tinyllm_actors.function import as_function

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

pytestmark = pytest.mark.anyio


async def call(spec: Any, **arguments: Any) -> Any:
    """Return the dictionary of one call."""
    async with ActorSystem("test") as system:
        return await (await system.spawn(spec))(**arguments)


async def collect(spec: Any, **arguments: Any) -> list[Any]:
    """Return what a stream delivers."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(spec)
        async with ref.stream(**arguments) as items:
            return [item async for item in items]


def outputs(items: list[Any]) -> list[Any]:
    """Return what is in success dictionaries."""
    return [item["output"] for item in items]


async def test_an_async_generator_becomes_a_stream() -> None:
    """Items one by one, or all in a list."""

    async def count(to: int) -> AsyncGenerator[int, None]:
        for n in range(to):
            yield n

    assert outputs(await collect(as_function(count), to=3)) == [0, 1, 2]
    assert await call(as_function(count), to=2) == {"status": "success", "output": [0, 1]}
    assert outputs(await collect(as_function(functools.partial(count, to=2), name="two"))) == [0, 1]


async def test_a_generator_runs_in_worker_threads() -> None:
    """It may block without stopping the loop, and its clean-up runs."""
    threads: set[int] = set()
    closed: list[bool] = []

    def count(to: int) -> Generator[int, None, None]:
        try:
            for n in range(to):
                threads.add(threading.get_ident())
                yield n
        finally:
            closed.append(True)

    assert outputs(await collect(as_function(count), to=3)) == [0, 1, 2]
    assert threading.get_ident() not in threads
    assert closed == [True]


async def test_a_generator_that_fails_ends_the_stream_with_an_error() -> None:
    """What came before is delivered."""

    def broken() -> Generator[int, None, None]:
        yield 1
        raise ValueError("broke")

    *items, last = await collect(as_function(broken))
    assert outputs(items) == [1]
    assert last["message"] == "broke"


async def test_leaving_a_generator_closes_it() -> None:
    """A reader that leaves early lets the generator clean up, between two steps."""
    closed = threading.Event()

    def endless() -> Generator[int, None, None]:
        try:
            n = 0
            while True:
                yield n
                n += 1
        finally:
            closed.set()

    async with ActorSystem("test") as system:
        ref = await system.spawn(as_function(endless))
        async with ref.stream(buffer=1) as items:
            async for item in items:
                if item["output"] == 2:
                    break
        await ref.stop()
        assert await anyio.to_thread.run_sync(closed.wait, 5.0)


async def test_a_generator_that_blocks_is_left_to_its_thread() -> None:
    """Cancelling does not wait for the step; when the thread is done it closes the generator itself."""
    entered, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def blocks() -> Generator[int, None, None]:
        try:
            entered.set()
            go_on.wait(10.0)
            yield 1
        finally:
            closed.set()

    async with ActorSystem("test") as system:
        ref = await system.spawn(as_function(blocks))
        async with ref.stream():
            assert await anyio.to_thread.run_sync(entered.wait, 5.0)
        await ref.stop()
        assert not closed.is_set()
        go_on.set()
        assert await anyio.to_thread.run_sync(closed.wait, 5.0)


class Runnable:
    """Answers like a runnable of LangChain."""

    def invoke(self, value: Any) -> Any:
        return ["plain", value]

    async def ainvoke(self, value: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return ["async", value]

    def stream(self, value: Any) -> Iterator[str]:
        yield from ("a", "b")

    async def astream(self, value: Any) -> AsyncIterator[str]:
        for piece in ("a", "b"):
            yield piece


class QueryEngine:
    """Answers like a query engine of LlamaIndex."""

    def query(self, question: Any) -> str:
        return f"answer to {question}"

    async def aquery(self, question: Any) -> str:
        return f"answer to {question}"


async def test_a_runnable_is_invoked(anyio_backend: tuple[str, Any]) -> None:
    """`input` alone is handed over; other arguments as a dictionary; a class is made for each incarnation."""
    way = "plain" if anyio_backend[0] == "trio" else "async"
    assert (await call(as_function(Runnable()), input=1))["output"] == [way, 1]
    assert (await call(as_function(Runnable), a=1, b=2))["output"] == [way, {"a": 1, "b": 2}]
    assert outputs(await collect(as_function(Runnable()), input=1)) == ["a", "b", "ab"]
    assert (await call(chain(Runnable(), _second), input=1))["output"] == 1
    assert (await collect(chain(Runnable()), input=1))[-1] == {"status": "success", "output": "ab"}


async def test_a_query_engine_is_queried() -> None:
    """Its one argument may have any name; where it cannot stream, the answer is the only item."""
    assert (await call(as_function(QueryEngine()), question="why"))["output"] == "answer to why"
    assert await collect(as_function(QueryEngine()), question="why") == [
        {"status": "success", "output": "answer to why"}
    ]


async def test_without_a_plain_twin_trio_says_what_to_do(anyio_backend: tuple[str, Any]) -> None:
    """An object that can only do asyncio is an error dictionary on trio."""

    class AsyncOnly:
        async def ainvoke(self, value: Any) -> Any:
            return value

    result = await call(as_function(AsyncOnly()), input=1)
    if anyio_backend[0] == "trio":
        assert "run the system on asyncio" in result["message"]
    else:
        assert result["output"] == 1


def test_what_is_not_callable_is_refused() -> None:
    """The value is named."""
    with pytest.raises(TypeError, match="42"):
        as_function(42)


def _second(input: list[Any]) -> Any:
    return input[1]
