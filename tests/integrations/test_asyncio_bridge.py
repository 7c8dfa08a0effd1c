"""The bridge keeps the same promises on asyncio, where it calls, and on trio, where it crosses threads."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import anyio
import anyio.lowlevel
import pytest
import sniffio

from tinyllm_actors.errors import ForeignCancellation
from tinyllm_actors.integrations._asyncio_bridge import GRACE, Bridge, acquire_bridge, open_bridge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

pytestmark = pytest.mark.anyio

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


class Far:
    """What asyncio code does when a test asks; events tell the test where it is, from whichever thread."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.cleaned = threading.Event()
        self.produced = 0

    async def clean(self) -> None:
        """Take some turns of the loop to clean up, as closing a connection does."""
        with anyio.CancelScope(shield=True):
            for _ in range(200):
                await anyio.lowlevel.checkpoint()
        self.cleaned.set()

    async def hang(self) -> None:
        """Run until cancelled."""
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await self.clean()

    async def count(self, end: int) -> AsyncGenerator[int, None]:
        """Yield 0 to `end - 1`."""
        self.started.set()
        try:
            for number in range(end):
                self.produced += 1
                yield number
        finally:
            await self.clean()

    async def count_and_hang(self, end: int) -> AsyncGenerator[int, None]:
        """Yield 0 to `end - 1` and never end."""
        try:
            for number in range(end):
                yield number
            await asyncio.Event().wait()
        finally:
            await self.clean()

    async def count_and_fail(self, end: int) -> AsyncGenerator[int, None]:
        """Yield 0 to `end - 1` and fail."""
        for number in range(end):
            yield number
        raise KeyError("the generator failed")


async def until(event: threading.Event) -> None:
    """Wait for an event that another thread may set."""
    assert await anyio.to_thread.run_sync(event.wait, 5)


async def fail(error: BaseException) -> NoReturn:
    """Raise `error`."""
    raise error


async def cancel_what_i_await() -> None:
    """Await a future that is cancelled by somebody else, as libraries do to their own."""
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.cancel)
    await future


async def cancel_what_i_stream() -> AsyncGenerator[int, None]:
    """Yield once, then await a future that somebody else cancels."""
    yield 0
    await cancel_what_i_await()


async def add(left: int, right: int = 1) -> int:
    """Return the sum, after a turn of the loop."""
    await asyncio.sleep(0)
    return left + right


def bridge_threads() -> list[threading.Thread]:
    """Return the bridge's threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "tinyllm-actors-asyncio"]


async def test_call_returns_what_the_function_returns() -> None:
    """A call answers with the result, positional and keyword arguments included."""
    async with open_bridge() as bridge:
        assert await bridge.call(add, 1) == 2
        assert await bridge.call(partial(add, right=10), 1) == 11


async def test_call_runs_on_asyncio_whatever_the_backend() -> None:
    """The function sees asyncio: its own loop, anyio's and sniffio's opinion of it."""

    async def far() -> str:
        await anyio.lowlevel.checkpoint()
        assert asyncio.current_task() is not None
        return sniffio.current_async_library()

    async with open_bridge() as bridge:
        assert await bridge.call(far) == "asyncio"


async def test_exceptions_cross_as_they_are() -> None:
    """The caller gets the very object that the function raised."""
    error = KeyError("what")
    async with open_bridge() as bridge:
        with pytest.raises(KeyError) as caught:
            await bridge.call(fail, error)
        assert caught.value is error
        assert await bridge.call(add, 1) == 2


async def test_a_system_exit_far_away_reaches_the_caller_and_spares_the_loop(anyio_backend_name: str) -> None:
    """An exit raised by a function on the far loop is the caller's; other calls go on."""
    if anyio_backend_name != "trio":
        pytest.skip("on asyncio it ends the loop, as everywhere on asyncio")
    async with open_bridge() as bridge:
        with pytest.raises(SystemExit):
            await bridge.call(fail, SystemExit(3))
        assert await bridge.call(add, 1) == 2


async def test_context_variables_cross_in() -> None:
    """The function sees the caller's context variables."""

    async def far() -> str:
        return VARIABLE.get()

    VARIABLE.set("near")
    async with open_bridge() as bridge:
        assert await bridge.call(far) == "near"


async def test_cancelling_the_caller_runs_the_functions_cleanup_first() -> None:
    """When the cancelled caller goes on, the function's `finally` blocks have run."""
    far = Far()
    async with open_bridge() as bridge:
        with anyio.fail_after(GRACE / 2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bridge.call, far.hang)
                await until(far.started)
                tasks.cancel_scope.cancel()
        assert far.cleaned.is_set()


async def test_a_deadline_of_the_caller_ends_the_call() -> None:
    """A deadline is a cancellation: the call ends and so does the function."""
    far = Far()
    async with open_bridge() as bridge:
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.05):
                await bridge.call(far.hang)
        assert far.cleaned.is_set()


async def test_a_cancelled_caller_starts_nothing() -> None:
    """A caller that is cancelled before the call never reaches the function's first await."""
    reached = threading.Event()

    async def far() -> None:
        await asyncio.sleep(0)
        reached.set()

    async with open_bridge() as bridge:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await bridge.call(far)
        assert scope.cancelled_caught
        assert await bridge.call(add, 1) == 2
    assert not reached.is_set()


async def test_an_error_in_the_cleanup_of_a_cancelled_call_is_not_lost() -> None:
    """What the function raises while it cleans up reaches the caller in place of the cancellation."""
    started = threading.Event()

    async def far() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError("cleanup")

    async with open_bridge() as bridge:
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                await until(started)
                scope.cancel()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel)
                with pytest.raises(KeyError, match="cleanup"):
                    await bridge.call(far)


async def test_foreign_cancellation_of_a_call_is_a_failure() -> None:
    """When a library cancels what the function awaits, the caller gets an error and lives on."""
    async with open_bridge() as bridge:
        with pytest.raises(ForeignCancellation, match="cancel_what_i_await"):
            await bridge.call(cancel_what_i_await)
        assert await bridge.call(add, 1) == 2


async def test_foreign_cancellation_of_a_stream_is_a_failure() -> None:
    """The same for a generator: the items until then, then an error where the reader is."""
    async with open_bridge() as bridge, bridge.stream(cancel_what_i_stream) as items:
        assert await anext(items) == 0
        with pytest.raises(ForeignCancellation):
            await anext(items)


async def test_a_function_that_ignores_cancellation_is_abandoned(
    anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On trio the caller waits GRACE for a stubborn function and not longer; the next call works."""
    if anyio_backend_name != "trio":
        pytest.skip("on asyncio the caller runs the function itself")
    from tinyllm_actors.integrations import _asyncio_thread

    monkeypatch.setattr(_asyncio_thread, "GRACE", 0.02)
    started, release = threading.Event(), asyncio.Event()

    async def stubborn() -> None:
        started.set()
        while True:
            try:
                await release.wait()
                return
            except asyncio.CancelledError:
                continue

    async def let_go() -> None:
        release.set()
        await asyncio.sleep(0)

    async with open_bridge() as bridge:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bridge.call, stubborn)
                await until(started)
                tasks.cancel_scope.cancel()
        assert await bridge.call(add, 1) == 2
        await bridge.call(let_go)


async def test_stream_yields_all_items_in_order() -> None:
    """A stream is complete and ordered at each buffer size, lock-step included."""
    async with open_bridge() as bridge:
        for buffer in (0, 1, 3, 64):
            async with bridge.stream(Far().count, 500, buffer=buffer) as items:
                assert [item async for item in items] == list(range(500))


async def test_stream_refuses_a_negative_buffer(anyio_backend_name: str) -> None:
    """A buffer below 0 is the caller's mistake, and named."""
    if anyio_backend_name != "trio":
        pytest.skip("on asyncio nothing is buffered")
    async with open_bridge() as bridge:
        with pytest.raises(ValueError, match="-1"):
            async with bridge.stream(Far().count, 1, buffer=-1):
                pass


async def test_stream_raises_the_generators_error_behind_its_items() -> None:
    """The reader gets what was yielded, then the error; nothing is raised a second time at the end."""
    async with open_bridge() as bridge, bridge.stream(Far().count_and_fail, 3) as items:
        assert [await anext(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(KeyError, match="the generator failed"):
            await anext(items)


async def test_an_unread_stream_is_bounded() -> None:
    """A generator stands still when `buffer + 1` items wait for the reader."""
    far = Far()
    async with open_bridge() as bridge, bridge.stream(far.count, 1_000_000, buffer=4) as items:
        assert await anext(items) == 0
        for _ in range(20):  # calls take turns with the generator on the far loop, so it had its chances
            await bridge.call(add, 1)
        assert far.produced <= 4 + 1 + 1


async def test_leaving_a_stream_early_closes_the_generator() -> None:
    """When the block is left, the generator's `finally` blocks have run, whether it was held back or awaiting."""
    async with open_bridge() as bridge:
        held = Far()
        async with bridge.stream(held.count, 1_000_000, buffer=2) as items:
            assert await anext(items) == 0
        assert held.cleaned.is_set()
        awaiting = Far()
        async with bridge.stream(awaiting.count_and_hang, 1) as items:
            assert await anext(items) == 0
        assert awaiting.cleaned.is_set()


async def test_an_unread_stream_closes_without_having_started() -> None:
    """A block that reads nothing ends at once."""
    async with open_bridge() as bridge:
        with anyio.fail_after(5):
            async with bridge.stream(Far().count_and_hang, 1):
                pass


async def test_cancelling_the_reader_closes_the_generator() -> None:
    """A deadline around a silent stream ends it and runs the generator's cleanup."""
    far = Far()
    async with open_bridge() as bridge:
        with anyio.move_on_after(0.05) as scope:
            async with bridge.stream(far.count_and_hang, 2) as items:
                async for _ in items:
                    pass
        assert scope.cancelled_caught
        assert far.cleaned.is_set()


async def test_an_error_in_the_block_wins_over_the_generators_end() -> None:
    """The block's own exception is what leaves it."""

    async def read(bridge: Bridge) -> None:
        async with bridge.stream(Far().count_and_hang, 1) as items:
            assert await anext(items) == 0
            raise LookupError("mine")

    async with open_bridge() as bridge:
        with pytest.raises(LookupError, match="mine"):
            await read(bridge)


async def test_two_readers_of_one_stream_are_refused(anyio_backend_name: str) -> None:
    """The second reader that waits is told so; asyncio says it in its own words."""
    if anyio_backend_name != "trio":
        pytest.skip("asyncio's generators refuse by themselves")

    async def read(items: AsyncIterator[int]) -> None:
        await anext(items)

    async with (
        open_bridge() as bridge,
        bridge.stream(Far().count_and_hang, 0) as items,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(read, items)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await anext(items)
        tasks.cancel_scope.cancel()


async def test_one_thread_serves_all_bridges_and_ends_with_the_last(anyio_backend_name: str) -> None:
    """On trio all bridges share one thread, gone when the last one has closed; on asyncio there is none."""
    expected = 1 if anyio_backend_name == "trio" else 0
    first = acquire_bridge()
    second = acquire_bridge()
    assert await first.call(add, 1) == await second.call(add, 1) == 2
    assert len(bridge_threads()) == expected
    await first.aclose()
    await first.aclose()
    assert await second.call(add, 1) == 2
    await second.aclose()
    assert bridge_threads() == []
    async with open_bridge() as third:
        assert await third.call(add, 2) == 3
    assert bridge_threads() == []


async def test_closing_cancels_what_was_left_on_the_loop(anyio_backend_name: str) -> None:
    """On trio, background tasks that a client leaves on the far loop are cancelled with their cleanup."""
    if anyio_backend_name != "trio":
        pytest.skip("on asyncio the loop is the caller's")
    far = Far()
    kept: list[asyncio.Task[None]] = []

    async def leave_a_task() -> None:
        kept.append(asyncio.create_task(far.hang()))
        await asyncio.sleep(0)

    async with open_bridge() as bridge:
        await bridge.call(leave_a_task)
    assert far.cleaned.is_set()
    assert kept[0].cancelled()


async def test_a_call_in_flight_fails_when_the_loop_ends_under_it(anyio_backend_name: str) -> None:
    """No caller waits for ever: closing the last bridge fails the calls that are under way."""
    if anyio_backend_name != "trio":
        pytest.skip("on asyncio the loop is the caller's")
    far = Far()
    bridge = acquire_bridge()

    async def call() -> None:
        with pytest.raises(anyio.ClosedResourceError):
            await bridge.call(far.hang)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await until(far.started)
        await bridge.aclose()


async def test_a_closed_bridge_refuses() -> None:
    """A call or a stream on a closed bridge is refused, not queued."""
    bridge = acquire_bridge()
    await bridge.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await bridge.call(add, 1)
    with pytest.raises(anyio.ClosedResourceError):
        async with bridge.stream(Far().count, 1):
            pass


async def test_closing_under_cancellation_still_joins_the_thread() -> None:
    """A cancelled owner leaves no thread behind."""
    far = Far()
    kept: list[asyncio.Task[None]] = []

    async def leave_a_task() -> None:
        kept.append(asyncio.create_task(far.hang()))
        await asyncio.sleep(0)

    with anyio.CancelScope() as scope:
        async with open_bridge() as bridge:
            await bridge.call(leave_a_task)
            scope.cancel()
    assert bridge_threads() == []
    for task in kept:
        task.cancel()


async def test_many_callers_share_the_loop() -> None:
    """Answers go to those who asked."""
    async with open_bridge() as bridge:
        answers: dict[int, int] = {}

        async def ask(number: int) -> None:
            answers[number] = await bridge.call(add, number)

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(ask, number)
    assert answers == {number: number + 1 for number in range(200)}


async def test_acquiring_without_a_loop_is_refused() -> None:
    """In a thread without an event loop there is nothing to bridge from."""
    with pytest.raises(RuntimeError):
        await anyio.to_thread.run_sync(acquire_bridge)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
async def test_a_forked_child_starts_afresh(anyio_backend_name: str) -> None:
    """A child process has no thread of its parent's, so it forgets the loop instead of waiting for it."""
    if anyio_backend_name != "trio":
        pytest.skip("on asyncio there is no shared loop")
    from tinyllm_actors.integrations import _asyncio_thread

    async with open_bridge():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, from Python 3.12
            pid = os.fork()
        if pid == 0:
            os._exit(0 if _asyncio_thread.Host.current is None else 1)
        _, status = await anyio.to_thread.run_sync(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
