"""What follows a failed call, as a table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors import Backoff
from tinyllm_actors.errors import (
    AuthenticationFailed,
    CircuitOpen,
    ContextWindowExceeded,
    MalformedResponse,
    ModelError,
    Overloaded,
    ProviderBusy,
    RateLimited,
    RequestRejected,
    StartFailed,
    StreamInterrupted,
    UnknownModel,
)
from tinyllm_actors.llm.next_step import NextStep, Patience, next_step

PATIENCE = Patience(idle_timeout=60.0, max_retries=2, backoff=Backoff(), fallback_after=5.0)
USUAL: dict[str, Any] = {
    "attempt": 0,
    "wait": 1.0,
    "remaining": 100.0,
    "delivered": False,
    "more_models": True,
    "wider_model": False,
}
RETRY, FALL_BACK, WIDEN, GIVE_UP = NextStep.RETRY, NextStep.FALL_BACK, NextStep.WIDEN, NextStep.GIVE_UP


@pytest.mark.parametrize(
    ("error", "given", "expected"),
    [
        (Overloaded(""), {}, RETRY),
        (Overloaded(""), {"attempt": 2}, FALL_BACK),
        (Overloaded(""), {"attempt": 2, "more_models": False}, GIVE_UP),
        (Overloaded(""), {"wait": 100.0}, FALL_BACK),
        (Overloaded(""), {"wait": 100.0, "more_models": False}, GIVE_UP),
        (RateLimited(""), {"wait": 5.0}, RETRY),
        (RateLimited(""), {"wait": 5.1}, FALL_BACK),
        (RateLimited(""), {"wait": 99.0, "more_models": False}, RETRY),
        (RateLimited(""), {"delivered": True}, GIVE_UP),
        (StreamInterrupted("", output_started=True), {}, GIVE_UP),
        (MalformedResponse("", retryable=False), {}, FALL_BACK),
        (AuthenticationFailed(""), {}, FALL_BACK),
        (RequestRejected(""), {}, GIVE_UP),
        (CircuitOpen("m", 1.0), {}, FALL_BACK),
        (CircuitOpen("m", 1.0), {"more_models": False}, GIVE_UP),
        (ProviderBusy("m", ""), {}, FALL_BACK),
        (ContextWindowExceeded(""), {}, GIVE_UP),
        (ContextWindowExceeded(""), {"wider_model": True}, WIDEN),
        (ContextWindowExceeded(""), {"wider_model": True, "delivered": True}, GIVE_UP),
        (StartFailed("p", OSError()), {}, FALL_BACK),
        (UnknownModel(""), {}, FALL_BACK),
        (UnknownModel(""), {"more_models": False}, GIVE_UP),
    ],
)
def test_each_failure_has_its_step(error: Exception, given: dict[str, Any], expected: NextStep) -> None:
    """The step follows from the failure and from what is left: retries, time, models."""
    assert next_step(error, PATIENCE, **{**USUAL, **given}) is expected


def test_the_user_may_say_when_to_fall_back() -> None:
    """`fallback_on` replaces the failures that are fallen back on."""
    patience = Patience(idle_timeout=1.0, max_retries=0, backoff=Backoff(), fallback_on=(RequestRejected,))
    assert next_step(RequestRejected(""), patience, **USUAL) is FALL_BACK
    assert next_step(Overloaded(""), patience, **USUAL) is GIVE_UP


@given(
    st.builds(ModelError, st.just(""), retryable=st.booleans(), output_started=st.booleans()),
    st.integers(0, 5),
    st.floats(0, 200),
    st.floats(0, 200),
    st.booleans(),
    st.booleans(),
)
def test_nothing_is_repeated_that_was_heard(
    error: ModelError, attempt: int, wait: float, remaining: float, delivered: bool, more: bool
) -> None:
    """After output there is no second answer, and no retry is later than the deadline or beyond the count."""
    step = next_step(
        error,
        PATIENCE,
        attempt=attempt,
        wait=wait,
        remaining=remaining,
        delivered=delivered,
        more_models=more,
        wider_model=True,
    )
    if delivered or error.output_started:
        assert step is GIVE_UP
    if step is RETRY:
        assert error.retryable
        assert wait < remaining
        assert attempt < 2
