"""One heap of deadlines for the whole system, and one task that sleeps until the next.

Ask deadlines, actor timers and back-offs all live here. Nearly every ask ends before its deadline, so cancelling is
one assignment: the entry stays in the heap until it is due or until dead entries outnumber live ones.
"""

from __future__ import annotations

import heapq
import math
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Entry", "Expiring", "Timers"]


class Expiring(Protocol):
    """What happens when a deadline passes. Must not raise and must not block."""

    def expire(self) -> None:
        """Act on it."""
        ...


# [when, sequence number, target or None once cancelled]: a list, because heapq compares it in C.
Entry = list[Any]

_COMPACT_ABOVE = 256


class Timers:
    """Deadlines on one clock.

    Args:
        now: the clock, in seconds.
        start: starts the sleeping task, called at the first deadline.
    """

    __slots__ = ("_dead", "_heap", "_now", "_scope", "_sequence", "_start", "_started")

    def __init__(self, now: Callable[[], float], start: Callable[[Callable[[], Any]], None]) -> None:
        self._now = now
        self._start = start
        self._started = False
        self._heap: list[Entry] = []
        self._dead = 0
        self._sequence = count()
        self._scope: anyio.CancelScope | None = None

    def __len__(self) -> int:
        return len(self._heap) - self._dead

    def at(self, when: float, target: Expiring) -> Entry:
        """Call `target.expire()` once the clock has reached `when`."""
        entry: Entry = [when, next(self._sequence), target]
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            if self._scope is not None:
                self._scope.deadline = when
            elif not self._started:
                self._started = True
                self._start(self._run)
        return entry

    def cancel(self, entry: Entry) -> None:
        """Forget a deadline; nothing happens if it has passed already."""
        if entry[2] is None:
            return
        entry[2] = None
        self._dead += 1
        if self._dead > _COMPACT_ABOVE and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2] is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    async def _run(self) -> None:
        while True:
            # The scope's deadline is moved by `at()`, so an earlier timer needs no wake-up of this task.
            with anyio.CancelScope(deadline=self._heap[0][0] if self._heap else math.inf) as scope:
                self._scope = scope
                await anyio.sleep_forever()
            self._scope = None
            self._expire_due()

    def _expire_due(self) -> None:
        now = self._now()
        while self._heap and (self._heap[0][0] <= now or self._heap[0][2] is None):
            entry = heapq.heappop(self._heap)
            target, entry[2] = entry[2], None  # a later cancel() of it must not count a dead entry
            if target is None:
                self._dead -= 1
            else:
                target.expire()
