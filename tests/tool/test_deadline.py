"""A tool ends within its deadline or when its caller is cancelled, and hangs nothing but itself."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest
from anyio import CapacityLimiter, to_thread

from tinyllm_actors.errors import ToolTimeout
from tinyllm_actors.tool import Tool, ToolContext, tool
from tinyllm_actors.tool.execution import MAX_THREADS

pytestmark = pytest.mark.anyio


# Made here rather than in its test: with the first schema pydantic looks for plugins on disk.
@tool(timeout=0.05)
def quick() -> str:
    """Answer at once."""
    return "quick"


def reporting_to(seen: list[object], **fields: Any) -> ToolContext:
    """Return a context whose reports are collected."""
    return ToolContext(report=seen.append, **fields)


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


@pytest.mark.virtual_time
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


@pytest.mark.virtual_time
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


@pytest.mark.virtual_time
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
