"""The asyncio loop in a thread that serves trio: see `_asyncio_bridge` for what it promises.

"Near" is the trio side, "far" the asyncio side. Each object says which side may touch what; what crosses goes through
`TrioToken.run_sync_soon` and `loop.call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections import deque
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple

import anyio
import outcome
import sniffio
import structlog
import trio

from tinyllm_actors.errors import ForeignCancellation
from tinyllm_actors.integrations._asyncio_bridge import GRACE, Bridge, name_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine

__all__ = ["Host", "ThreadBridge"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Host:
    """One asyncio loop in a daemon thread, counted by its users.

    A daemon, because a far function that blocks its thread for ever must not keep the process from ending.
    """

    lock = threading.Lock()
    current: Host | None = None

    def __init__(self) -> None:
        self.users = 0
        self.closing = False
        self.far_tasks: set[_FarTask] = set()
        self.loop = asyncio.new_event_loop()
        self._on_finished: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="tinyllm-actors-asyncio", daemon=True)
        self._thread.start()

    @classmethod
    def acquire(cls) -> Host:
        with cls.lock:
            if cls.current is None:
                cls.current = cls()
            cls.current.users += 1
            return cls.current

    async def release(self) -> None:
        """Count one user less; the last one stops the loop and waits for the end of the thread (near side)."""
        with self.lock:
            self.users -= 1
            if self.users:
                return
            if Host.current is self:
                Host.current = None
        token = trio.lowlevel.current_trio_token()
        finished = trio.Event()

        def on_finished() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(finished.set)

        self._on_finished = on_finished
        self.loop.call_soon_threadsafe(self._stop)
        # Each of the three steps of the end is bounded by GRACE except a thread of the loop's executor that hangs.
        with trio.move_on_after(4 * GRACE, shield=True):
            await finished.wait()
        if finished.is_set():
            self._thread.join()  # it has nothing left to do but return
        else:
            structlog.get_logger(__name__).warning("asyncio thread abandoned", waited=4 * GRACE)

    def _stop(self) -> None:
        self.closing = True
        self.loop.stop()

    def _run(self) -> None:
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self._end())
        finally:
            self.loop.close()
            self._on_finished()

    async def _end(self) -> None:
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=GRACE)
        for far_task in tuple(self.far_tasks):
            far_task.abandon()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()

    @classmethod
    def forget(cls) -> None:
        """Start afresh in a forked child, which has the object but not the thread."""
        cls.current = None
        cls.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Host.forget)


class _FarTask:
    """One asyncio task, started, cancelled and awaited from the near side.

    `start` and `cancel` are for the near side; `on_end` is called there, once, with what became of the task, or
    with None when it was cancelled as the near side had asked.
    """

    __slots__ = ("_cancel_asked", "_context", "_ended", "_function", "_host", "_label", "_on_end", "_task", "_token")

    def __init__(
        self,
        host: Host,
        function: Callable[[], Coroutine[Any, Any, Any]],
        label: object,
        on_end: Callable[[outcome.Outcome[Any] | None], None],
    ) -> None:
        self._host = host
        self._function = function
        self._label = label
        self._on_end = on_end
        self._token = trio.lowlevel.current_trio_token()
        self._context = contextvars.copy_context()
        self._context.run(sniffio.current_async_library_cvar.set, "asyncio")
        self._task: asyncio.Task[outcome.Outcome[Any]] | None = None
        self._cancel_asked = False
        self._ended = False

    def start(self) -> None:
        self._host.loop.call_soon_threadsafe(self._start)

    def cancel(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: the task has ended, and said so
            self._host.loop.call_soon_threadsafe(self._cancel)

    # The far side.

    def _start(self) -> None:
        self._host.far_tasks.add(self)
        self._task = self._host.loop.create_task(self._guarded(), context=self._context)
        self._task.add_done_callback(self._done)

    async def _guarded(self) -> outcome.Outcome[Any]:
        # SystemExit and KeyboardInterrupt would end the loop of everyone: they are the near side's affair too.
        try:
            return outcome.Value(await self._function())
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            return outcome.Error(error)

    def _cancel(self) -> None:
        self._cancel_asked = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self._host.loop.call_later(GRACE, self.abandon)

    def abandon(self) -> None:
        """Stop waiting for a task that ignores its cancellation (far side)."""
        if self._ended or self._task is None:
            return
        self._task.cancel()
        structlog.get_logger(__name__).warning(
            "asyncio function abandoned", function=name_of(self._label), waited=GRACE
        )
        self._end(self._cancellation())

    def _done(self, task: asyncio.Task[outcome.Outcome[Any]]) -> None:
        if not self._ended:
            self._end(self._cancellation() if task.cancelled() else task.result())

    def _cancellation(self) -> outcome.Outcome[Any] | None:
        if self._cancel_asked:
            return None
        if self._host.closing:
            return outcome.Error(anyio.ClosedResourceError())
        return outcome.Error(ForeignCancellation(name_of(self._label)))

    def _end(self, end: outcome.Outcome[Any] | None) -> None:
        self._ended = True
        self._host.far_tasks.discard(self)
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._on_end, end)


class ThreadBridge(Bridge):
    """The bridge on trio."""

    def __init__(self) -> None:
        trio.lowlevel.current_trio_token()  # raises RuntimeError where no loop runs
        self._host = Host.acquire()

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            await self._host.release()

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        if self.closed:
            raise anyio.ClosedResourceError
        await trio.lowlevel.checkpoint_if_cancelled()
        caller = trio.lowlevel.current_task()
        cancelled: outcome.Outcome[Any] = outcome.Error(trio.TrioInternalError("never asked to cancel"))

        async def run() -> T:
            return await function(*args)

        def on_end(end: outcome.Outcome[Any] | None) -> None:
            trio.lowlevel.reschedule(caller, cancelled if end is None else end)

        def abort(raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
            nonlocal cancelled
            cancelled = outcome.capture(raise_cancel)
            far_task.cancel()
            return trio.lowlevel.Abort.FAILED  # the far side answers, within GRACE

        far_task = _FarTask(self._host, run, function, on_end)
        far_task.start()
        return await trio.lowlevel.wait_task_rescheduled(abort)

    @asynccontextmanager
    async def stream(
        self, function: Callable[[*Ts], AsyncGenerator[T, None]], *args: *Ts, buffer: int = 64
    ) -> AsyncGenerator[AsyncIterator[T]]:
        if self.closed:
            raise anyio.ClosedResourceError
        items = _Items[T](self._host, lambda: function(*args), function, buffer)
        try:
            yield items
        except BaseException:
            await items.end()
            raise
        if isinstance(end := await items.end(), outcome.Error):
            raise end.error


class _Items(Generic[T]):
    """The items of a far generator for one near reader.

    `_items` is filled far and emptied near. Credits, which are far, hold the generator back; they return in batches
    of half the buffer, since each return wakes the far thread.
    """

    def __init__(
        self, host: Host, generator: Callable[[], AsyncGenerator[T, None]], label: object, buffer: int
    ) -> None:
        if buffer < 0:
            raise ValueError(f"buffer must be 0 or more, not {buffer!r}")
        self._host = host
        self._generator = generator
        self._items: deque[T] = deque()
        self._token = trio.lowlevel.current_trio_token()
        self._wake_pending = False
        self._credits = buffer + 1
        self._credit: asyncio.Future[None] | None = None
        self._batch = max(1, self._credits // 2)
        self._taken = 0
        self._reader: trio.lowlevel.Task | None = None
        self._ended = trio.Event()
        self._outcome: outcome.Outcome[Any] | None = None
        self._far_task = _FarTask(host, self._pump, label, self._on_end)
        self._far_task.start()

    # The near side.

    def __aiter__(self) -> _Items[T]:
        return self

    async def __anext__(self) -> T:
        if self._items or self._ended.is_set():
            await trio.lowlevel.checkpoint()
        while not self._items:
            # The end is sent after the last item, so an end that is seen here has nothing before it.
            if self._ended.is_set():
                end, self._outcome = self._outcome, None
                if isinstance(end, outcome.Error):
                    raise end.error
                raise StopAsyncIteration
            await self._park()
        self._taken += 1
        if self._taken >= self._batch and not self._ended.is_set():
            self._host.loop.call_soon_threadsafe(self._grant, self._taken)
            self._taken = 0
        return self._items.popleft()

    async def end(self) -> outcome.Outcome[Any] | None:
        """Close the generator, wait until it is closed, and return the end that the reader has not seen."""
        if not self._ended.is_set():
            self._far_task.cancel()
            with trio.CancelScope(shield=True):  # the far side ends within GRACE
                await self._ended.wait()
        return self._outcome

    async def _park(self) -> None:
        if self._reader is not None:
            raise anyio.BusyResourceError("reading from")
        self._reader = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._reader = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _wake(self) -> None:
        self._wake_pending = False  # before the reader looks, so that what comes after its look wakes it again
        reader, self._reader = self._reader, None
        if reader is not None:
            trio.lowlevel.reschedule(reader)

    def _on_end(self, end: outcome.Outcome[Any] | None) -> None:
        self._outcome = end
        self._ended.set()
        self._wake()

    # The far side.

    async def _pump(self) -> None:
        async with aclosing(self._generator()) as items:
            async for item in items:
                self._items.append(item)
                if not self._wake_pending:
                    self._wake_pending = True
                    self._token.run_sync_soon(self._wake)
                self._credits -= 1
                while self._credits <= 0:
                    self._credit = self._host.loop.create_future()
                    await self._credit

    def _grant(self, count: int) -> None:
        self._credits += count
        if self._credit is not None and not self._credit.done():
            self._credit.set_result(None)
