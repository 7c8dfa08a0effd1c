"""The few things that differ between event loops: a one-shot slot, the clock, a bare yield, and what scopes are open.

This is the only module of the kernel that imports asyncio or trio. Everything else speaks anyio.
"""

from __future__ import annotations

import asyncio
import importlib
import math
import time
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

__all__ = ["Backend", "Future", "Scopes", "Slot", "cancelled_from_outside", "current_backend"]


class Slot(Protocol):
    """Something one task waits for and another sets, once. Waiting is a cancellation point."""

    def __await__(self) -> Generator[Any, Any, None]: ...

    def set(self) -> None:
        """Wake the waiter; later calls do nothing."""
        ...


class Future(Protocol):
    """The bare thing behind a slot, where an object and a generator less count: an ask that waits for its answer."""

    def __await__(self) -> Generator[Any, Any, None]: ...

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: None, /) -> None:
        """Wake the waiter; only while it is not done."""
        ...


class Scopes:
    """Whether the cancel scopes of the running task are those that were open when this was made, in that task.

    A handler that enters a scope or a task group and does not leave it leaves its worker inside: later handlers would
    run in a foreign scope, and the worker could not leave its own. Neither anyio nor trio shows which scope a task is
    in, so this looks into them; where it finds nothing it says that nothing was left open.

    Args:
        innermost: returns what stands for the innermost scope.
        parent_of: returns what stands for the scope around one.
        scope_of: returns the scope itself.
        nurseries: trio's list of those that the task is in.
    """

    __slots__ = ("_nurseries", "_outer", "_parent_of", "_scope_of", "innermost", "mark")

    def __init__(
        self,
        innermost: Callable[[], Any],
        parent_of: Callable[[Any], Any],
        scope_of: Callable[[Any], Any],
        nurseries: list[Any],
    ) -> None:
        self.innermost = innermost
        self.mark = innermost()
        self._parent_of = parent_of
        self._scope_of = scope_of
        self._nurseries = nurseries
        self._outer = len(nurseries)

    def restore(self) -> bool:
        """Cancel and leave what was left open. Returns whether the scopes were not as they had been."""
        inner = self.innermost()
        if inner is self.mark:
            return False
        left: list[Any] = []
        while inner is not None and inner is not self.mark:
            left.append(self._scope_of(inner))
            inner = self._parent_of(inner)
        if inner is not None:  # else one further out was left, which trio allows and nothing here can mend
            for scope in left:
                scope.cancel()  # what runs in a task group has nobody any more who waits for it
                scope.__exit__(None, None, None)
            del self._nurseries[self._outer :]
        return True


class Backend(Protocol):
    """One event loop, seen by the kernel."""

    def now(self) -> float:
        """Return the loop's clock, in seconds."""
        ...

    def new_slot(self) -> Slot:
        """Return a slot that is not set."""
        ...

    def new_future(self) -> Future:
        """Return the cheapest thing that a task can wait for, once."""
        ...

    def yield_now(self) -> Awaitable[None]:
        """Let every other ready task run once; a cancellation point."""
        ...

    def current_task(self) -> object:
        """The running task, for `interrupt`."""
        ...

    def interrupt(self, task: object) -> None:
        """Make `task` run again even inside a shield, where the loop can do that."""
        ...

    def forget_interrupt(self, task: object) -> None:
        """Take back the count of an `interrupt` that has had its effect."""
        ...

    def scopes(self) -> Scopes:
        """Return what tells whether the running task is in the cancel scopes that it is in now."""
        ...


def cancelled_from_outside() -> bool:
    """Whether an enclosing cancel scope asks the running task to end (so its cancellation is not a foreign one)."""
    return anyio.current_effective_deadline() == -math.inf


class _AsyncioSlot:
    """A future, made only when somebody really waits."""

    __slots__ = ("_fired", "_future")

    def __init__(self) -> None:
        self._fired = False
        self._future: asyncio.Future[None] | None = None

    def __await__(self) -> Generator[Any, Any, None]:
        if not self._fired:
            self._future = future = asyncio.get_running_loop().create_future()
            yield from future.__await__()

    def set(self) -> None:
        self._fired = True
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)


class _NextIteration:
    """What `asyncio.sleep(0)` does, without the coroutine around it. Keeps nothing, so one will do for all."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


_NEXT_ITERATION: Final = _NextIteration()


class _AsyncioBackend:
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        # What the loop's method calls, without the call, unless the loop has a clock of its own.
        standard = type(loop).time is asyncio.BaseEventLoop.time and "time" not in vars(loop)
        self.now = time.monotonic if standard else loop.time
        self.new_slot = _AsyncioSlot
        self.new_future = loop.create_future
        self._states: Any = getattr(importlib.import_module("anyio._backends._asyncio"), "_task_states", {})

    def yield_now(self) -> Awaitable[None]:
        return _NEXT_ITERATION

    def current_task(self) -> object:
        return asyncio.current_task()

    def interrupt(self, task: object) -> None:
        if isinstance(task, asyncio.Task):
            task.cancel()

    def forget_interrupt(self, task: object) -> None:
        if isinstance(task, asyncio.Task):
            task.uncancel()

    def scopes(self) -> Scopes:
        state = self._states.get(asyncio.current_task())
        return Scopes(partial(getattr, state, "cancel_scope", None), attrgetter("_parent_scope"), _itself, [])


def _itself(scope: object) -> object:
    return scope


class _TrioSlot(Slot, Future, Protocol):
    """Both in one: on trio a slot is nothing but the waiting task."""


def _trio_slot() -> Callable[[], _TrioSlot]:
    """Build what trio tasks wait for."""
    import trio

    current_task = trio.lowlevel.current_task
    reschedule = trio.lowlevel.reschedule
    wait_task_rescheduled = trio.lowlevel.wait_task_rescheduled
    succeeded = trio.lowlevel.Abort.SUCCEEDED

    class TrioSlot:
        __slots__ = ("_fired", "_task")

        def __init__(self) -> None:
            self._fired = False
            self._task: trio.lowlevel.Task | None = None

        def _abort(self, _: object) -> trio.lowlevel.Abort:
            self._task = None
            return succeeded

        def __await__(self) -> Generator[Any, Any, None]:
            if not self._fired:
                self._task = current_task()
                yield from wait_task_rescheduled(self._abort).__await__()

        def set(self) -> None:
            self._fired = True
            task = self._task
            if task is not None:
                self._task = None
                reschedule(task)

        def done(self) -> bool:
            return self._fired

        def set_result(self, _: None, /) -> None:
            self.set()

    return TrioSlot


def _trio_backend() -> Backend:
    """Build the trio side on first use, so that asyncio users need no trio."""
    import trio

    current_task = trio.lowlevel.current_task

    class TrioBackend:
        def __init__(self) -> None:
            self.now = trio.current_time
            self.new_slot = self.new_future = _trio_slot()

        def yield_now(self) -> Awaitable[None]:
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105 - the caller awaits it; a coroutine around it would cost

        def current_task(self) -> object:
            return current_task()

        def interrupt(self, task: object) -> None:
            """Trio has no such thing: a shield is a shield."""

        def forget_interrupt(self, task: object) -> None:
            """There was none."""

        def scopes(self) -> Scopes:
            task = current_task()
            nurseries: list[Any] = getattr(task, "_child_nurseries", [])
            innermost = partial(getattr, task, "_cancel_status", None)
            return Scopes(innermost, attrgetter("parent"), attrgetter("_scope"), nurseries)

    return TrioBackend()


def current_backend() -> Backend:
    """Return the backend of the running event loop.

    Raises:
        RuntimeError: no event loop is running.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _trio_backend()
    return _AsyncioBackend()
