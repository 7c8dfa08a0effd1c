"""What a raised exception means: a failure, a cancelled message, a foreign cancellation, or the end of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import anyio

from tinyllm_actors.errors import ActorFailed, ActorStopped, ForeignCancellation, ScopeLeftOpen
from tinyllm_actors.kernel.deferred import recall
from tinyllm_actors.kernel.envelope import Ask
from tinyllm_actors.kernel.lifecycle import ExitKind
from tinyllm_actors.kernel.restart import inside, unwrap
from tinyllm_actors.kernel.slots import cancelled_from_outside

if TYPE_CHECKING:
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.envelope import Envelope
    from tinyllm_actors.kernel.scheduler import Worker

__all__ = ["Border", "meaning", "settle", "without_cancellation"]


def settle(cell: Cell, envelope: Envelope, error: BaseException, worker: Worker | None) -> BaseException:
    """End a message whose handler raised, and report a failure to the supervisor.

    A cancellation that the kernel asked for ends the message alone. One that nobody asked for (a library cancelled
    the future that the handler awaited) is a failure of that message, and must not reach the task group; so is a
    `GeneratorExit` of the handler's own. What ends the program (KeyboardInterrupt, SystemExit) ends the system first,
    in order.

    Returns:
        What the failure was, after all.
    """
    error = meaning(cell, error, worker)
    if isinstance(error, Exception):
        _failed(cell, envelope, error)
        return error
    _cancelled(cell, envelope)
    if not isinstance(error, anyio.get_cancelled_exc_class()):
        cell.system.crash(error)
    return error


def meaning(cell: Cell, error: BaseException, worker: Worker | None) -> BaseException:
    """Return what it means that something of the actor's raised `error`.

    It is a `ForeignCancellation` where nobody asked for a cancellation, or where the coroutine raised `GeneratorExit`
    though nobody closes it; else what is left of the error, see `without_cancellation`.
    """
    error = without_cancellation(error)
    if isinstance(error, Exception):  # no cancellation, on any back end; to ask which class that is takes 0.6 µs
        return error
    if isinstance(error, GeneratorExit):
        asked_for = worker is not None and worker.abandoned
    elif isinstance(error, anyio.get_cancelled_exc_class()):
        asked_for = worker is not None and (worker.scope.cancel_called or cancelled_from_outside())
    else:
        return error
    if asked_for:
        return error
    foreign = ForeignCancellation(cell.path)
    foreign.__cause__ = error
    return foreign


class Border:
    """What is between a hook or a task of the user's and the kernel: `with worker.scope, Border(cell, worker): …`.

    Raises:
        ScopeLeftOpen: the block ended inside a scope that it had entered.
        ForeignCancellation: what it awaited was cancelled, and nobody had asked for that.
    """

    __slots__ = ("_cell", "_scopes", "_worker")

    def __init__(self, cell: Cell, worker: Worker) -> None:
        self._cell = cell
        self._worker = worker

    def __enter__(self) -> None:
        self._scopes = self._cell.system.backend.scopes()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._scopes.restore() and not self._worker.abandoned:
            raise ScopeLeftOpen(self._cell.path) from error
        if error is not None:
            meant = meaning(self._cell, error, self._worker)
            if isinstance(meant, Exception) and meant is not error:
                raise meant from meant.__cause__


def without_cancellation(error: BaseException) -> BaseException:
    """Return what is left of an exception group without the cancellations in it, unwrapped if it is one error.

    On trio a task group whose tasks fail while it is cancelled raises both in one group.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    cancelled, rest = group.split(anyio.get_cancelled_exc_class())
    if cancelled is None:
        return unwrap(group)
    return _first_leaf(cancelled) if rest is None else unwrap(rest)


def _first_leaf(error: BaseException) -> BaseException:
    leaves = inside(error)
    return _first_leaf(leaves[0]) if leaves else error


def _cancelled(cell: Cell, envelope: Envelope) -> None:
    if isinstance(envelope, Ask):
        reason = cell.reason
        if reason is not None and reason.kind is ExitKind.FAILED and reason.cause is not None:
            envelope.fail(ActorFailed(cell.path, reason.cause))
        else:
            why = "its work was cancelled" if reason is None else f"it was stopped ({reason})"
            envelope.fail(ActorStopped(cell.path, why, envelope.message))
    cell.let_go(envelope)


def _failed(cell: Cell, envelope: Envelope, error: BaseException) -> None:
    redeliveries = cell.spec.options.on_inflight.redeliveries
    if redeliveries and not envelope.done and cell.capacity >= 0:  # that is, unless it is being stopped
        if envelope.attempt < redeliveries:
            envelope.attempt += 1
            recall(envelope)  # whoever handles it again may answer it as usual
            envelope.since = 0.0
            assert cell.mailbox is not None  # it keeps it while it works, and such an actor does so in no other's task
            cell.mailbox.appendleft(envelope)
            cell.system.care.fail(cell, error)
            return
        cell.system.dead_letter(cell, envelope, "poison")
    if isinstance(envelope, Ask):
        envelope.fail(ActorFailed(cell.path, error))
    cell.let_go(envelope)
    cell.system.care.fail(cell, error)
