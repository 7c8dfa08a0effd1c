"""What a tool's own process may use."""

from __future__ import annotations

from dataclasses import dataclass

from tinyllm_actors.errors import ConfigurationError

__all__ = ["MIN_MEMORY", "ProcessLimits"]

MIN_MEMORY = 2**28
"""Bytes of address space below which the interpreter itself would fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """What one call may use in its process; the tool's time-out bounds how long.

    They keep a mistake from harming the machine; a function that means harm can lift them.

    Args:
        memory: bytes of address space, the interpreter and its modules included; a call that needs more fails with
            `MemoryError`. 2 GiB by default, at least 256 MiB. If in doubt, leave it: numerical packages reserve far
            more than they use.
        cpu: seconds of processor time, rounded up; a call that needs more is killed. None by default: the time-out
            is enough, unless the function starts threads.

    Raises:
        ConfigurationError: a limit has no meaning.
    """

    memory: int | None = 2 * 2**30
    cpu: float | None = None

    def __post_init__(self) -> None:
        if self.memory is not None and self.memory < MIN_MEMORY:
            raise ConfigurationError(f"memory={self.memory!r} must be at least {MIN_MEMORY} bytes (256 MiB), or None")
        if self.cpu is not None and not self.cpu > 0:
            raise ConfigurationError(f"cpu={self.cpu!r} must be a number of seconds above 0, or None")
