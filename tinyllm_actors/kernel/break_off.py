"""The end of a shutdown that takes too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from tinyllm_actors.kernel import life
from tinyllm_actors.kernel.hooks import abandon, abandon_tasks
from tinyllm_actors.kernel.lifecycle import ExitReason, Lifecycle

if TYPE_CHECKING:
    from tinyllm_actors.kernel.cell import Cell

__all__ = ["break_off"]


async def break_off(root: Cell) -> None:
    """End what an orderly shutdown did not end in time: cancel it all at once, and abandon what does not stop.

    Returns within the system's `grace`; every message that was left is accounted for.
    """
    cells = _post_order(root)
    for cell in cells:
        cell.system.care.end(cell, ExitReason.SHUTDOWN, 0.0)
        if cell.worker is not None:
            cell.worker.scope.cancel()
        if cell.extra is not None:
            for task in cell.extra.tasks:
                task.cancel()
    grace = root.system.grace
    with anyio.move_on_after(grace):
        await life.joined(root)
    for cell in cells:
        if cell.worker is not None:
            abandon(cell, cell.worker, grace)
        abandon_tasks(cell)
        life.finish(cell)


def _post_order(cell: Cell) -> list[Cell]:
    """Return the cells of a tree that have not ended, children before parents."""
    if cell.state is Lifecycle.STOPPED:
        return []
    return [*(below for child in cell.children for below in _post_order(child)), cell]
