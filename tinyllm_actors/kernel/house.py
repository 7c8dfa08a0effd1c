"""Where the tasks of a system live: beside its block, and shielded from what cancels the block.

So a cancelled block, or a failure that reached the root, still ends in an orderly shutdown: the actors run on until
they are stopped one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import anyio

from tinyllm_actors.kernel.failure import without_cancellation
from tinyllm_actors.kernel.restart import unwrap

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context
    from types import TracebackType

    from anyio.abc import TaskGroup, TaskStatus

__all__ = ["House"]


class House:
    """Two task groups: one around the user's block, and inside of it a shielded one for everything else.

    Args:
        context: returns the context variables a task begins with.
    """

    def __init__(self, context: Callable[[], Context]) -> None:
        self._context = context
        self._block = anyio.create_task_group()
        self._inside: TaskGroup | None = None
        self._closing = anyio.Event()
        self._failure: BaseException | None = None

    async def open(self) -> None:
        """Enter both groups. The caller must be the task that later calls `close`."""
        await self._block.__aenter__()
        with anyio.CancelScope(shield=True):
            await self._block.start(self._keep)

    async def _keep(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as self._inside:
                task_status.started()
                await self._closing.wait()
                self._inside.cancel_scope.cancel()
            self._inside = None

    def start(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        """Run a coroutine function as a task; what it raises is a `fail`. Once the house is closed, nothing runs."""
        self.start_bare(self._guarded, function, *arguments)

    def start_bare(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        """Like `start`, without a frame around it: for a function that catches everything itself."""
        if self._inside is not None:
            self._context().run(self._inside.start_soon, function, *arguments)

    async def _guarded(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        try:
            await function(*arguments)
        except BaseException as error:
            failure = without_cancellation(error)
            if isinstance(failure, anyio.get_cancelled_exc_class()):
                raise
            # In the group it would cancel every other task, and with them the orderly shutdown.
            self.fail(failure)

    def fail(self, error: BaseException) -> None:
        """Cancel the block; `close` raises the first such error."""
        if self._failure is None:
            self._failure = error
            self._block.cancel_scope.cancel()

    async def close(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Cancel the tasks that are left, wait for them, and leave the block.

        Args:
            kind: what the block raised, as for `__aexit__`.
            error: what the block raised.
            traceback: what the block raised.

        Returns:
            Whether the block's exception is swallowed: only the cancellation that `fail` caused.

        Raises:
            BaseException: what was given to `fail`. An error of the block's own is preferred, with a note; but not to
                what ends the program.
        """
        self._closing.set()
        cancelled = error is not None and _holds_cancellation(error)
        try:
            # An error of the block is not shown to the group, which would wrap it.
            ours = await self._block.__aexit__(*((kind, error, traceback) if cancelled else (None, None, None)))
        except BaseExceptionGroup as group:
            if self._failure is None:
                raise unwrap(group) from None
        else:
            if self._failure is None:
                return ours if cancelled else None
        if error is not None and not cancelled and isinstance(self._failure, Exception):
            error.add_note(f"The actor system failed meanwhile: {type(self._failure).__name__}: {self._failure}")
            return None
        raise self._failure


def _holds_cancellation(error: BaseException) -> bool:
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).subgroup(cancelled) is not None
    return isinstance(error, cancelled)
