"""A tool runs once, within its deadline, and hangs nothing but itself."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from anyio import CapacityLimiter, from_thread, to_thread
from anyio.lowlevel import checkpoint

from tinyllm_actors.errors import ToolError, ToolRetry, ToolTimeout
from tinyllm_actors.tool import Tool, ToolContext, tool
from tinyllm_actors.tool.execution import MAX_THREADS

pytestmark = pytest.mark.anyio

_request: ContextVar[str] = ContextVar("_request", default="none")


# Made here rather than in its test, so that pydantic's modules are read before a loop runs.
@tool(timeout=0.05)
def quick() -> str:
    """Answer at once."""
    return "quick"


class Boom(Exception):
    pass


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


async def test_deadline_is_the_earlier_one() -> None:
    """A run's deadline may shorten the context's and never extends it; without either there is none."""

    @tool
    async def deadline(context: ToolContext) -> float | None:
        return context.deadline

    soon = anyio.current_time() + 1.0
    assert await deadline.call({}, ToolContext(deadline=soon)) == soon
    late = await deadline.call({}, ToolContext(deadline=soon + 1_000))
    assert isinstance(late, float)
    assert late < soon + 100
    unbounded = deadline.with_options(timeout=None)
    assert await unbounded.call({}) is None
    assert await unbounded.call({}, ToolContext(deadline=soon)) == soon


async def test_async_function_that_hangs_is_cancelled() -> None:
    """After its time-out the function is cancelled, and the error says so; cleaning up still happens."""
    cleaned: list[bool] = []

    @tool(timeout=0.05)
    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.append(True)

    with pytest.raises(ToolTimeout, match=r"tool 'hang' did not finish within 0.05 s and was stopped") as caught:
        await hang.call({})
    assert caught.value.tool == "hang"
    assert isinstance(caught.value, TimeoutError)
    assert cleaned == [True]


async def test_async_generator_that_hangs_is_closed() -> None:
    """A generator that is cut off in the middle runs its `finally` in the same task, and keeps what it reported."""
    seen: list[object] = []

    @tool(timeout=0.05)
    async def hang() -> AsyncIterator[str]:
        try:
            yield "started"
            await anyio.sleep_forever()
        finally:
            seen.append("closed")

    with pytest.raises(ToolTimeout):
        await hang.call({}, reporting_to(seen))
    assert seen == ["started", "closed"]


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


async def test_thread_that_hangs_is_left_behind() -> None:
    """The caller goes on at the deadline, while the thread still runs; its result is dropped."""
    release = threading.Event()
    ended = threading.Event()

    @tool(timeout=0.05)
    def hang() -> str:
        release.wait(10.0)
        ended.set()
        return "too late"

    try:
        with pytest.raises(ToolTimeout):
            await hang.call({})
        assert not ended.is_set()
    finally:
        release.set()
    assert await to_thread.run_sync(ended.wait, 10.0)


async def test_left_behind_thread_ends_at_its_next_report() -> None:
    """A late report reaches nobody; it ends the function, whose `finally` runs."""
    seen: list[object] = []
    release, ended = threading.Event(), threading.Event()

    def plain(context: ToolContext) -> None:
        try:
            context.report("first")
            release.wait(10.0)
            context.report("late")
            seen.append("not reached")
        finally:
            ended.set()

    def generator() -> Iterator[str]:
        try:
            yield "first"
            release.wait(10.0)
            yield "late"
            seen.append("not reached")
        finally:
            ended.set()

    functions: list[Callable[..., object]] = [plain, generator]
    for function in functions:
        seen.clear()
        release.clear()
        ended.clear()
        with pytest.raises(ToolTimeout):
            await Tool.from_function(function, timeout=0.05).call({}, reporting_to(seen))
        release.set()
        assert await to_thread.run_sync(ended.wait, 10.0)
        assert seen == ["first"]


@pytest.mark.parametrize("threaded", [True, False])
async def test_cancelling_the_caller_is_no_timeout(threaded: bool) -> None:
    """The caller's own cancellation passes through as it is, for every kind of function."""
    started, release = anyio.Event(), threading.Event()
    outcome: list[str] = []

    async def asynchronous() -> None:
        started.set()
        await anyio.sleep_forever()

    def plain(context: ToolContext) -> None:
        context.report("started")
        release.wait(10.0)

    made: Tool[..., object] = Tool.from_function(plain) if threaded else Tool.from_function(asynchronous)

    async def caller() -> None:
        try:
            await made.call({}, ToolContext(report=lambda progress: started.set()))
        except anyio.get_cancelled_exc_class():
            outcome.append("cancelled")
            raise
        except ToolTimeout:
            outcome.append("timeout")

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(caller)
            await started.wait()
            group.cancel_scope.cancel()
    finally:
        release.set()
    assert outcome == ["cancelled"]


async def test_cancelled_call_does_not_start() -> None:
    """A caller that is cancelled already, or whose deadline is past, runs nothing."""
    ran: list[int] = []

    async def asynchronous() -> None:
        ran.append(1)

    def plain() -> None:
        ran.append(2)

    async def generator() -> AsyncIterator[int]:
        ran.append(3)
        yield 1

    functions: list[Callable[..., object]] = [asynchronous, plain, generator]
    for function in functions:
        for threaded in (True, False):
            made = Tool.from_function(function, threaded=threaded)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await made.call({})
            assert scope.cancelled_caught
            with pytest.raises(ToolTimeout, match=r"within 0 s"):
                await made.call({}, ToolContext(deadline=anyio.current_time() - 1.0))
    assert ran == []


async def test_result_that_came_in_spite_of_the_deadline_counts() -> None:
    """A function that finishes its work although it was cancelled has succeeded."""

    @tool(timeout=0.05)
    async def stubborn() -> str:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            pass  # swallowing it is what this test is about
        return "saved"

    assert await stubborn.call({}) == "saved"


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
    def search(query: str) -> None:
        raise ToolRetry("give a longer query")

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


async def test_threads_are_bounded_by_the_limiter() -> None:
    """No more plain functions run at once than the limiter lets; the time-out covers the waiting for a thread."""
    limiter = CapacityLimiter(1)
    running, release = anyio.Event(), threading.Event()

    @tool
    def hold(context: ToolContext) -> str:
        context.report("running")
        release.wait(10.0)
        return "held"

    results: list[object] = []

    async def holder() -> None:
        results.append(await hold.call({}, ToolContext(report=lambda progress: running.set()), limiter=limiter))

    async with anyio.create_task_group() as group:
        group.start_soon(holder)
        await running.wait()
        with pytest.raises(ToolTimeout):
            await quick.call({}, limiter=limiter)
        assert await quick.call({}) == "quick"
        release.set()
    assert results == ["held"]
    assert await quick.call({}, limiter=limiter) == "quick"


async def test_hanging_tools_leave_other_threads_alone() -> None:
    """Tools that use up all their threads keep nobody else's from working."""
    release = threading.Event()
    started = 0
    all_started = anyio.Event()

    @tool(timeout=20.0)
    def hang(context: ToolContext) -> None:
        context.report("started")
        release.wait(20.0)

    def count(progress: object) -> None:
        nonlocal started
        started += 1
        if started == MAX_THREADS:
            all_started.set()

    no_arguments: dict[str, object] = {}
    async with anyio.create_task_group() as group:
        for _ in range(MAX_THREADS + 5):
            group.start_soon(hang.call, no_arguments, ToolContext(report=count))
        await all_started.wait()
        assert await to_thread.run_sync(lambda: 1) == 1
        assert started == MAX_THREADS
        release.set()
    assert started == MAX_THREADS + 5


async def test_plain_function_may_come_back_to_the_loop() -> None:
    """A function in a thread can use anyio's own way back."""

    async def on_the_loop(x: int) -> int:
        await checkpoint()
        return x + 1

    @tool
    def function(x: int) -> int:
        return from_thread.run(on_the_loop, x)

    assert await function.call({"x": 1}) == 2
