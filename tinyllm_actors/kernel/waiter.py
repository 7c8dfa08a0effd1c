"""A sender that waits for room in a full mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyllm_actors.errors import MailboxFull
from tinyllm_actors.kernel.envelope import Ask, Envelope

if TYPE_CHECKING:
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.slots import Slot
    from tinyllm_actors.kernel.timers import Entry

__all__ = ["Waiter"]


class Waiter:
    """A sender that waits for room; `slot` is None for an ask, whose asker waits for the answer anyway."""

    __slots__ = ("cell", "envelope", "error", "slot", "timer")

    def __init__(self, cell: Cell, envelope: Envelope, slot: Slot | None) -> None:
        self.cell = cell
        self.envelope = envelope
        self.slot = slot
        self.error: Exception | None = None
        timeout = cell.spec.options.mailbox.block_timeout
        timers = cell.system.timers
        self.timer: Entry | None = None if timeout is None else timers.at(cell.system.now() + timeout, self)

    def admit(self) -> None:
        """The message is in the mailbox."""
        if self.timer is not None:
            self.cell.system.timers.cancel(self.timer)
        if self.slot is not None:
            self.slot.set()

    def refuse(self, error: Exception) -> None:
        """The message will not be taken."""
        self.error = error
        self.admit()
        if isinstance(self.envelope, Ask):
            self.envelope.fail(error)

    def expire(self) -> None:
        """The sender has waited for as long as the mailbox lets it."""
        self.cell.drop_waiter(self)
        self.refuse(MailboxFull(self.cell.path, self.cell.capacity, self.envelope.message))

    async def wait(self) -> None:
        """Wait until the message, which is not an ask, is in the mailbox.

        Raises:
            MailboxFull: it will not be taken.
        """
        assert self.slot is not None
        try:
            await self.slot
        except BaseException:  # the sender was cancelled: the message is not sent
            self.withdraw()
            raise
        if self.error is not None:
            raise self.error

    def withdraw(self) -> None:
        """Take the message back, if it is not in the mailbox yet."""
        if self.cell.drop_waiter(self):
            self.admit()
