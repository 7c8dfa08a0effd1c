"""A circuit breaker as a state machine. Pure: the caller has the clock."""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Final

from tinyllm_actors.kernel import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.llm.limits import Breaker

__all__ = ["BREAKER", "Circuit", "CircuitState"]


class CircuitState(enum.StrEnum):
    """Whether calls go through."""

    CLOSED = "CLOSED"
    """They do."""
    OPEN = "OPEN"
    """They fail at once."""
    HALF_OPEN = "HALF_OPEN"
    """One does, to see."""


class CircuitEvent(enum.StrEnum):
    """What moves it."""

    TRIP = "trip"
    COOL = "cool"
    SUCCEED = "succeed"
    FAIL = "fail"


BREAKER: Final = Machine(
    "breaker",
    {
        (CircuitState.CLOSED, CircuitEvent.TRIP): CircuitState.OPEN,
        (CircuitState.OPEN, CircuitEvent.COOL): CircuitState.HALF_OPEN,
        (CircuitState.HALF_OPEN, CircuitEvent.SUCCEED): CircuitState.CLOSED,
        (CircuitState.HALF_OPEN, CircuitEvent.FAIL): CircuitState.OPEN,
    },
    initial=CircuitState.CLOSED,
)


class Circuit:
    """The breaker of one model.

    A call is admitted in an era, and each change of state begins a new one: a call that was let through long ago says
    nothing of how the provider does now.

    Args:
        settings: when it opens, and for how long.
        name: whose it is, for errors.
        on_step: called with each change of state: from, event, to.
    """

    __slots__ = ("_era", "_failures", "_name", "_on_step", "_opened_at", "_probing", "settings", "state")

    def __init__(
        self, settings: Breaker, name: str, on_step: Callable[[CircuitState, CircuitEvent, CircuitState], None]
    ) -> None:
        self.settings = settings
        self.state: CircuitState = BREAKER.initial
        self._name = name
        self._on_step = on_step
        self._failures = 0
        self._opened_at = 0.0
        self._probing = False
        self._era = 0

    def ready_at(self, now: float) -> float:
        """Return when a call may go through: `now`, when it has cooled down, or inf while one is on trial."""
        if self.state is CircuitState.CLOSED:
            return now
        if self.state is CircuitState.OPEN:
            return max(now, self._opened_at + self.settings.cooldown)
        return math.inf if self._probing else now

    def admit(self, now: float) -> int:
        """Let a call through, for which it is ready; return its era, for `end`."""
        if self.state is CircuitState.OPEN:
            self._step(CircuitEvent.COOL)
        if self.state is CircuitState.HALF_OPEN:
            self._probing = True
        return self._era

    def end(self, era: int, healthy: bool | None, now: float) -> None:
        """Learn how a call ended.

        Args:
            era: what `admit` returned.
            healthy: True if the provider answered, False if it failed, None if that is not known (cancelled).
            now: the time.
        """
        if era != self._era:
            return
        if self.state is CircuitState.HALF_OPEN:
            self._probing = False
            if healthy is not None:
                self._opened_at = now
                self._step(CircuitEvent.SUCCEED if healthy else CircuitEvent.FAIL)
        elif healthy:
            self._failures = 0
        elif healthy is False:
            self._failures += 1
            if self._failures >= self.settings.max_failures:
                self._opened_at = now
                self._step(CircuitEvent.TRIP)

    def _step(self, event: CircuitEvent) -> None:
        source = self.state
        self.state = BREAKER.step(self._name, source, event)
        self._era += 1
        self._failures = 0
        self._probing = False
        self._on_step(source, event, self.state)
