"""The run queue and the pooled workers that drain it.

One worker at a time holds the turn and runs message after message, cell after cell, with a real checkpoint every
`BATCH` messages. When a handler waits for something, its worker stays with it, as the task the handler runs in, and
hands the turn to a spare one. So an idle actor costs no task, a busy one no task switch, and a waiting one a task.

A handler is driven step by step inside the context variables of its message, so nothing that one message binds is
seen by another.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from tinyllm_actors.errors import ScopeLeftOpen
from tinyllm_actors.kernel.cell import PAUSED, WAITERS
from tinyllm_actors.kernel.envelope import CURRENT, Kind
from tinyllm_actors.kernel.failure import settle
from tinyllm_actors.kernel.stream import pump

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import Context

    from tinyllm_actors.kernel.actor import Actor
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.envelope import Envelope
    from tinyllm_actors.kernel.slots import Scopes, Slot
    from tinyllm_actors.kernel.stream import StreamAsk
    from tinyllm_actors.kernel.system import ActorSystem

__all__ = ["BATCH", "Scheduler", "Suspension", "Worker", "begin", "invoke", "open_stream", "resume"]

_DONE: Final = object()
"""What a worker's generator yields when a handler has ended; no event loop can mistake it for one of its own."""

BATCH: Final = 64
"""Messages between two checkpoints."""

MIN_SPARE: Final = 32
"""Workers kept for the next handler that waits, however few wait now; else as many as do wait. A new task costs more
than a message, and under a thousand calls at once each would need two."""


class Suspension:
    """A handler that waits for something."""

    __slots__ = ("coro", "yielded")

    def __init__(self, coro: Coroutine[Any, Any, Any], yielded: object) -> None:
        self.coro = coro
        self.yielded = yielded


class Worker:
    """A task that runs handlers, and the scope through which the one it waits with can be cancelled.

    One of the pool also has `handling` and `send`, see `new_handling`, `scopes`, which are made in its task, and
    `slot`, in which it is given the turn.
    """

    __slots__ = (
        "abandoned", "cell", "envelope", "handling", "held", "outcome", "retired", "scope", "scopes", "send", "slot",
        "task",
    )  # fmt: skip

    scopes: Scopes
    handling: Coroutine[Any, Any, None]
    send: Callable[[Any], Any]
    slot: Slot

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.abandoned = False
        self.retired = False
        self.cell: Cell | None = None
        self.envelope: Envelope | None = None
        self.held: Suspension | None = None
        self.outcome: Any = None
        self.task: object = None

    def new_handling(self) -> None:
        """Make `send` something that runs one handler after another: send it a handler and its envelope.

        It answers `_DONE`, with the value in `outcome`, or what the handler waits for, or raises what the handler
        raised and is spent. One generator for many handlers takes 0.25 µs less a message than driving each coroutine
        by `send`, which ends in a `StopIteration` that somebody has to catch.
        """
        self.handling = handling = cast("Coroutine[Any, Any, None]", _handle(self))
        handling.send(None)
        self.send = handling.send


@coroutine
def _handle(worker: Worker) -> Generator[Any, Any, None]:
    while True:
        receive, envelope = yield _DONE
        CURRENT.set(envelope)
        worker.outcome = yield from receive(envelope.message)
        receive = envelope = None  # an idle worker keeps nothing alive


def invoke(envelope: Envelope, receive: Callable[[Any], Any]) -> Any:
    """Run a plain handler."""
    CURRENT.set(envelope)
    return receive(envelope.message)


def begin(envelope: Envelope | None, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
    """Run a coroutine function until it ends or first waits; in the latter case return a `Suspension`."""
    CURRENT.set(envelope)
    coro = function(*arguments)
    try:
        yielded = coro.send(None)
    except StopIteration as stop:
        return stop.value
    return Suspension(coro, yielded)


@coroutine
def resume(suspension: Suspension, context: Context, worker: Worker) -> Generator[Any, Any, Any]:
    """Drive a suspended coroutine to its end in the running task, each step in `context`.

    An abandoned worker's coroutine is closed instead of being driven on: that is how a handler that swallows its
    cancellation comes to an end. A worker whose own coroutine is closed, since its event loop is gone, counts as
    abandoned.
    """
    coro, yielded = suspension.coro, suspension.yielded
    while True:
        step: Callable[[Any], Any] = coro.send
        argument: Any = None
        try:
            argument = yield yielded
        except GeneratorExit:
            worker.abandoned = True
            context.run(coro.close)
            raise
        except BaseException as error:
            step, argument = coro.throw, error
        if worker.abandoned:
            context.run(coro.close)
            return None
        try:
            yielded = context.run(step, argument)
        except StopIteration as stop:
            return stop.value
        finally:
            argument = None  # what was thrown in may come out again, with this frame in its traceback
        if yielded is _DONE:
            outcome, worker.outcome = worker.outcome, None
            return outcome


class Scheduler:
    """The run queue of one actor system."""

    def __init__(self, system: ActorSystem) -> None:
        self.system = system
        self.queue: deque[Cell] = deque()
        self.spare_queues: list[deque[Envelope]] = []
        self.active = False  # a worker holds the turn, or is on its way to take it
        self.busy: dict[Worker, None] = {}  # workers that wait with a handler
        self.inline_depth = 0  # how deep handlers run inside asks right now
        self.answered = 0  # asks answered in place
        self._parked: list[Worker] = []  # the one that parked last is the next

    def enqueue(self, cell: Cell) -> None:
        """Make a cell runnable."""
        self.queue.append(cell)
        if not self.active:
            self.pass_turn()

    def pass_turn(self) -> None:
        """Let a spare worker take the turn; make one if there is none."""
        self.active = True
        if self._parked:
            self._parked.pop().slot.set()
        else:
            self.system.start_worker(self._work)

    async def _work(self) -> None:
        queue, parked = self.queue, self._parked
        yield_now = self.system.backend.yield_now
        new_slot = self.system.backend.new_slot
        scopes = self.system.backend.scopes
        worker = Worker()
        worker.new_handling()
        worker.task = self.system.backend.current_task()
        has_turn = True
        try:
            while True:
                # A scope that was used to cancel a handler is spent: leave it, and lend the next handler a new one.
                with anyio.CancelScope() as worker.scope:
                    worker.scopes = scopes()
                    while True:
                        if has_turn:
                            if self._turn(worker):
                                has_turn = await self._hold(worker)
                                if worker.abandoned:
                                    return
                                if worker.scope.cancel_called:
                                    break
                                continue
                            more = bool(queue)
                            # Before it parks, it lets everybody else run once: who was just answered often asks
                            # again, and then nobody needs to be woken (an ask takes 40 % less on asyncio).
                            await yield_now()
                            if more or queue:
                                continue
                            self.active = False
                        if len(parked) >= MIN_SPARE and self._is_enough():
                            return
                        worker.slot = slot = new_slot()
                        parked.append(worker)
                        await slot
                        if worker.retired:
                            return
                        has_turn = True
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:
            self.active = False  # the turn died with this worker
            self.system.crash(error)

    def _is_enough(self) -> bool:
        """Whether no further worker is to be kept. Those that are too many, as fewer wait by now, are sent home."""
        parked, enough = self._parked, max(MIN_SPARE, len(self.busy))
        surplus = len(parked) - enough
        if surplus < 0:
            return False
        for worker in parked[:surplus]:
            worker.retired = True
            worker.slot.set()
        del parked[:surplus]
        return True

    def _turn(self, worker: Worker) -> bool:
        """Run messages until one waits (True), or the batch or the queue is used up (False)."""
        queue = self.queue
        budget = BATCH
        innermost, mark = worker.scopes.innermost, worker.scopes.mark
        while queue and budget > 0:
            cell = queue.popleft()
            budget = self._drain(cell, worker, budget)
            if budget < 0:
                return True
            if innermost() is not mark and worker.scopes.restore():  # the first says so for less
                self.system.care.fail(cell, ScopeLeftOpen(cell.path))
        return False

    def _drain(self, cell: Cell, worker: Worker, budget: int) -> int:  # noqa: C901 - a call per message would cost 10 %
        """Run a cell's messages. Returns what is left of the budget, or -1 when a handler waits."""
        if cell.worker is not None:  # it was queued twice, and the first time its handler began to wait
            return budget
        if cell.attention and not cell.attend():
            return budget
        actor = cell.actor
        mailbox = cell.mailbox
        if actor is None:  # it is passive: in all other states without an object it is paused
            self.system.start_task(self.system.care.thaw, cell)
            return budget
        receive = actor.receive
        plain = not actor.kernel_receive_is_async
        while mailbox:
            if budget <= 0:
                self.queue.append(cell)
                return 0
            budget -= 1
            envelope = mailbox.popleft()
            kind = envelope.kind
            context = envelope.context
            if context is None or (kind and envelope.done):  # a tombstone
                if cell.attention and not cell.attend():
                    return budget
                continue
            try:
                if plain and kind != Kind.STREAM:
                    outcome = context.run(invoke, envelope, receive)
                else:
                    handler = (
                        partial(open_stream, actor, cast("StreamAsk", envelope)) if kind == Kind.STREAM else receive
                    )
                    yielded = context.run(worker.send, (handler, envelope))
                    if yielded is not _DONE:
                        held = Suspension(worker.handling, yielded)
                        worker.cell, worker.envelope, worker.held = cell, envelope, held
                        return -1
                    outcome, worker.outcome = worker.outcome, None
            except BaseException as error:
                worker.new_handling()
                settle(cell, envelope, error, worker)
                actor = cell.actor
                if actor is None:
                    return budget
                receive, mailbox = actor.receive, cell.mailbox  # they may be the next incarnation's by now
            else:
                if kind:
                    envelope.succeed(outcome)
                envelope.context = None
            if cell.attention and not cell.attend():
                return budget
        cell.rest()
        return budget

    async def _hold(self, worker: Worker) -> bool:
        """Wait with a suspended handler until it ends, while others take turns. Returns whether the turn is ours."""
        cell, envelope, held = worker.cell, worker.envelope, worker.held
        assert cell is not None
        assert envelope is not None
        assert held is not None
        assert envelope.context is not None
        envelope.since = self.system.now()
        cell.worker = worker
        self.busy[worker] = None
        if cell.attention & WAITERS:
            cell.admit_waiters()  # this message has left the mailbox, though it may take long
        if self.queue:
            self.pass_turn()
        else:
            self.active = False
        failure: BaseException | None = None
        outcome: object = None
        try:
            outcome = await resume(held, envelope.context, worker)
        except BaseException as error:
            worker.new_handling()
            failure = error
        del self.busy[worker]
        worker.cell = worker.envelope = worker.held = None
        sound = not worker.scopes.restore()
        if worker.abandoned:
            return False
        cell.worker = None
        if not sound:
            left_open = ScopeLeftOpen(cell.path)
            left_open.__cause__, failure = failure, left_open
        if failure is not None:
            try:
                settle(cell, envelope, failure, worker)
            finally:
                failure = None  # its traceback holds this frame, and with it the message: nobody must hold it here
        else:
            if envelope.kind:
                envelope.succeed(outcome)
            cell.let_go(envelope)
        has_turn = not self.active
        self.active = True  # before the cell is queued, so that it does not wake another worker
        if cell.attention & PAUSED:
            cell.attend()
        else:
            cell.wake()
        return has_turn


def open_stream(actor: Actor, ask: StreamAsk, _: object = None) -> Coroutine[Any, Any, None]:
    """Answer a stream: `produce()` where the actor has it, else its generator."""
    if actor.kernel_produces:
        return actor.produce(ask.message, ask.emit)
    return pump(actor.stream(ask.message), ask)
