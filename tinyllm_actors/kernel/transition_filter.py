"""Which transitions are worth a line of the log."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["TransitionFilter", "configured_filter", "set_filter"]


@dataclass(frozen=True, slots=True)
class TransitionFilter:
    """Lets transitions into the log by their state, and no actor more than its share.

    ```python
    >>> wanted = TransitionFilter(states=frozenset({"COMPLETE", "FAILED"}), per_second=2).gate(print, lambda: 0.0)
    >>> [wanted("a", "Agent", state) for state in ("RUNNING", "COMPLETE", "FAILED", "COMPLETE")]
    [False, True, True, False]

    ```

    Attributes:
        states: those that are logged, by name, such as `"FAILED"`; None for all.
        per_second: lines of one actor in one second; beyond, they are counted, and the count is a line. None for no
            bound.
    """

    states: frozenset[str] | None = None
    per_second: int | None = None

    def gate(
        self, tell: Callable[[str, str], object], now: Callable[[], float] = time.monotonic
    ) -> Callable[[str, str, str], bool]:
        """Return what decides on each transition, by the actor's path, its name and the state.

        Args:
            tell: writes a line that says what was left out, with the actor's path.
            now: the time in seconds.
        """
        states, limit = self.states, self.per_second
        counts: dict[str, int] = {}
        names: dict[str, str] = {}
        window = now()

        def close_window() -> None:
            assert limit is not None
            left_out = [(path, names[path], count - limit) for path, count in counts.items() if count > limit]
            counts.clear()
            names.clear()
            for path, name, count in left_out:
                tell(f"[{name}] {count} transitions were left out of the log", path)

        def wanted(path: str, name: str, state: str) -> bool:
            nonlocal window
            if states is not None and state not in states:
                return False
            if limit is None:
                return True
            moment = now()
            if moment - window >= 1.0:
                window = moment
                close_window()
            counts[path] = count = counts.get(path, 0) + 1
            if count > limit:
                names[path] = name
                return False
            return True

        return wanted


_chosen: Final[list[TransitionFilter]] = []


def set_filter(states: Iterable[str] | None, per_second: int | None) -> None:
    """Let systems that start after this, and do not say otherwise, log through a filter.

    Args:
        states: names of states; None for those in the environment's `LOG_STATES`, separated by commas, or else all.
        per_second: lines of one actor in one second; None for no bound.

    Raises:
        ValueError: `per_second` is below 1.
    """
    if per_second is not None and per_second < 1:
        raise ValueError(f"per_second must be at least 1 line, or None for no bound, got {per_second!r}")
    if states is None:
        named = [state.strip().upper() for state in os.environ.get("LOG_STATES", "").split(",")]
        states = [state for state in named if state] or None
    _chosen.clear()
    if states is not None or per_second is not None:
        _chosen.append(TransitionFilter(None if states is None else frozenset(states), per_second))


def configured_filter() -> TransitionFilter | None:
    """Return the filter that was set, if one was."""
    return _chosen[0] if _chosen else None
