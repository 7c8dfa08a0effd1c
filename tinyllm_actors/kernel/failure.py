"""What a raised exception means: a failure, a cancelled message, a foreign cancellation, or the end of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import anyio

from tinyllm_actors.errors import ActorFailed, ActorStopped, ForeignCancellation
from tinyllm_actors.kernel.deferred import recall
from tinyllm_actors.kernel.envelope import Ask
from tinyllm_actors.kernel.lifecycle import ExitKind
from tinyllm_actors.kernel.restart import inside, unwrap
from tinyllm_actors.kernel.slots import cancelled_from_outside

if TYPE_CHECKING:
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.envelope import Envelope
    from tinyllm_actors.kernel.scheduler import Worker

__all__ = ["settle", "without_cancellation"]


def settle(cell: Cell, envelope: Envelope, error: BaseException, worker: Worker | None) -> BaseException:
    """End a message whose handler raised, and report a failure to the supervisor.

    A cancellation that the kernel asked for ends the message alone. One that nobody asked for (a library cancelled
    the future that the handler awaited) is a failure of that message, and must not reach the task group. What ends
    the program (KeyboardInterrupt, SystemExit) ends the system first, in order.

    Returns:
        What the failure was, after all.

    Raises:
        BaseException: the worker itself is being cancelled, at the very end of a shutdown.
    """
    error = without_cancellation(error)
    if isinstance(error, Exception):  # no cancellation, on any back end
        _failed(cell, envelope, error)
        return error
    if isinstance(error, anyio.get_cancelled_exc_class()):
        if worker is not None:
            if worker.scope.cancel_called:
                _cancelled(cell, envelope)
                return error
            if cancelled_from_outside():
                _cancelled(cell, envelope)
                raise error
        foreign = ForeignCancellation(cell.path)
        foreign.__cause__ = error
        _failed(cell, envelope, foreign)
        return foreign
    _cancelled(cell, envelope)
    cell.system.crash(error)
    return error


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
    envelope.context = None


def _failed(cell: Cell, envelope: Envelope, error: BaseException) -> None:
    redeliveries = cell.spec.options.on_inflight.redeliveries
    if redeliveries and not envelope.done and cell.capacity >= 0:  # that is, unless it is being stopped
        if envelope.attempt < redeliveries:
            envelope.attempt += 1
            recall(envelope)  # whoever handles it again may answer it as usual
            envelope.since = 0.0
            mailbox = cell.mailbox
            if mailbox is None:
                mailbox = cell.new_queue()
            mailbox.appendleft(envelope)
            cell.system.care.fail(cell, error)
            return
        cell.system.dead_letter(cell, envelope, "poison")
    if isinstance(envelope, Ask):
        envelope.fail(ActorFailed(cell.path, error))
    envelope.context = None
    cell.system.care.fail(cell, error)
