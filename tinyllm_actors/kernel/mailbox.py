"""How much an actor may have waiting, and what happens to what does not fit."""

from __future__ import annotations

import enum
import heapq
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tinyllm_actors.kernel.envelope import Envelope

__all__ = ["Mailbox", "Overflow", "PriorityQueue", "Queue"]


class Overflow(enum.StrEnum):
    """What happens to a message when the mailbox is full."""

    BLOCK = "block"
    """The sender waits for room. If in doubt, use this."""
    REJECT = "reject"
    """The sender gets `MailboxFull`."""
    DROP_OLDEST = "drop_oldest"
    """The message that waited longest makes room. For readings of which only the last counts."""
    DROP_NEWEST = "drop_newest"
    """The message is discarded. For load shedding where senders do not look back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """The user lane of an actor. The control lane has no bound and is never shed.

    Args:
        capacity: messages that may wait; None for no bound (then memory is the bound). If in doubt, leave it.
        overflow: what happens to one message too many.
        block_timeout: seconds a sender waits for room under `Overflow.BLOCK` before it gets `MailboxFull`; None to
            wait as long as the receiver lives.
        ttl: seconds after which a message that still waits is discarded; None to keep it.
        priority: the urgency of a message, lower is sooner, equals in order of arrival; None for order of arrival.
        on_discard: called with each message that is discarded and the reason. Must be quick and must not raise.

    Raises:
        ValueError: a number is out of range.
    """

    capacity: int | None = 1000
    overflow: Overflow = Overflow.BLOCK
    block_timeout: float | None = None
    ttl: float | None = None
    priority: Callable[[Any], float] | None = None
    on_discard: Callable[[object, str], object] | None = None

    def __post_init__(self) -> None:
        if self.capacity is not None and self.capacity < 1:
            raise ValueError(f"capacity must be at least 1 or None, got {self.capacity!r}")
        if self.ttl is not None and self.ttl <= 0:
            raise ValueError(f"ttl must be above 0 or None, got {self.ttl!r}")

    def new_queue(self) -> Queue:
        """Return an empty queue for this mailbox."""
        return deque() if self.priority is None else PriorityQueue(self.priority)


class PriorityQueue:
    """Envelopes by urgency, equals in order of arrival; the part of `deque` that the kernel uses."""

    __slots__ = ("_heap", "_priority", "_sequence", "_urgent")

    def __init__(self, priority: Callable[[Any], float]) -> None:
        self._priority = priority
        self._heap: list[tuple[float, int, Envelope]] = []
        self._sequence = count()
        self._urgent = count(-1, -1)

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Envelope]:
        return (envelope for _, _, envelope in sorted(self._heap, key=lambda item: item[:2]))

    def append(self, envelope: Envelope, /) -> None:
        """Add by urgency, after its equals."""
        heapq.heappush(self._heap, (self._priority(envelope.message), next(self._sequence), envelope))

    def appendleft(self, envelope: Envelope, /) -> None:
        """Add before everything else."""
        heapq.heappush(self._heap, (float("-inf"), next(self._urgent), envelope))

    def popleft(self) -> Envelope:
        """Take the most urgent, of equals the oldest."""
        return heapq.heappop(self._heap)[2]

    def clear(self) -> None:
        """Drop everything."""
        self._heap.clear()


Queue = deque["Envelope"] | PriorityQueue
