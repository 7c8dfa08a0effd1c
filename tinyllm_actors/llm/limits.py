"""What the callers of one model may do together: settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from tinyllm_actors.llm.model import ChatModel

__all__ = ["Breaker", "Limits", "ModelChoice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """When a model that keeps failing is left alone for a while.

    With `Breaker(max_failures=5, cooldown=30.0)`, after five failures in a row every call fails at once with
    `CircuitOpen`. After 30 seconds one call is let through: its success closes the circuit again, its failure opens it
    for 30 more. Only failures of the provider count: overload, silence, no connection. A 429 has its own way: everybody
    waits together.

    ```python
    >>> from tinyllm_actors.llm import Breaker, Limits
    >>> Limits(breaker=Breaker(max_failures=3)).breaker
    Breaker(max_failures=3, cooldown=30.0)

    ```

    Args:
        max_failures: failures in a row, of any callers, that open the circuit.
        cooldown: seconds until one call is let through.

    Raises:
        ConfigurationError: a number has no meaning.
    """

    max_failures: int = 5
    cooldown: float = 30.0

    def __post_init__(self) -> None:
        if self.max_failures < 1 or not 0 < self.cooldown < math.inf:
            raise ConfigurationError(
                f"need max_failures >= 1 and cooldown > 0, got {self.max_failures!r} and {self.cooldown!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What all callers of one model and its options may do together, in one actor system.

    Calls beyond a limit wait in one queue, first come, first served, until their deadline. A call that cannot have its
    turn before that fails at once with `ProviderBusy`, and so does one that finds the queue full.

    With `requests_per_minute=60`, 60 calls may go out at once, and the 61st goes 60 seconds after the first: in no
    60 seconds are there more than 60. Tokens are reserved by an estimate and corrected when the answer is there.

    ```python
    >>> from tinyllm_actors.llm import Limits
    >>> Limits(requests_per_minute=500, tokens_per_minute=200_000, max_concurrency=32).max_queue
    10000

    ```

    Args:
        requests_per_minute: None for no limit.
        tokens_per_minute: of prompts and answers together.
        max_concurrency: calls in progress.
        max_queue: calls that wait. If in doubt, leave it; a smaller one fails earlier.
        breaker: when to leave the model alone; None for never.

    Raises:
        ConfigurationError: a number has no meaning.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrency: int | None = None
    max_queue: int = 10_000
    breaker: Breaker | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "max_concurrency"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} is 1 or more, or None for no limit; got {value!r}")
        if self.max_queue < 0:
            raise ConfigurationError(f"max_queue is 0 or more, got {self.max_queue!r}")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model to fall back to, where it needs more than a name.

    ```python
    >>> from tinyllm_actors.llm import Limits, ModelChoice
    >>> ModelChoice("anthropic/claude-haiku-4-5", {"temperature": 0}, Limits(max_concurrency=4)).model
    'anthropic/claude-haiku-4-5'

    ```

    Args:
        model: a model or its name.
        options: for the adapter, if `model` is a name.
        limits: of that model.
    """

    model: str | ChatModel
    options: Mapping[str, Any] | None = None
    limits: Limits | None = None
