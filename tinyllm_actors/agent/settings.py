"""What bounds a run, and who is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tinyllm_actors.agent.events import AgentEvent
    from tinyllm_actors.tool import ToolOutcome

__all__ = ["RunSettings"]

_COUNTS: Final = ("max_steps", "tool_retries", "max_tool_calls_per_turn", "max_depth")
_OPTIONAL_COUNTS: Final = ("max_tool_calls", "max_tokens")
_SECONDS: Final = ("max_seconds", "approval_timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The limits of an agent's runs; see `Agent` for what they mean.

    Raises:
        ConfigurationError: one of them has no meaning; the message names it.
    """

    max_steps: int
    tool_retries: int
    max_tool_calls: int | None
    max_tool_calls_per_turn: int
    max_tokens: int | None
    max_usd: float | None
    max_seconds: float | None
    approval_timeout: float | None
    max_depth: int
    on_tools: Callable[[Sequence[ToolOutcome]], Awaitable[Any] | Any] | None
    on_event: Callable[[AgentEvent], Awaitable[Any] | Any] | None

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        for name in _OPTIONAL_COUNTS:
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigurationError(f"{name} must be 0 or more, or None for no limit, got {value!r}")
        if self.max_usd is not None and not self.max_usd > 0:
            raise ConfigurationError(f"max_usd must be above 0, or None for no limit, got {self.max_usd!r}")
        for name in _SECONDS:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} must be above 0 seconds, or None for no limit, got {value!r}")
