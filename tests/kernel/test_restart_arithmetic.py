"""The pure parts of supervision and of state machines, against the simplest models there are."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.errors import InvalidTransition
from tinyllm_actors.kernel import Backoff, Machine, RestartWindow, Strategy
from tinyllm_actors.kernel.restart import affected, inside, unwrap

times = st.lists(st.floats(0, 100, allow_nan=False), max_size=60).map(sorted)


# --- the restart window ---------------------------------------------------------------------------


@given(times, st.integers(0, 5), st.floats(0.1, 50))
def test_a_window_counts_what_a_list_of_all_restarts_counts(
    moments: list[float], max_restarts: int, period: float
) -> None:
    """A restart is admitted exactly when at most `max_restarts`, itself included, are not older than `period`."""
    window = RestartWindow(max_restarts=max_restarts, period=period)
    history: list[float] = []
    for now in moments:
        history.append(now)
        recent = sum(now - period <= then for then in history)
        assert window.admit(now) == (recent <= max_restarts)


@given(times, st.integers(0, 5), st.floats(0.1, 50))
def test_a_window_knows_what_is_left(moments: list[float], max_restarts: int, period: float) -> None:
    """`left` says how many admissions would follow, and asking changes nothing."""
    window = RestartWindow(max_restarts=max_restarts, period=period)
    for now in moments:
        left = window.left(now)
        assert window.left(now) == left
        assert 0 <= left <= max_restarts
        assert window.admit(now) == (left > 0)


def test_a_restart_exactly_one_period_old_still_counts() -> None:
    """The window is closed at both ends, as in OTP."""
    window = RestartWindow(max_restarts=1, period=5.0)
    assert window.admit(0.0)
    assert not window.admit(5.0)
    window = RestartWindow(max_restarts=1, period=5.0)
    assert window.admit(0.0)
    assert window.admit(5.001)


def test_a_window_does_not_grow_without_bound() -> None:
    """What has left the window is forgotten."""
    window = RestartWindow(max_restarts=3, period=1.0)
    for now in range(10_000):
        window.admit(float(now * 2))
    assert window.left(1e9) == 3
    assert "_times=[]" in repr(window)


# --- back-off -------------------------------------------------------------------------------------


def _backoff(initial: float, more: float, jitter: float, factor: float) -> Backoff:
    return Backoff(initial, initial + more, jitter=jitter, factor=factor)


backoffs = st.builds(_backoff, st.floats(0, 10), st.floats(0, 1000), st.floats(0, 2), st.floats(1, 10))


def test_the_worked_numbers() -> None:
    """3, 6, 12, 24, 30, 30 seconds; with half the jitter of 20 %, a tenth more."""
    backoff = Backoff(3.0, 30.0, jitter=0.0)
    assert [backoff.delay(attempt) for attempt in range(6)] == [3, 6, 12, 24, 30, 30]
    backoff = Backoff(3.0, 30.0, jitter=0.2)
    assert [backoff.delay(attempt, 0.5) for attempt in (0, 1, 9)] == pytest.approx([3.3, 6.6, 33.0])


@given(backoffs, st.integers(0, 10_000), st.floats(0, 1))
def test_a_wait_stays_within_its_bounds(backoff: Backoff, attempt: int, chance: float) -> None:
    """However many failures there were, a wait is finite, never shorter than the first, and bounded by the maximum."""
    wait = backoff.delay(attempt, chance)
    assert backoff.initial * (1 + backoff.jitter * chance) <= wait or math.isclose(wait, backoff.maximum)
    assert 0 <= wait <= backoff.maximum * (1 + backoff.jitter) * (1 + 1e-12)


@given(backoffs, st.integers(0, 100))
def test_waits_never_get_shorter(backoff: Backoff, attempt: int) -> None:
    """Without jitter, each wait is at least as long as the one before."""
    assert backoff.delay(attempt) <= backoff.delay(attempt + 1)


def test_the_quiet_time_is_twice_the_maximum_unless_said() -> None:
    """`reset_after` is used as given, zero included."""
    assert Backoff(1.0, 30.0).quiet == 60.0
    assert Backoff(1.0, 30.0, reset_after=0.0).quiet == 0.0


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"initial": -1.0}, "-1.0"),
        ({"initial": 2.0, "maximum": 1.0}, "2.0"),
        ({"maximum": math.inf}, "inf"),
        ({"initial": math.nan}, "nan"),
        ({"jitter": -0.1}, "-0.1"),
        ({"factor": 0.5}, "0.5"),
        ({"reset_after": -1.0}, "-1.0"),
    ],
    ids=str,
)
def test_a_back_off_out_of_range_is_refused(options: dict[str, Any], value: str) -> None:
    """Numbers that make no sense are refused where they are written, with the number."""
    with pytest.raises(ValueError, match=value):
        Backoff(**options)


# --- who restarts with whom -----------------------------------------------------------------------


@given(st.lists(st.integers(), min_size=1, unique=True), st.data())
def test_who_is_affected(children: list[int], data: st.DataObject) -> None:
    """One; all; or those that came after it: always in start order, always with the one that failed."""
    failed = data.draw(st.sampled_from(children))
    assert affected(Strategy.ONE_FOR_ONE, children, failed) == [failed]
    assert affected(Strategy.ONE_FOR_ALL, children, failed) == children
    rest = affected(Strategy.REST_FOR_ONE, children, failed)
    assert rest[0] == failed
    assert children[-len(rest) :] == rest


# --- exception groups -----------------------------------------------------------------------------

errors: st.SearchStrategy[Exception] = st.builds(ValueError, st.text(max_size=3))
groups = st.recursive(
    errors, lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda e: ExceptionGroup("", e))
)


def _leaves(error: BaseException) -> list[BaseException]:
    members = inside(error)
    return [leaf for member in members for leaf in _leaves(member)] if members else [error]


@given(groups)
def test_only_a_group_of_one_is_unwrapped(error: BaseException) -> None:
    """What comes out has the same leaves, and is a leaf if there is only one way down to it."""
    unwrapped = unwrap(error)
    assert _leaves(unwrapped) == _leaves(error)
    if len(_leaves(error)) == 1:
        assert unwrapped is _leaves(error)[0]
    else:
        assert len(inside(unwrapped)) > 1


# --- machines -------------------------------------------------------------------------------------

machines = st.dictionaries(
    st.tuples(st.sampled_from("ABCD"), st.sampled_from("xyz")), st.sampled_from("ABCD"), max_size=12
).map(lambda edges: Machine("m", edges, initial="A"))


@given(machines, st.lists(st.sampled_from("xyz")))
def test_a_machine_follows_its_table_and_nothing_else(machine: Machine[str, str], events: list[str]) -> None:
    """A step goes where the table says; one that is not in the table fails with path, state and event."""
    state = machine.initial
    for event in events:
        expected = dict(machine.edges).get((state, event))
        if expected is None:
            with pytest.raises(InvalidTransition, match=rf"'p'.*{event}.*{state}") as caught:
                machine.step("p", state, event)
            assert (caught.value.path, caught.value.state, caught.value.event) == ("p", state, event)
        else:
            state = machine.step("p", state, event)
            assert state == expected


@given(machines)
def test_a_machine_lists_and_draws_all_of_itself(machine: Machine[str, str]) -> None:
    """`states` has each state once, the initial one first; the drawing has a line for each edge."""
    states = machine.states()
    assert states[0] == machine.initial
    assert len(states) == len(set(states))
    assert set(states) == {"A"} | {state for (state, _) in machine.edges} | set(machine.edges.values())
    lines = machine.mermaid().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> A"]
    assert lines[2:] == [f"    {state} --> {target}: {event}" for (state, event), target in machine.edges.items()]
