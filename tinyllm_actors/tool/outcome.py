"""What became of a tool call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["OutcomeStatus", "ToolFinished", "ToolOutcome", "ToolProgress", "ToolRequest", "ToolStarted"]

OutcomeStatus: TypeAlias = Literal["success", "error"]


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A call that a model asked for.

    Attributes:
        call_id: the model's identifier of the call.
        name: which tool.
        arguments: JSON text, as the model wrote it.
    """

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What the model is told of one call; there is exactly one for each.

    Attributes:
        call_id: which call.
        name: which tool.
        content: text for the model: the result, or what went wrong.
        status: how it ended.
        error: the class of the failure, if it failed.
    """

    call_id: str
    name: str
    content: str
    status: OutcomeStatus = "success"
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call began."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """A tool says how far it is."""

    call_id: str
    name: str
    progress: object


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call ended."""

    outcome: ToolOutcome
