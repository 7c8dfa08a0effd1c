"""A rate limit that holds in every window of time, not only on average. Pure: the caller has the clock."""

from __future__ import annotations

import math
from collections import deque
from typing import TypeAlias

__all__ = ["RateEntry", "RateWindow"]

RateEntry: TypeAlias = list[float]
"""When, how much, and whether it still counts (1.0) or not (0.0)."""


class RateWindow:
    """At most `limit` within any `period` seconds.

    It keeps what was let through in the last period, so a burst of `limit` at once is allowed and the next one comes
    a period later; a token bucket would let nearly twice the limit through around a full bucket.

    ```python
    >>> window = RateWindow(3, 60.0)
    >>> entries = [window.add(now, 1) for now in (0.0, 10.0, 20.0)]
    >>> window.ready_at(25.0, 1), window.ready_at(25.0, 2), window.ready_at(25.0, 4)
    (60.0, 70.0, inf)

    ```

    Args:
        limit: the most that one window may hold.
        period: the length of a window, in seconds.
    """

    __slots__ = ("_entries", "_period", "_total", "limit")

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self._period = period
        self._entries: deque[RateEntry] = deque()
        self._total = 0.0

    def ready_at(self, now: float, amount: float) -> float:
        """Return when `amount` fits, at the earliest: `now`, a later time, or inf if it never does."""
        self._forget(now)
        excess = self._total + amount - self.limit
        if excess <= 0:
            return now
        if amount > self.limit:
            return math.inf
        entries = iter(self._entries)
        when = now
        while excess > 0:  # what is left in the window is enough: `amount` alone fits
            entry = next(entries)
            excess -= entry[1]
            when = entry[0] + self._period
        return when

    def add(self, now: float, amount: float) -> RateEntry:
        """Let `amount` through; return what `settle` corrects."""
        entry = [now, amount, 1.0]
        self._entries.append(entry)
        self._total += amount
        return entry

    def settle(self, entry: RateEntry, amount: float) -> None:
        """Correct an amount that was estimated, if it still counts."""
        if entry[2]:
            self._total += amount - entry[1]
            entry[1] = amount

    def _forget(self, now: float) -> None:
        entries = self._entries
        while entries and entries[0][0] + self._period <= now:
            entry = entries.popleft()
            entry[2] = 0.0
            self._total -= entry[1]
