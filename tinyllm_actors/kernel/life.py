"""The steps of an actor's life that take time: start, halt, end. Each works on one cell and awaits.

The ladder of a halt is the same everywhere: ask (no further message), wait (`shutdown` seconds for the one in
processing), cancel, and, should that be swallowed, abandon and say so. Nothing here waits without a bound.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import anyio

from tinyllm_actors.errors import ActorStopped, StartFailed
from tinyllm_actors.kernel import behaviour, watch
from tinyllm_actors.kernel.actor import Actor
from tinyllm_actors.kernel.cell import LEAVING, PAUSED, URGENT
from tinyllm_actors.kernel.dedicated import Runner
from tinyllm_actors.kernel.deferred import fail_deferred, requeue
from tinyllm_actors.kernel.events import ActorTerminated
from tinyllm_actors.kernel.hooks import abandon, abandon_tasks, run_hook
from tinyllm_actors.kernel.lifecycle import Event, ExitKind, ExitReason, Lifecycle
from tinyllm_actors.kernel.owned import Passivation
from tinyllm_actors.kernel.restart import Restart, unwrap
from tinyllm_actors.kernel.restart_job import leave

if TYPE_CHECKING:
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.slots import Slot

__all__ = [
    "ended",
    "finish",
    "halt",
    "joined",
    "make",
    "refuse_waiting",
    "start",
    "start_at_once",
    "start_with_hook",
    "started",
    "stop_children",
]


_NOT_PAUSED: Final = ~PAUSED
_START: Final = Event.START
_STARTED: Final = Event.STARTED
_END: Final = Event.STOPPED
_NEW: Final = Lifecycle.NEW
_STARTING: Final = Lifecycle.STARTING
_RUNNING: Final = Lifecycle.RUNNING
_STOPPING: Final = Lifecycle.STOPPING
_STOPPED: Final = Lifecycle.STOPPED


def make(cell: Cell) -> bool:
    """Make the next incarnation's object. Returns whether `started()` is still to run.

    Raises:
        Exception: what the factory raised.
        TypeError: it made something else than an actor.
    """
    if cell.state is _NEW and not cell.system.events_stream.transitions:
        cell.state = _STARTING  # see `Cell.transition`
    else:
        cell.transition(_START)
    cell.incarnation += 1
    actor = cell.spec.make()
    if not isinstance(actor, Actor):  # pyright: ignore[reportUnnecessaryIsInstance] - the factory may be untyped
        raise TypeError(f"the factory of {cell.path!r} made a {type(actor).__name__}, not an Actor")
    actor.kernel_cell = cell
    cell.actor = actor
    if actor.kernel_has_started or cell.spec.options.dedicated:
        return True
    started(cell)
    return False


def started(cell: Cell) -> None:
    """Open for messages."""
    cell.attention &= _NOT_PAUSED
    cell.reason = None
    actor, options = cell.actor, cell.spec.options
    cell.plain = options.inline and actor is not None and not actor.kernel_receive_is_async
    passivate_after = options.passivate_after
    if passivate_after is not None:
        cold = cell.cold
        cold.idle_timers = (*cold.idle_timers, Passivation(cell, passivate_after))
    extra = cell.extra
    if extra is not None and extra.observers:
        behaviour.refresh(cell)
    if cell.state is _STARTING and not cell.system.events_stream.transitions:
        cell.state = _RUNNING  # see `Cell.transition`
    else:
        cell.transition(_STARTED)
    if extra is None and cell.mailbox is None and not cell.attention:
        cell.idle = True  # nothing waits: what `wake` would find out
    else:
        cell.wake()


async def start(cell: Cell) -> None:
    """Start the next incarnation; returns once it takes messages.

    Raises:
        StartFailed: its constructor or `started()` raised, or it was stopped meanwhile.
    """
    if not start_at_once(cell):
        await start_with_hook(cell)


def start_at_once(cell: Cell) -> bool:
    """Start the next incarnation of an actor that awaits nothing for it; False where `start_with_hook` must follow.

    Raises:
        StartFailed: its constructor raised.
    """
    try:
        return not make(cell)
    except BaseException as error:
        raise _not_started(cell, error) from error


async def start_with_hook(cell: Cell) -> None:
    """Run `started()` of an actor that was made, and open it for messages.

    Raises:
        StartFailed: `started()` raised, or the actor was stopped meanwhile.
    """
    actor = cell.actor
    assert actor is not None
    try:
        if cell.spec.options.dedicated:
            cell.cold.runner = runner = Runner(cell, actor)
            await runner.started()
        else:
            await run_hook(cell, math.inf, actor.started)
    except BaseException as error:
        raise _not_started(cell, error) from error
    if cell.state is not Lifecycle.STARTING:
        # It is up, so whoever stopped it, and waits for us, must run `stopped()`.
        raise StartFailed(cell.path, ActorStopped(cell.path, "it was stopped while it started"))
    started(cell)


def _not_started(cell: Cell, error: BaseException) -> StartFailed:
    """Take back a start that failed. Returns what to raise.

    Raises:
        BaseException: `error` itself, where it is no failure but a cancellation or the end of the program.
    """
    cell.actor = None
    cause = unwrap(error)
    _drop_owned(cell, ExitReason(ExitKind.FAILED, cause))
    if not isinstance(error, Exception):
        raise error
    # A part that did not start is the reason why the whole did not: name the reason, not the chain.
    return StartFailed(cell.path, cause.cause if isinstance(cause, StartFailed) else cause)


async def _quiesce(cell: Cell, patience: float) -> None:
    """Wait until nothing of the cell runs."""
    worker = cell.worker
    if worker is None:
        return
    interruptible = cell.extra is not None and cell.extra.interruptible == cell.incarnation
    if patience > 0 and not interruptible and await _quiet_within(cell, patience):
        return
    if cell.worker is not worker:
        return  # it ended in the same instant, and its worker may be with another actor
    worker.scope.cancel()
    if not await _quiet_within(cell, cell.system.grace) and cell.worker is worker:
        abandon(cell, worker, cell.system.grace)


async def quiet(cell: Cell) -> None:
    """Wait until no handler of the cell runs."""
    await _quiet_within(cell, math.inf)


async def _quiet_within(cell: Cell, seconds: float) -> bool:
    with anyio.move_on_after(seconds if seconds != math.inf else None):
        while cell.worker is not None or (cell.extra is not None and cell.extra.tasks and cell.actor is None):
            await _next_change(cell)
        return True
    return False


async def _next_change(cell: Cell) -> None:
    """Wait until `notify_quiet` is called."""
    slot: Slot = cell.system.backend.new_slot()
    cold = cell.cold
    cold.quiet = [*cold.quiet, slot]
    try:
        await slot
    finally:
        if cold.quiet and slot in cold.quiet:
            cold.quiet.remove(slot)


def ended(cell: Cell) -> bool:
    """Whether the final stop has come, or is on its way."""
    return cell.state is _STOPPING or cell.state is _STOPPED


async def halt(cell: Cell, reason: ExitReason, patience: float | None = None, *, keep_children: bool = False) -> None:
    """End the incarnation: its message, its children, its tasks and timers, and then `stopped()`.

    Args:
        cell: whose incarnation.
        reason: what `stopped()` is told.
        patience: seconds for the message in processing; None for the child's own `shutdown`, 0 to cancel at once.
        keep_children: halt the children but leave them in the tree, to be started again.
    """
    cell.attention |= PAUSED
    cell.idle = False
    if patience is None:
        patience = cell.spec.options.shutdown
    cold = cell.cold
    while cold.halting:  # one at a time: the next incarnation must not meet the hooks of this one
        if patience <= 0 and cell.worker is not None:
            cell.worker.scope.cancel()
        await _next_change(cell)
    cold.halting = True
    try:
        await _halt(cell, reason, patience, keep_children)
    finally:
        cold.halting = False
        cell.notify_quiet()


async def _halt(cell: Cell, reason: ExitReason, patience: float, keep_children: bool) -> None:
    await _quiesce(cell, patience)
    if keep_children:
        await _halt_children(cell)
    else:
        await stop_children(cell)
    extra = cell.extra
    shutdown = cell.spec.options.shutdown
    actor, cell.actor = cell.actor, None
    if extra is not None and extra.tasks:
        for task in list(extra.tasks):
            task.cancel()
        if not await _quiet_within(cell, cell.system.grace):
            abandon_tasks(cell)
    if cell.state is Lifecycle.STOPPED:
        return  # the shutdown was broken off meanwhile, and nobody is left to cancel a hook
    if extra is not None and extra.runner is not None:
        runner, extra.runner = extra.runner, None
        await runner.finish(reason, 0.0 if reason.kind is ExitKind.KILLED else shutdown)
    elif actor is not None and actor.kernel_has_stopped and reason.kind is not ExitKind.KILLED and shutdown > 0:
        try:
            await run_hook(cell, shutdown, actor.stopped, reason)
        except Exception as error:
            cell.system.care.report(cell, error)
    _drop_owned(cell, reason)


def _drop_owned(cell: Cell, reason: ExitReason) -> None:
    """Forget what belonged to the incarnation."""
    extra = cell.extra
    if extra is None:
        return
    fail_deferred(extra, cell.path, reason)
    requeue(cell, extra)
    if extra.ahead:
        cell.attention |= URGENT
    if cell.state is not Lifecycle.STOPPING:
        watch.forget(cell, extra)
    for timer in list(extra.timers.values()):
        timer.cancel()
    extra.timers.clear()
    for idle_timer in extra.idle_timers:
        idle_timer.cancel()
    extra.idle_timers = ()
    extra.receive_timeout = None
    extra.behaviours = ()
    extra.leaving = None
    cell.attention &= ~LEAVING


async def stop_children(cell: Cell) -> None:
    """End the children in reverse start order, or all at once where they do not depend on one another."""
    family = cell.family
    if family is None:
        return
    if cell.spec.unordered:
        for child in reversed(cell.children):
            cell.system.care.end(child, ExitReason.SHUTDOWN)
    while family.children:
        child = next(reversed(family.children.values()))
        cell.system.care.end(child, ExitReason.SHUTDOWN)
        await joined(child)


async def _halt_children(cell: Cell) -> None:
    """End the incarnations of the children in reverse start order; the temporary ones end for good."""
    for child in reversed(cell.children):
        if child.spec.options.restart is Restart.TEMPORARY or ended(child):
            cell.system.care.end(child, ExitReason.SHUTDOWN)
            await joined(child)
            continue
        leave(child)
        child.attention |= PAUSED
        child.idle = False
        if child.state is not Lifecycle.RESTARTING:
            child.transition(Event.RESTART)
        await halt(child, ExitReason.SHUTDOWN, keep_children=child.spec.keeps_children)


async def joined(cell: Cell) -> ExitReason:
    """Wait for the final stop."""
    while cell.state is not _STOPPED:
        slot = cell.system.backend.new_slot()
        cold = cell.cold
        if cold.joiners:
            cold.joiners.append(slot)
        else:
            cold.joiners = [slot]
        try:
            await slot
        finally:
            if cold.joiners and slot in cold.joiners:
                cold.joiners.remove(slot)
    return cell.reason or ExitReason.STOPPED


def refuse_waiting(cell: Cell) -> None:
    """Close the mailbox and account for everything in it."""
    cell.capacity = -1
    mailbox, cell.mailbox = cell.mailbox, None
    extra = cell.extra
    waiting = [] if mailbox is None else [queued for queued in mailbox if not queued.done]
    if extra is not None:
        waiting += extra.looks
        waiting += [envelope for envelope, _ in extra.postponed]
        waiting += [waiter.envelope for waiter in extra.waiters]
        for waiter in extra.waiters:
            waiter.admit()
        extra.waiters.clear()
        extra.looks = extra.postponed = extra.urgent = extra.inserted = extra.ahead = ()
    cell.attention &= PAUSED
    for envelope in waiting:
        cell.refuse(envelope, "stopped")


def finish(cell: Cell) -> None:
    """The final stop: take the cell out of the tree and tell who waits or watches."""
    if cell.state is _STOPPED:
        return
    system = cell.system
    extra = cell.extra
    if cell.mailbox is not None or extra is not None:
        refuse_waiting(cell)
    else:
        cell.capacity = -1
        cell.attention &= PAUSED
    if cell.state is _STOPPING and not system.events_stream.transitions:
        cell.state = _STOPPED  # see `Cell.transition`
    else:
        cell.transition(_END)
    cell.actor = None
    reason = cell.reason or ExitReason.STOPPED
    parent = cell.parent
    family = None if parent is None else parent.family
    if family is not None:
        family.children.pop(cell.name, None)
    if extra is not None:
        watch.tell_all(cell, extra, reason)
        joiners, extra.joiners = extra.joiners, ()
        for slot in joiners:
            slot.set()
    if system.events_stream.terminations:
        system.events_stream.publish(ActorTerminated(cell.path, reason))
    if parent is not None and family is not None:
        supervision = family.supervision  # made by the first failure, so most often there is none
        if cell.spec.options.significant:
            system.care.supervision(parent).gone(cell, reason)
        elif supervision is not None and (supervision.windows or supervision.streaks):
            supervision.gone(cell, reason)
