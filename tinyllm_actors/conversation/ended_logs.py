"""The events of turns that have ended, which are kept for a while for readers who come back."""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyllm_actors.conversation.turn_log import TurnLog

__all__ = ["EndedLogs"]


class EndedLogs:
    """Lets the events of ended turns go when their time is over: thousands of conversations may each have a long one.

    There is no clock in it: whoever adds one says what time it is, and that is when the older ones are looked at. A log
    that is gone with its conversation is not held.

    Args:
        keep: seconds.
    """

    __slots__ = ("_keep", "_logs")

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._logs: deque[tuple[float, weakref.ref[TurnLog]]] = deque()

    def add(self, log: TurnLog, now: float) -> None:
        """Note that a turn has ended."""
        logs = self._logs
        logs.append((now + self._keep, weakref.ref(log)))
        for _ in range(len(logs)):
            due, held = logs[0]
            if due > now:
                return
            logs.popleft()
            known = held()
            if known is not None and not known.forget():  # somebody reads it now
                logs.append((now + self._keep, held))
