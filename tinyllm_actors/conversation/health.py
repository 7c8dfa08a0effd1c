"""How often conversations failed, and what follows from that. It does no I/O and is told the time."""

from __future__ import annotations

import random
import time
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from tinyllm_actors.conversation.report import Quarantine
from tinyllm_actors.errors import CorruptJournal, StoreError, UnsupportedEntry
from tinyllm_actors.kernel import Backoff, RestartWindow

if TYPE_CHECKING:
    from tinyllm_actors.conversation.settings import ConversationSettings

__all__ = ["Health", "passes"]

MAX_FRAMES: Final = 20
"""Of each traceback, the innermost."""


def passes(cause: BaseException | None) -> bool:
    """Whether a failure is the store's, and passes by itself."""
    return isinstance(cause, StoreError) and cause.retryable


@dataclass(slots=True)
class _Past:
    window: RestartWindow
    failures: int = 0
    last: float = 0.0
    not_before: float = 0.0


class Health:
    """The failures of a set of conversations.

    The first failure costs no wait; after the next ones a conversation rests for 0.1, 0.2, 0.4 … 10 seconds, give or
    take a fifth. What is older than `failure_period` is forgotten.

    Args:
        settings: `max_failures` and `failure_period`.

    Attributes:
        quarantined: those that are not started any more.
    """

    def __init__(self, settings: ConversationSettings) -> None:
        self._settings = settings
        self._past: OrderedDict[str, _Past] = OrderedDict()
        self._backoff = Backoff(0.1, 10.0, jitter=0.2)
        self.quarantined: dict[str, Quarantine] = {}

    def failed(self, key: str, cause: BaseException, now: float) -> float:
        """Count a failure. Returns the seconds until the conversation may start again, if it is not quarantined."""
        delay = self.hindered(key, now)
        past = self._past[key]
        # Damage does not mend itself; anything else may.
        if not past.window.admit(now) or isinstance(cause, CorruptJournal | UnsupportedEntry):
            self.quarantined[key] = Quarantine(key, _at_rest(cause), past.failures, time.time())
        past.not_before = now + delay
        return delay

    def fenced(self, key: str, now: float) -> None:
        """Note that another process has it: two that want the same take turns, with growing rests."""
        delay = self.hindered(key, now)
        self._past[key].not_before = now + delay

    def hindered(self, key: str, now: float) -> float:
        """Note what is no failure of the conversation. Returns the seconds after which to try again unasked."""
        self._forget_old(now)
        past = self._past.get(key)
        if past is None:
            settings = self._settings
            window = RestartWindow(max_restarts=settings.max_failures, period=settings.failure_period)
            past = self._past[key] = _Past(window)
        self._past.move_to_end(key)
        past.failures += 1
        past.last = now
        return 0.0 if past.failures == 1 else self._backoff.delay(past.failures - 2, random.random())

    def rest(self, key: str, now: float) -> float:
        """Return the seconds until a conversation may start."""
        past = self._past.get(key)
        return 0.0 if past is None else max(0.0, past.not_before - now)

    def forget(self, key: str) -> bool:
        """Begin anew with a conversation. Returns whether it was quarantined."""
        self._past.pop(key, None)
        return self.quarantined.pop(key, None) is not None

    def _forget_old(self, now: float) -> None:
        while self._past:
            key, past = next(iter(self._past.items()))
            if now - past.last <= self._settings.failure_period:
                return
            del self._past[key]


def _at_rest(cause: BaseException) -> BaseException:
    """Return an error whose tracebacks are text, in its notes: their frames hold all that the conversation was."""
    seen: dict[int, BaseException] = {}  # errors may be one another's causes
    waiting: list[BaseException | None] = [cause]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen[id(error)] = error
        if error.__traceback__ is not None:
            lines = traceback.format_tb(error.__traceback__, limit=-MAX_FRAMES)
            error.__traceback__ = None
            error.add_note("".join(["Traceback (most recent call last):\n", *lines]))
        waiting += [error.__cause__, error.__context__]
        if isinstance(error, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", error).exceptions
    return cause
