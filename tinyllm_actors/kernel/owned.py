"""What an incarnation owns besides its messages: timers, tasks, and the wish to be told when it was idle.

All of it ends with the incarnation, so nothing of an old one reaches a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.kernel.envelope import Envelope
from tinyllm_actors.kernel.restart import unwrap
from tinyllm_actors.kernel.slots import cancelled_from_outside

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.timers import Entry

__all__ = ["IdleTimer", "OwnedTask", "OwnedTimer"]


class OwnedTimer:
    """Sends a message to its own actor, once or at each period."""

    __slots__ = ("cell", "entry", "incarnation", "message", "name", "period", "when")

    def __init__(self, cell: Cell, name: str, delay: float, message: object, period: float | None) -> None:
        self.cell = cell
        self.name = name
        self.message = message
        self.period = period
        self.incarnation = cell.incarnation
        self.when = cell.system.now() + delay
        self.entry: Entry = cell.system.timers.at(self.when, self)

    def cancel(self) -> None:
        """Send nothing more."""
        self.cell.system.timers.cancel(self.entry)

    def expire(self) -> None:
        """Send the message and, if periodic, set the next one on the original grid, skipping what was missed."""
        cell = self.cell
        if cell.incarnation != self.incarnation:
            return
        if self.period is None:
            cell.cold.timers.pop(self.name, None)
        else:
            missed = (cell.system.now() - self.when) // self.period
            self.when += self.period * (missed + 1)
            self.entry = cell.system.timers.at(self.when, self)
        cell.post_urgent(Envelope(self.message, cell, cell.system.new_context()))


class IdleTimer:
    """Acts when its actor had no inbound message for a while. Costs nothing while messages come."""

    __slots__ = ("_act", "_armed", "_cell", "_idle_since", "timeout")

    def __init__(self, cell: Cell, timeout: float, act: Callable[[], None]) -> None:
        self.timeout = timeout
        self._cell = cell
        self._act = act
        self._idle_since = cell.system.now()
        self._armed: Entry | None = None

    def rested(self) -> None:
        """The actor has nothing to do from now on."""
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


class OwnedTask:
    """A task that ends with the incarnation that started it."""

    __slots__ = ("_cell", "_function", "_incarnation", "_on_error", "_on_result", "name", "scope")

    def __init__(
        self,
        cell: Cell,
        name: str,
        function: Callable[[], Awaitable[Any]],
        on_result: Callable[[Any], object] | None = None,
        on_error: Callable[[BaseException], object] | None = None,
    ) -> None:
        self.name = name
        self.scope = anyio.CancelScope()
        self._cell = cell
        self._function = function
        self._incarnation = cell.incarnation
        self._on_result = on_result
        self._on_error = on_error

    def cancel(self) -> None:
        """Ask the task to end."""
        self.scope.cancel()

    async def run(self) -> None:
        """Run to the end; a failure is a message or, without `on_error`, a failure of the actor."""
        cell = self._cell
        outcome: Any = None
        failure: BaseException | None = None
        with self.scope:
            try:
                outcome = await self._function()
            except anyio.get_cancelled_exc_class() as error:
                if self.scope.cancel_called or cancelled_from_outside():
                    raise
                failure = error
            except Exception as error:
                failure = unwrap(error)
        cold = cell.cold
        cold.tasks.discard(self)
        if not cold.tasks:
            cell.notify_quiet()
        if self.scope.cancelled_caught or cell.incarnation != self._incarnation:
            return
        if failure is None:
            if self._on_result is not None:
                cell.post_urgent(Envelope(self._on_result(outcome), cell, cell.system.new_context()))
        elif self._on_error is not None:
            cell.post_urgent(Envelope(self._on_error(failure), cell, cell.system.new_context()))
        else:
            cell.system.care.fail(cell, failure)
