"""A tool runs once, where it should, and its reports, result and errors arrive."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from anyio import from_thread
from anyio.lowlevel import checkpoint

from tinyllm_actors.errors import ToolError, ToolRetry, ToolTimeout
from tinyllm_actors.tool import Tool, ToolContext, tool

pytestmark = pytest.mark.anyio

_request: ContextVar[str] = ContextVar("_request", default="none")


class Boom(Exception):
    pass


# Made here rather than in its test: with the first schema pydantic looks for plugins on disk.
@tool
def search(query: str) -> None:
    """Refuse to search."""
    raise ToolRetry("give a longer query")


def reporting_to(seen: list[object], **fields: Any) -> ToolContext:
    """Return a context whose reports are collected."""
    return ToolContext(report=seen.append, **fields)


async def test_async_function_runs_on_the_loop() -> None:
    """An async function runs in the caller's task and thread."""

    @tool
    async def where() -> int:
        await checkpoint()
        return threading.get_ident()

    assert await where.call({}) == threading.get_ident()


async def test_plain_function_runs_in_a_thread_with_the_callers_context() -> None:
    """A plain function blocks nobody, and sees the caller's context variables."""
    _request.set("r1")
    loop_thread = threading.get_ident()

    @tool
    def where() -> tuple[bool, str]:
        return threading.get_ident() == loop_thread, _request.get()

    assert await where.call({}) == (False, "r1")
    assert await where.with_options(threaded=False).call({}) == (True, "r1")


async def test_arguments_arrive() -> None:
    """Positional-only, keyword-only and left-out parameters get what was validated, or their defaults."""

    @tool
    async def function(a: int, b: int = 2, c: int = 3, /, *, d: int, e: int = 5) -> tuple[int, ...]:
        return a, b, c, d, e

    assert await function.call(function.validate('{"a": 1, "c": 30, "d": 4}')) == (1, 2, 30, 4, 5)


async def test_coroutine_from_a_plain_function_is_awaited() -> None:
    """A lambda, or a decorator that knows nothing of coroutines, may hand one back."""

    async def inner(x: int) -> int:
        return x + 1

    def outer(x: int) -> Any:
        return inner(x)

    assert await Tool.from_function(outer).call({"x": 1}) == 2
    assert await Tool.from_function(outer, threaded=False).call({"x": 1}) == 2


async def test_generator_reports_and_answers() -> None:
    """What a generator yields is reported as it comes; its result is what it returns, or else its last item."""

    @tool
    def returning(n: int) -> Generator[int, None, str]:
        yield from range(n)
        return "done"

    @tool
    def ending(n: int) -> Iterator[int]:
        yield from range(n)

    @tool
    async def asynchronous(n: int) -> AsyncIterator[int]:
        for item in range(n):
            await checkpoint()
            yield item

    for made, result in [(returning, "done"), (ending, 2), (asynchronous, 2)]:
        seen: list[object] = []
        assert await made.call({"n": 3}, reporting_to(seen)) == result
        assert seen == [0, 1, 2]
    seen = []
    assert await ending.with_options(threaded=False).call({"n": 3}, reporting_to(seen)) == 2
    assert seen == [0, 1, 2]
    assert await ending.call({"n": 0}) is None
    assert await asynchronous.call({"n": 0}) is None


async def test_context_is_injected() -> None:
    """The function gets the caller's context, with the deadline of this run; the caller's own is not changed."""
    loop_thread = threading.get_ident()
    reporters: list[int] = []
    context = ToolContext(
        call_id="c1",
        attempt=2,
        idempotency_key="k",
        user_id="u",
        session_id="s",
        report=lambda progress: reporters.append(threading.get_ident()),
    )

    def plain(x: int, context: ToolContext, other: ToolContext | None = None) -> ToolContext:
        context.report("half way")
        assert other is context
        return context

    async def asynchronous(context: ToolContext, x: int) -> ToolContext:
        context.report("half way")
        return context

    functions: list[Callable[..., object]] = [plain, asynchronous]
    for function in functions:
        made = Tool.from_function(function, timeout=5.0)
        before = anyio.current_time()
        got = await made.call(made.validate('{"x": 1}'), context)
        assert isinstance(got, ToolContext)
        assert got.deadline is not None
        assert before + 5.0 <= got.deadline <= anyio.current_time() + 5.0
        assert (got.call_id, got.attempt, got.idempotency_key, got.user_id, got.session_id) == ("c1", 2, "k", "u", "s")
    assert reporters == [loop_thread, loop_thread]
    assert context.deadline is None


async def test_generator_is_closed_when_its_report_fails() -> None:
    """Whoever takes the reports may fail; the generator's `finally` runs before the call ends."""
    closed: list[str] = []

    def plain() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.append("plain")

    async def asynchronous() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append("asynchronous")

    def refuse(progress: object) -> None:
        raise Boom

    functions: list[Callable[..., object]] = [plain, asynchronous]
    for function in functions:
        with pytest.raises(Boom):
            await Tool.from_function(function).call({}, ToolContext(report=refuse))
    assert closed == ["plain", "asynchronous"]


async def test_errors_pass_through() -> None:
    """What a function raises reaches the caller as it is, from the loop and from a thread."""

    async def asynchronous() -> None:
        raise Boom

    def plain() -> None:
        raise Boom

    def generator() -> Iterator[int]:
        yield 1
        raise Boom

    async def async_generator() -> AsyncIterator[int]:
        yield 1
        raise Boom

    async def own_timeout() -> None:
        raise TimeoutError("of its own")

    functions: list[Callable[..., object]] = [asynchronous, plain, generator, async_generator]
    for function in functions:
        with pytest.raises(Boom):
            await Tool.from_function(function).call({})
    with pytest.raises(TimeoutError, match="of its own") as caught:
        await Tool.from_function(own_timeout).call({})
    assert not isinstance(caught.value, ToolTimeout)


async def test_retry_request_learns_the_tools_name() -> None:
    """A tool that asks for a retry need not say which tool it is."""

    @tool
    async def named() -> None:
        raise ToolRetry("again", tool="other")

    with pytest.raises(ToolRetry, match="give a longer query") as caught:
        await search.call({"query": "a"})
    assert caught.value.tool == "search"
    with pytest.raises(ToolRetry) as caught:
        await named.call({})
    assert caught.value.tool == "other"


async def test_exit_is_the_tools_failure() -> None:
    """A function that calls `sys.exit()` ends its own call, not the service."""

    def plain() -> None:
        sys.exit("bye")

    async def asynchronous() -> None:
        raise SystemExit(3)

    functions: list[Callable[..., object]] = [plain, asynchronous]
    for function in functions:
        with pytest.raises(ToolError, match=f"tool '{function.__name__}' tried to end the process"):
            await Tool.from_function(function).call({})


async def test_plain_function_may_come_back_to_the_loop() -> None:
    """A function in a thread can use anyio's own way back."""

    async def on_the_loop(x: int) -> int:
        await checkpoint()
        return x + 1

    @tool
    def function(x: int) -> int:
        return from_thread.run(on_the_loop, x)

    assert await function.call({"x": 1}) == 2
