"""How much an actor may have waiting, and what happens to what does not fit."""

from __future__ import annotations

import enum
import heapq
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from tinyllm_actors.kernel.choice import choice
from tinyllm_actors.kernel.envelope import Envelope, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ExpiringQueue", "Mailbox", "NotingQueue", "Overflow", "PriorityQueue", "Queue", "drop_done", "pop_oldest"]


class Overflow(enum.StrEnum):
    """What happens to a message when the mailbox is full.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem, Mailbox, Overflow
    >>> class Gauge(Actor):
    ...     async def receive(self, message: float) -> None: ...
    >>> async def main() -> list[object]:
    ...     async with ActorSystem("service") as system:
    ...         newest = Mailbox(capacity=1, overflow=Overflow.DROP_OLDEST)
    ...         gauge = await system.spawn(Gauge.spec().with_options(mailbox=newest))
    ...         for reading in (1.0, 2.0, 3.0):
    ...             gauge.tell_nowait(reading)
    ...         return [letter.message for letter in system.dead_letters]
    >>> anyio.run(main)
    [1.0, 2.0]

    ```
    """

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

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem, Mailbox, Overflow
    >>> class Slow(Actor):
    ...     async def receive(self, message: int) -> None:
    ...         await anyio.sleep_forever()
    >>> async def main() -> list[bool]:
    ...     async with ActorSystem("service", shutdown_timeout=0) as system:
    ...         mailbox = Mailbox(capacity=2, overflow=Overflow.REJECT)
    ...         slow = await system.spawn(Slow.spec().with_options(mailbox=mailbox))
    ...         return [slow.tell_nowait(number) for number in range(4)]
    >>> anyio.run(main)
    [True, True, False, False]

    ```

    Args:
        capacity: messages that may wait; None for no bound (then memory is the bound). If in doubt, leave it.
        overflow: what happens to one message too many.
        block_timeout: seconds a sender waits for room under `Overflow.BLOCK` before it gets `MailboxFull`; None to
            wait as long as the receiver lives.
        ttl: seconds after which a message that still waits is discarded; None to keep it.
        priority: the urgency of a message, lower is sooner, equals in order of arrival; None for order of arrival.
        on_discard: called with each message that is discarded and the reason. Must be quick; what it raises is
            swallowed.
        undelivered: called with each told message that is left when the actor ends, instead of making it a dead
            letter. Must be quick; what it raises makes it a dead letter after all.

    Raises:
        ValueError: a number is out of range.
    """

    capacity: int | None = 1000
    overflow: Overflow = Overflow.BLOCK
    block_timeout: float | None = None
    ttl: float | None = None
    priority: Callable[[Any], float] | None = None
    on_discard: Callable[[object, str], object] | None = None
    undelivered: Callable[[object], object] | None = None
    plain: bool = field(init=False, repr=False, default=True)
    """Whether a bare `deque` will do."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "overflow", choice(Overflow, self.overflow))
        if self.capacity is not None and self.capacity < 1:
            raise ValueError(f"capacity must be at least 1 or None, got {self.capacity!r}")
        if self.ttl is not None and self.ttl <= 0:
            raise ValueError(f"ttl must be above 0 or None, got {self.ttl!r}")
        if self.block_timeout is not None and self.block_timeout < 0:
            raise ValueError(f"block_timeout must be 0 or more or None, got {self.block_timeout!r}")
        object.__setattr__(self, "plain", self.ttl is None and self.priority is None)

    def new_queue(self, now: Callable[[], float], discard: Callable[[Envelope, str], None]) -> Queue:
        """Return an empty queue for this mailbox.

        Args:
            now: the clock, in seconds.
            discard: accounts for a message that expired.
        """
        queue = deque["Envelope"]() if self.priority is None else PriorityQueue(self.priority)
        return queue if self.ttl is None else ExpiringQueue(queue, self.ttl, now, discard)


class NotingQueue(deque[Envelope]):
    """The queue of an idle actor that its own timer wakes: it notes whether a message comes from outside meanwhile.

    Passivation needs to know: only what comes from outside keeps an actor awake.
    """

    __slots__ = ("noted",)

    def __init__(self) -> None:
        super().__init__()
        self.noted = False

    def append(self, envelope: Envelope, /) -> None:
        """Add a message that came from outside."""
        self.noted = True
        super().append(envelope)


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

    def head(self) -> Envelope:
        """Return the next one and leave it there."""
        return self._heap[0][2]

    def arrivals(self) -> Iterator[Envelope]:
        """Return what waits in order of arrival."""
        return (envelope for _, _, envelope in sorted(self._heap, key=lambda item: item[1]))

    def keep(self, wanted: Callable[[Envelope], bool]) -> None:
        """Take out all that is not wanted."""
        self._heap = [item for item in self._heap if wanted(item[2])]
        heapq.heapify(self._heap)


class ExpiringQueue:
    """A queue whose messages are discarded when they have waited for too long, as soon as one is asked for."""

    __slots__ = ("_discard", "_now", "_queue", "_ttl")

    def __init__(
        self,
        queue: deque[Envelope] | PriorityQueue,
        ttl: float,
        now: Callable[[], float],
        discard: Callable[[Envelope, str], None],
    ) -> None:
        self._queue = queue
        self._ttl = ttl
        self._now = now
        self._discard = discard

    def __bool__(self) -> bool:
        """Whether a message waits that has not expired."""
        queue = self._queue
        while queue:
            envelope = queue.head() if isinstance(queue, PriorityQueue) else queue[0]
            if envelope.context is None or envelope.done or self._now() - envelope.sent_at <= self._ttl:
                return True  # one without a context is accounted for: a hook may have ended the actor
            self._discard(queue.popleft(), "expired")
        return False

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Envelope]:
        return iter(self._queue)

    def append(self, envelope: Envelope, /) -> None:
        """Add a message, whose time begins to run."""
        envelope.sent_at = self._now()
        self._queue.append(envelope)

    def appendleft(self, envelope: Envelope, /) -> None:
        """Add before everything else; what comes this way does not expire."""
        envelope.sent_at = float("inf")
        self._queue.appendleft(envelope)

    def popleft(self) -> Envelope:
        """Take the next one."""
        return self._queue.popleft()

    def arrivals(self) -> Iterator[Envelope]:
        """Return what waits in order of arrival."""
        queue = self._queue
        return queue.arrivals() if isinstance(queue, PriorityQueue) else iter(queue)

    def keep(self, wanted: Callable[[Envelope], bool]) -> None:
        """Take out all that is not wanted."""
        _keep(self._queue, wanted)


Queue = deque["Envelope"] | PriorityQueue | ExpiringQueue


def _keep(queue: Queue, wanted: Callable[[Envelope], bool]) -> None:
    if isinstance(queue, deque):
        kept = [envelope for envelope in queue if wanted(envelope)]
        queue.clear()
        queue.extend(kept)
    else:
        queue.keep(wanted)


def drop_done(queue: Queue) -> bool:
    """Take out the messages that nobody waits for any more. Returns whether there were any."""
    before = len(queue)
    if any(envelope.done for envelope in queue):
        _keep(queue, lambda envelope: not envelope.done)
    return len(queue) < before


def pop_oldest(queue: Queue) -> Envelope | None:
    """Take out the message that has waited longest; None where only the control lane waits, which is never shed."""
    arrivals = iter(queue) if isinstance(queue, deque) else queue.arrivals()
    oldest = next((envelope for envelope in arrivals if envelope.kind != Kind.SIGNAL), None)
    if oldest is not None:
        if isinstance(queue, deque):
            queue.remove(oldest)
        else:
            queue.keep(lambda envelope: envelope is not oldest)
    return oldest
