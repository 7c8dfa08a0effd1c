"""Run a hook of the user's within bounds: cancel it when it takes too long, abandon it when that does not help."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ActorStopped, Unresponsive
from tinyllm_actors.kernel.envelope import Ask
from tinyllm_actors.kernel.events import Unanswered
from tinyllm_actors.kernel.failure import Border
from tinyllm_actors.kernel.lifecycle import ExitKind
from tinyllm_actors.kernel.scheduler import Suspension, Worker, begin, resume

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tinyllm_actors.kernel.cell import Cell

__all__ = ["abandon", "abandon_tasks", "run_hook"]


async def run_hook(cell: Cell, patience: float, hook: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
    """Run `started()` or `stopped()` in a context of its own, cancelled after `patience` seconds, then abandoned.

    Raises:
        Unresponsive: it was abandoned.
        ActorStopped: it was cancelled.
        ForeignCancellation: what it awaited was cancelled by somebody else.
        ScopeLeftOpen: it entered a scope and did not leave it.
        Exception: what the hook raised, or, where that is why it was cancelled, the failure of a child.
    """
    system = cell.system
    context = system.new_context()
    worker = Worker()
    worker.task = system.backend.current_task()
    cell.worker = worker
    guard = _Guard(cell, worker, patience)
    try:
        with worker.scope, Border(cell, worker):  # around the first step too: scopes that it opens must be inside
            outcome = context.run(begin, None, hook, *arguments)
            if type(outcome) is Suspension:
                await resume(outcome, context, worker)
    finally:
        guard.cancel()
        if cell.worker is worker:
            cell.worker = None
        cell.notify_quiet()
    if worker.abandoned:
        system.backend.forget_interrupt(worker.task)  # which may be the caller's own
        raise Unresponsive(cell.path, system.grace)
    if worker.scope.cancelled_caught:
        if cell.reason is not None and cell.reason.kind is ExitKind.FAILED and cell.reason.cause is not None:
            raise cell.reason.cause
        raise ActorStopped(cell.path, "it was cancelled")


class _Guard:
    """Cancels a hook that takes too long, and abandons it if that does not help."""

    def __init__(self, cell: Cell, worker: Worker, patience: float) -> None:
        self._cell = cell
        self._worker = worker
        system = cell.system
        self._entry = None if patience == math.inf else system.timers.at(system.now() + patience, self)

    def expire(self) -> None:
        system = self._cell.system
        if not self._worker.scope.cancel_called:
            self._worker.scope.cancel()
            self._entry = system.timers.at(system.now() + system.grace, self)
        else:
            abandon(self._cell, self._worker, system.grace)

    def cancel(self) -> None:
        if self._entry is not None:
            self._cell.system.timers.cancel(self._entry)


def abandon(cell: Cell, worker: Worker, waited: float) -> None:
    """Give up on a handler that swallows its cancellation: its coroutine is closed when it next runs."""
    worker.abandoned = True
    current = cell.current
    cell.worker = None
    if isinstance(current, Ask):
        current.fail(Unresponsive(cell.path, waited))
    cell.system.events_stream.publish(Unanswered(cell.path, waited))
    cell.system.backend.interrupt(worker.task)


def abandon_tasks(cell: Cell) -> None:
    """Give up on the actor's own tasks."""
    extra = cell.extra
    if extra is None or not extra.tasks:
        return
    tasks, extra.tasks = extra.tasks, ()
    for task in tasks:
        task.abandon()
    cell.system.events_stream.publish(Unanswered(cell.path, cell.system.grace))
