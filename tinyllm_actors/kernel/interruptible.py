"""Parts of a handler for which a stop does not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyllm_actors.kernel.envelope import CURRENT

if TYPE_CHECKING:
    from types import TracebackType

    from tinyllm_actors.kernel.cell import Cell

__all__ = ["Interruptible"]


class Interruptible:
    """A block of a handler that is cancelled at once when its actor is stopped; see `ActorContext.interruptible`."""

    __slots__ = ("_before", "_cell", "_incarnation")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        current = CURRENT.get()
        handles = current is not None and current.receiver is cell
        self._incarnation = cell.incarnation if handles else 0  # a task of the actor's is no handler
        self._before = 0

    def __enter__(self) -> None:
        if not self._incarnation:
            return
        cell = self._cell
        cold, worker = cell.cold, cell.worker
        self._before, cold.interruptible = cold.interruptible, self._incarnation
        if worker is not None and cold.halting:  # who stops it is waiting for it already
            worker.scope.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cold = self._cell.cold
        if self._incarnation and cold.interruptible == self._incarnation:  # else it is that of a later one
            cold.interruptible = self._before
