"""How far a server is with a call."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["McpProgress"]


@dataclass(frozen=True, slots=True)
class McpProgress:
    """What a server reports while it works on a call.

    Attributes:
        progress: how much is done, in units of the server's own; it grows.
        total: how much there is, if the server knows.
        message: what it says of it.
    """

    progress: float
    total: float | None = None
    message: str | None = None
