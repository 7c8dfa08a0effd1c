"""A restart that is under way: who takes part in it, and the wait before they start again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from tinyllm_actors.kernel.lifecycle import Lifecycle

if TYPE_CHECKING:
    from tinyllm_actors.kernel.cell import Cell

__all__ = ["RestartJob", "leave"]


class RestartJob:
    """Siblings that stop and start together. A cell is part of one at most; a later one takes it over.

    Attributes:
        cells: who is still part of it.
        backoff: the scope of the wait between stop and start.
    """

    __slots__ = ("backoff", "cells")

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self.backoff = anyio.CancelScope()

    def take(self, cell: Cell) -> None:
        """Make `cell` part of this restart and of no other."""
        leave(cell)
        cell.cold.restart_job = self
        self.cells.append(cell)

    def has(self, cell: Cell) -> bool:
        """Whether `cell` waits for this restart to start it."""
        return cell.state is Lifecycle.RESTARTING and cell.cold.restart_job is self


def leave(cell: Cell) -> None:
    """Take a cell out of the restart it is part of; one that has none left does not wait out its back-off."""
    job = None if cell.extra is None else cell.extra.restart_job
    if cell.extra is not None and job is not None:
        cell.extra.restart_job = None
        job.cells.remove(cell)
        if not job.cells:
            job.backoff.cancel()
