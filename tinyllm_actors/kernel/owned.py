"""What an incarnation owns besides its messages: timers, tasks, and the wish to be told when it was idle.

All of it ends with the incarnation, so nothing of an old one reaches a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from tinyllm_actors.kernel.envelope import Signal
from tinyllm_actors.kernel.failure import Border
from tinyllm_actors.kernel.mailbox import NotingQueue
from tinyllm_actors.kernel.scheduler import Suspension, Worker, begin, resume

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.timers import Entry

__all__ = ["RECEIVE_TIMEOUT", "IdleTimer", "OwnedTask", "OwnedTimer", "Passivation", "ReceiveTimeout"]

RECEIVE_TIMEOUT: Final = "receive_timeout"
"""The name of the timer whose message an idle actor gets."""


class OwnedTimer:
    """Sends a message to its own actor, once or at each period."""

    __slots__ = ("cell", "entry", "message", "name", "period", "tick", "when")

    def __init__(self, cell: Cell, name: str, delay: float, message: object, period: float | None) -> None:
        self.cell = cell
        self.name = name
        self.message = message
        self.period = period
        self.tick: Tick | None = None  # the last message that was sent
        self.when = cell.system.now() + delay
        self.entry: Entry = cell.system.timers.at(self.when, self)

    def cancel(self) -> None:
        """Send nothing more, and take back what was sent and is not handled yet."""
        self.cell.system.timers.cancel(self.entry)
        if self.tick is not None:
            self.tick.withdraw()

    def expire_now(self) -> None:
        """Send the message without waiting for the clock's task, which would let other messages come first."""
        self.cell.system.timers.cancel(self.entry)
        self.expire()

    def expire(self) -> None:
        """Send the message and, if periodic, set the next one on the original grid, skipping what was missed."""
        cell = self.cell
        if self.period is not None:
            missed = (cell.system.now() - self.when) // self.period
            self.when += self.period * (missed + 1)
            self.entry = cell.system.timers.at(self.when, self)
            if self.tick is not None and self.tick.waiting:
                return  # a slow actor has one tick waiting, not many
        extra = cell.extra
        if cell.idle and extra is not None and extra.idle_timers and cell.spec.options.mailbox.plain:
            cell.mailbox = NotingQueue()
        self.tick = Tick(self)
        cell.post_urgent(self.tick)


class Tick(Signal):
    """The message of a timer on its way."""

    __slots__ = ("_timer",)

    def __init__(self, timer: OwnedTimer) -> None:
        super().__init__(timer.message, timer.cell)
        self._timer = timer

    def succeed(self, value: object) -> None:
        """It is handled: forget a timer that fires once."""
        timer = self._timer
        timers = timer.cell.cold.timers
        if timer.period is None and timers.get(timer.name) is timer:
            del timers[timer.name]


class IdleTimer:
    """Acts when its actor had no inbound message for a while. Costs nothing while messages come."""

    __slots__ = ("_armed", "_cell", "_idle_since", "timeout")

    counts_own: ClassVar[bool] = False
    """Whether messages of the actor's own timers keep it awake."""

    def __init__(self, cell: Cell, timeout: float) -> None:
        self.timeout = timeout
        self._cell = cell
        self._idle_since = cell.system.now()
        self._armed: Entry | None = None

    def rested(self, *, own: bool = False) -> None:
        """The actor has nothing to do from now on; `own` if all it did was to handle its own timers' messages."""
        if not own or self.counts_own:
            self._idle_since = self._cell.system.now()
        if self._armed is None:
            self._armed = self._cell.system.timers.at(self._idle_since + self.timeout, self)

    def cancel(self) -> None:
        """Do not act."""
        if self._armed is not None:
            self._cell.system.timers.cancel(self._armed)
            self._armed = None

    def expire(self) -> None:
        """Act, unless a message came meanwhile."""
        self._armed = None
        cell = self._cell
        if not cell.idle:
            return  # it is at work; `rested` arms again
        due = self._idle_since + self.timeout
        if cell.system.now() < due:
            self._armed = cell.system.timers.at(due, self)
        else:
            self._act()

    def _act(self) -> None:
        raise NotImplementedError


class Passivation(IdleTimer):
    """Takes the actor out of memory."""

    __slots__ = ()

    def _act(self) -> None:
        self._cell.system.care.passivate(self._cell)


class ReceiveTimeout(IdleTimer):
    """Sends the actor a message."""

    __slots__ = ("_message",)

    counts_own = True

    def __init__(self, cell: Cell, timeout: float, message: object) -> None:
        super().__init__(cell, timeout)
        self._message = message

    def _act(self) -> None:
        timers = self._cell.cold.timers
        if (sent := timers.pop(RECEIVE_TIMEOUT, None)) is not None:
            sent.cancel()
        timers[RECEIVE_TIMEOUT] = OwnedTimer(self._cell, RECEIVE_TIMEOUT, 0.0, self._message, None)


class OwnedTask:
    """A task that ends with the incarnation that started it."""

    __slots__ = ("_cell", "_function", "_incarnation", "_on_error", "_on_result", "_worker", "name")

    def __init__(
        self,
        cell: Cell,
        name: str,
        function: Callable[[], Awaitable[Any]],
        on_result: Callable[[Any], object] | None = None,
        on_error: Callable[[BaseException], object] | None = None,
    ) -> None:
        self.name = name
        self._cell = cell
        self._worker = Worker()
        self._function = function
        self._incarnation = cell.incarnation
        self._on_result = on_result
        self._on_error = on_error

    def cancel(self) -> None:
        """Ask the task to end."""
        self._worker.scope.cancel()

    def abandon(self) -> None:
        """Give up on a task that swallows its cancellation: it is closed when it next runs."""
        self._worker.abandoned = True
        self._cell.system.backend.interrupt(self._worker.task)

    async def run(self) -> None:
        """Run to the end; a failure is a message or, without `on_error`, a failure of the actor."""
        cell, worker = self._cell, self._worker
        worker.task = cell.system.backend.current_task()
        outcome: Any = None
        failure: Exception | None = None
        try:
            with worker.scope:
                try:
                    with Border(cell, worker):
                        outcome = await self._call()
                except Exception as error:
                    failure = error
        finally:
            cold = cell.cold
            if cold.tasks:
                cold.tasks.discard(self)
            if not cold.tasks:
                cold.tasks = ()
                cell.notify_quiet()
        if not worker.abandoned and not worker.scope.cancelled_caught and cell.incarnation == self._incarnation:
            self._report(outcome, failure)

    async def _call(self) -> Any:
        context = self._cell.system.new_context()
        first = context.run(begin, None, self._await)
        return await resume(first, context, self._worker) if type(first) is Suspension else first

    async def _await(self) -> Any:
        return await self._function()

    def _report(self, outcome: Any, failure: BaseException | None) -> None:
        cell = self._cell
        try:
            if failure is None:
                if self._on_result is not None:
                    cell.post_urgent(Signal(self._on_result(outcome), cell))
                return
            if self._on_error is not None:
                cell.post_urgent(Signal(self._on_error(failure), cell))
                return
        except Exception as error:  # what makes the message failed
            failure = error
        cell.system.care.fail(cell, failure)
