"""What to do after a model call has failed. Pure: a function from what is known to one of four steps."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import (
    ActorError,
    AuthenticationFailed,
    CircuitOpen,
    ConfigurationError,
    ContextWindowExceeded,
    MalformedResponse,
    ModelError,
    ModelTimeout,
    ModelUnavailable,
    Overloaded,
    ProviderBusy,
    QuotaExceeded,
    RateLimited,
    StreamInterrupted,
)

if TYPE_CHECKING:
    from tinyllm_actors.kernel import Backoff

__all__ = ["FALLBACK_ON", "NextStep", "Patience", "next_step"]

FALLBACK_ON: Final[tuple[type[Exception], ...]] = (
    AuthenticationFailed,
    CircuitOpen,
    MalformedResponse,
    ModelTimeout,
    ModelUnavailable,
    Overloaded,
    ProviderBusy,
    QuotaExceeded,
    RateLimited,
    StreamInterrupted,
)
"""Failures of one provider, which another may not have. A request that was refused is refused by the next one too."""


class NextStep(enum.Enum):
    """What follows a failure."""

    RETRY = "retry"
    """The same model again, after the wait."""
    FALL_BACK = "fall back"
    """The next model of the chain, at once."""
    WIDEN = "widen"
    """The model with the larger context, at once."""
    GIVE_UP = "give up"
    """The failure is the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long and how often models are asked.

    Attributes:
        idle_timeout: seconds that a model may be silent.
        max_retries: how often a call of one model is tried again.
        backoff: how long to wait before each retry, unless the provider says.
        fallback_on: failures after which the next model is asked.
        fallback_after: seconds that a retry, or the call's turn, may be away while there is another model to ask.
    """

    idle_timeout: float
    max_retries: int
    backoff: Backoff
    fallback_on: tuple[type[Exception], ...] = FALLBACK_ON
    fallback_after: float = 5.0


def next_step(
    error: Exception,
    patience: Patience,
    *,
    attempt: int,
    wait: float,
    remaining: float,
    delivered: bool,
    more_models: bool,
    wider_model: bool,
) -> NextStep:
    """Return what to do.

    Args:
        error: what happened.
        patience: how long and how often.
        attempt: how often the model was tried again already.
        wait: seconds until a retry would be due.
        remaining: seconds until the caller's deadline.
        delivered: part of an answer was handed on, and a second one cannot be joined to it.
        more_models: there is a model to fall back to.
        wider_model: there is one with a larger context.
    """
    if delivered or getattr(error, "output_started", False):
        return NextStep.GIVE_UP
    if isinstance(error, ContextWindowExceeded) and wider_model:
        return NextStep.WIDEN
    not_sent = isinstance(error, CircuitOpen | ProviderBusy)
    if (
        isinstance(error, ModelError)
        and error.retryable
        and not not_sent
        and attempt < patience.max_retries
        and wait < remaining
        and not (more_models and wait > patience.fallback_after)
    ):
        return NextStep.RETRY
    # A model that cannot even be opened is one that cannot be asked.
    if more_models and isinstance(error, (*patience.fallback_on, ActorError, ConfigurationError)):
        return NextStep.FALL_BACK
    return NextStep.GIVE_UP
