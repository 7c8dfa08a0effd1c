"""The circuit breaker against a model of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.llm import Breaker
from tinyllm_actors.llm.breaker import BREAKER, Circuit, CircuitEvent, CircuitState

MAX_FAILURES = 3
COOLDOWN = 10.0


class Calls(RuleBasedStateMachine):
    """Calls that begin and end in any order, against a breaker told as a story."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.steps: list[tuple[str, str, str]] = []
        self.circuit = Circuit(
            Breaker(max_failures=MAX_FAILURES, cooldown=COOLDOWN),
            "m",
            lambda source, event, target: self.steps.append((source, event, target)),
        )
        # The model: what is known since the last change.
        self.state = "CLOSED"
        self.in_a_row = 0
        self.opened = 0.0
        self.trial: int | None = None
        self.current: set[int] = set()
        self.ended: set[int] = set()
        self.count = 0

    def to(self, state: str) -> None:
        self.state = state
        self.in_a_row = 0
        self.trial = None
        self.current.clear()

    @rule(target=calls)
    def begin(self) -> Any:
        ready = self.circuit.ready_at(self.now)
        if self.state == "OPEN":
            assert ready == max(self.now, self.opened + COOLDOWN)
        elif self.state == "HALF_OPEN":
            assert ready == (self.now if self.trial is None else math.inf)
        else:
            assert ready == self.now
        if ready > self.now:
            return None
        era = self.circuit.admit(self.now)
        self.count += 1
        if self.state == "OPEN":
            self.to("HALF_OPEN")
        if self.state == "HALF_OPEN":
            self.trial = self.count
        self.current.add(self.count)
        return era, self.count

    @rule(call=calls, healthy=st.sampled_from([True, False, None]))
    def end(self, call: Any, healthy: bool | None) -> None:
        if call is None:
            return
        era, number = call
        if number in self.ended:
            return
        self.ended.add(number)
        self.circuit.end(era, healthy, self.now)
        if number not in self.current:
            return
        self.current.discard(number)
        if self.state == "HALF_OPEN":
            self.trial = None
            if healthy is not None:
                self.opened = self.now
                self.to("CLOSED" if healthy else "OPEN")
        elif healthy:
            self.in_a_row = 0
        elif healthy is False:
            self.in_a_row += 1
            if self.in_a_row == MAX_FAILURES:
                self.opened = self.now
                self.to("OPEN")

    @rule(seconds=st.sampled_from([1.0, COOLDOWN - 1.0, COOLDOWN]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def they_agree(self) -> None:
        assert self.circuit.state == self.state

    @invariant()
    def each_step_is_told_and_follows_from_the_last(self) -> None:
        state: str = BREAKER.initial
        for source, event, target in self.steps:
            assert source == state
            assert BREAKER.edges[CircuitState(source), CircuitEvent(event)] == target
            state = target
        assert state == self.state


TestCalls = Calls.TestCase


@pytest.mark.parametrize("healthy", [True, False])
def test_a_call_from_before_tells_nothing(healthy: bool) -> None:
    """How a call ends that went out before the circuit opened neither closes it, nor opens it, nor ends the trial."""
    circuit = Circuit(Breaker(max_failures=1, cooldown=10.0), "m", lambda source, event, target: None)
    late, failed, later = (circuit.admit(0.0) for _ in range(3))
    circuit.end(failed, False, 1.0)
    circuit.end(late, healthy, 2.0)
    assert (circuit.state, circuit.ready_at(2.0)) == (CircuitState.OPEN, 11.0)
    trial = circuit.admit(11.0)
    circuit.end(later, healthy, 12.0)
    assert (circuit.state, circuit.ready_at(12.0)) == (CircuitState.HALF_OPEN, math.inf)
    circuit.end(trial, True, 13.0)
    circuit.end(later, False, 14.0)
    assert circuit.state is CircuitState.CLOSED


@pytest.mark.parametrize("settings", [{"max_failures": 0}, {"cooldown": 0.0}, {"cooldown": math.inf}])
def test_settings_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    """Each is an error that shows the values."""
    with pytest.raises(ConfigurationError, match="max_failures >= 1"):
        Breaker(**settings)
