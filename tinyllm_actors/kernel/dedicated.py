"""The task of an actor that has one to itself (`ChildOptions.dedicated`).

`started()`, every handler and `stopped()` run in it, one after another. So what `started()` opens and `stopped()`
closes (a task group, a session, any `async with`) may stay open from one message to the next, which scopes require:
they must be left in the task that entered them. Each handler runs in a scope of its own, so that its message can be
cancelled alone; what a handler opens it must close before it returns.

`stopped()` runs in every case, after a failed start and a kill too, since nobody else can leave those scopes. After
a kill it runs cancelled: what it awaits ends at once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.errors import ActorFailed, ActorStopped, ForeignCancellation, ScopeLeftOpen
from tinyllm_actors.kernel.cell import DEDICATED, LEAVING, PAUSED, WAITERS
from tinyllm_actors.kernel.envelope import Ask, Envelope, Kind
from tinyllm_actors.kernel.events import Unanswered
from tinyllm_actors.kernel.failure import meaning, settle
from tinyllm_actors.kernel.lifecycle import ExitKind, ExitReason
from tinyllm_actors.kernel.restart import unwrap
from tinyllm_actors.kernel.scheduler import BATCH, Suspension, Worker, begin, invoke, open_stream, resume
from tinyllm_actors.kernel.slots import cancelled_from_outside

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tinyllm_actors.kernel.actor import Actor
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.slots import Slot

__all__ = ["Runner"]


class Runner:
    """One incarnation's task."""

    __slots__ = ("_actor", "_cell", "_ended", "_reason", "_scope", "_slot", "_started", "_waiting", "_worker")

    def __init__(self, cell: Cell, actor: Actor) -> None:
        self._cell = cell
        self._actor = actor
        self._scope = anyio.CancelScope()  # around everything; cancelled as the last resort
        self._slot: Slot | None = None  # what it sleeps on
        self._waiting: list[Slot] = []  # who waits for its start or its end
        self._started: bool | BaseException = False
        self._ended = False
        self._reason: ExitReason | None = None  # why it shall end
        self._worker: Worker | None = None  # that of the hook or message in processing
        cell.system.start_task(self._run)

    def wake(self) -> None:
        """Look at the mailbox."""
        if self._slot is not None:
            self._slot.set()
            self._slot = None

    # --- for whoever starts and halts the actor ----------------------------------------------------

    async def started(self) -> None:
        """Wait until `started()` is through.

        Raises:
            ActorStopped: it was cancelled.
            Exception: what it raised.
        """
        while self._started is False:
            await self._news()
        if isinstance(self._started, BaseException):
            raise self._started

    async def finish(self, reason: ExitReason, patience: float) -> None:
        """Let `stopped()` run and the task end; cancel it after `patience` seconds, then abandon it.

        Args:
            reason: what `stopped()` is told.
            patience: in seconds; 0 to cancel at once.
        """
        cell = self._cell
        if self._ended:
            return
        self._reason = reason
        if self._worker is not None and self._worker.abandoned:
            self._scope.cancel()  # when its handler gives in, this is all that is left to do
            return
        self.wake()
        if patience > 0 and await self._ended_within(patience):
            return
        self._scope.cancel()
        if not await self._ended_within(cell.system.grace):
            if self._worker is not None:
                self._worker.abandoned = True
                cell.system.backend.interrupt(self._worker.task)
            cell.system.events_stream.publish(Unanswered(cell.path, cell.system.grace))

    async def _ended_within(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds if seconds != math.inf else None):
            while not self._ended:
                await self._news()
        return self._ended

    async def _news(self) -> None:
        slot = self._cell.system.backend.new_slot()
        self._waiting.append(slot)
        await slot

    def _announce(self) -> None:
        for slot in self._waiting:
            slot.set()
        self._waiting.clear()

    # --- the task ----------------------------------------------------------------------------------

    async def _run(self) -> None:
        broken: BaseException | None = None
        try:
            with self._scope:
                scopes = self._cell.system.backend.scopes()
                broken = await self._live()
                if scopes.restore() and broken is None:
                    broken = ScopeLeftOpen(self._cell.path)
        finally:
            self._ended = True
            self._reason = None  # a failure holds the frames of this task, and they hold this
            self._announce()
            self._cell.notify_quiet()
        if broken is not None:
            self._cell.system.care.fail(self._cell, broken)

    async def _live(self) -> BaseException | None:
        """Start, handle messages, stop. Returns the failure of what the actor held open, if that ended it."""
        envelope: Envelope | None = None
        try:
            await self._hook(self._actor.started)
        except BaseException as error:
            await self._failed_start(error)
            return None
        self._started = True
        self._announce()
        try:
            while self._reason is None and envelope is None:
                # Before it looks for the first time too: until whoever starts it has seen that, it takes no messages.
                self._slot = slot = self._cell.system.backend.new_slot()
                await slot
                if self._reason is None:
                    envelope = await self._drain()
        except anyio.get_cancelled_exc_class():
            return await self._collapse(None)
        if envelope is not None:
            return await self._collapse(envelope)
        assert self._reason is not None
        self._report(await self._release(self._reason))
        return None

    async def _failed_start(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            cause: BaseException = unwrap(error)
        elif isinstance(error, anyio.get_cancelled_exc_class()):
            cause = ActorStopped(self._cell.path, "it was cancelled while it started")
        else:
            raise error
        self._report(await self._release(ExitReason(ExitKind.FAILED, cause)))
        self._started = cause
        self._announce()

    async def _release(self, reason: ExitReason) -> Exception | None:
        """Run `stopped()` and return its failure."""
        if not self._actor.kernel_has_stopped:
            return None
        try:
            await self._hook(self._actor.stopped, reason)
        except anyio.get_cancelled_exc_class():
            return None  # a kill, or its time was up
        except Exception as error:
            return error
        return None

    def _report(self, error: Exception | None) -> None:
        if error is not None:
            self._cell.system.care.report(self._cell, error)

    async def _collapse(self, envelope: Envelope | None) -> BaseException | None:
        """The task was cancelled by a scope that the actor holds open; when `stopped()` leaves that, it raises why.

        Who wants the whole task to end ends the message in processing first, or abandons it, and that does not come
        here.
        """
        cell = self._cell
        error = await self._release(ExitReason(ExitKind.FAILED, ForeignCancellation(cell.path)))
        cause = ForeignCancellation(cell.path) if error is None else unwrap(error)
        if isinstance(envelope, Ask):
            envelope.fail(ActorFailed(cell.path, cause))
        return cause

    async def _hook(self, hook: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        cell = self._cell
        self._worker = worker = Worker()
        worker.scope = self._scope
        worker.task = cell.system.backend.current_task()
        cell.worker = worker
        context = cell.system.new_context()
        try:
            outcome = context.run(begin, None, hook, *arguments)
            if type(outcome) is Suspension:
                await resume(outcome, context, worker)
        except GeneratorExit as error:
            raise meaning(cell, error, worker)  # noqa: B904 - it has a cause already
        finally:
            self._worker = None
            if cell.worker is worker:
                cell.worker = None
            cell.notify_quiet()

    async def _drain(self) -> Envelope | None:
        """Handle what waits. Returns a message during which the task itself was cancelled."""
        cell = self._cell
        budget = BATCH
        while True:
            if cell.attention & (PAUSED | LEAVING):
                cell.attend()
                return None
            if cell.attention != DEDICATED:
                cell.admit()
            mailbox = cell.mailbox
            if not mailbox:
                cell.rest()
                return None
            if budget == 0:
                budget = BATCH
                await cell.system.backend.yield_now()
                continue  # much may have happened meanwhile
            budget -= 1
            envelope = mailbox.popleft()
            if cell.attention & WAITERS:
                cell.admit_waiters()
            if envelope.context is None or (envelope.kind and envelope.done):
                continue
            if not await self._handle(envelope):
                return envelope

    async def _handle(self, envelope: Envelope) -> bool:
        """Run the handler in a scope of its own. False if it was cancelled by another one."""
        cell, actor, context = self._cell, self._actor, envelope.context
        assert context is not None
        worker = Worker()
        worker.task = cell.system.backend.current_task()
        worker.envelope = envelope
        self._worker = cell.worker = worker
        envelope.since = cell.system.now()
        failure: BaseException | None = None
        outcome: Any = None
        with worker.scope:
            scopes = cell.system.backend.scopes()
            try:
                if envelope.kind == Kind.STREAM:
                    outcome = context.run(begin, envelope, open_stream, actor, envelope)
                elif actor.kernel_receive_is_async:
                    outcome = context.run(begin, envelope, actor.receive, envelope.message)
                else:
                    outcome = context.run(invoke, envelope, actor.receive)
                if type(outcome) is Suspension:
                    outcome = await resume(outcome, context, worker)
            except BaseException as error:
                failure = error
            if scopes.restore():
                left_open = ScopeLeftOpen(cell.path)
                left_open.__cause__, failure = failure, left_open
        self._worker = worker.envelope = None
        if worker.abandoned:
            return True
        cell.worker = None
        cell.notify_quiet()
        if failure is None:
            envelope.succeed(outcome)
            cell.let_go(envelope)
            return True
        cancelled = isinstance(failure, anyio.get_cancelled_exc_class())
        if cancelled and not worker.scope.cancel_called and cancelled_from_outside():
            return False
        try:
            settle(cell, envelope, failure, worker)
        finally:
            failure = None  # its traceback holds this frame, and with it the message: nobody must hold it here
        return True
