"""Rates hold in every window of time."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.llm.rate_window import RateWindow

PERIOD = 60.0
# At random, and where the edges of a window are.
PAUSES = st.floats(0, 30) | st.sampled_from([0.0, 29.5, 30.0, 59.5, math.nextafter(60.0, 0.0), 60.0])


@given(
    st.integers(1, 20),
    st.lists(st.tuples(PAUSES, st.integers(1, 25), st.floats(0, 1)), max_size=60),
)
def test_no_window_holds_more_than_the_limit(limit: int, wishes: list[tuple[float, int, float]]) -> None:
    """However calls come, and whatever they settle to below their estimate, no 60 seconds hold more than the limit."""
    window = RateWindow(limit, PERIOD)
    now = 0.0
    sent: list[tuple[float, float]] = []
    for pause, amount, share in wishes:
        now += pause
        ready = window.ready_at(now, amount)
        assert (ready == math.inf) == (amount > limit)
        if ready == math.inf:
            continue
        assert now <= ready <= now + PERIOD
        now = ready
        entry = window.add(now, amount)
        used = math.floor(amount * share)
        window.settle(entry, used)
        sent.append((now, used))
        # Every window that ends at a call; the fullest of all windows is one of these.
        assert sum(amount for when, amount in sent if when + PERIOD > now) <= limit


@given(st.lists(st.tuples(PAUSES, st.integers(1, 5)), min_size=1, max_size=40))
def test_nobody_waits_longer_than_needed(wishes: list[tuple[float, int]]) -> None:
    """A call is let through at the first moment at which it fits, not later."""
    window = RateWindow(5, PERIOD)
    now = 0.0
    sent: list[tuple[float, int]] = []
    for pause, amount in wishes:
        now += pause
        ready = window.ready_at(now, amount)
        if ready > now:
            before = math.nextafter(ready, 0.0)
            assert sum(other for when, other in sent if when + PERIOD > before) + amount > 5
        now = ready
        window.add(now, amount)
        sent.append((now, amount))


def test_a_window_ends_where_the_next_begins() -> None:
    """What went 60 seconds ago has left the window, what went a moment later has not."""
    window = RateWindow(1, PERIOD)
    window.add(0.0, 1)
    before = math.nextafter(60.0, 0.0)
    assert window.ready_at(before, 1) == 60.0
    assert window.ready_at(60.0, 1) == 60.0
    window.add(60.0, 1)
    assert window.ready_at(60.0, 1) == 120.0


def test_what_has_left_the_window_is_settled_no_more() -> None:
    """A call that ends after its minute has passed changes nothing."""
    window = RateWindow(10, PERIOD)
    late = window.add(0.0, 10)
    assert window.ready_at(60.0, 10) == 60.0
    window.settle(late, 100)
    assert window.ready_at(60.0, 10) == 60.0


def test_more_than_the_estimate_counts() -> None:
    """A call that used more than was estimated makes the next one wait."""
    window = RateWindow(10, PERIOD)
    entry = window.add(0.0, 1)
    window.settle(entry, 10)
    assert window.ready_at(1.0, 1) == 60.0
