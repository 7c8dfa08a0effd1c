"""What became of a tool call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tinyllm_actors.tool.approval import Decision

__all__ = ["OutcomeStatus", "ToolFinished", "ToolOutcome", "ToolProgress", "ToolRequest", "ToolStarted"]

OutcomeStatus: TypeAlias = Literal["success", "error"]


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A call that a model asked for.

    Attributes:
        call_id: the model's identifier of the call.
        name: which tool.
        arguments: JSON text, as the model wrote it.
        decision: what a person decided, if one was asked. It holds also for a tool that needs no approval.
        idempotency_key: the same for every attempt at this call, also after a restart; the tool finds it in its
            `ToolContext`.
    """

    call_id: str
    name: str
    arguments: str
    decision: Decision | None = None
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What the model is told of one call; there is exactly one for each.

    Attributes:
        call_id: which call.
        name: which tool.
        content: text for the model: the result, or what went wrong.
        status: how it ended.
        error: the class of the failure, if it failed.
        full: the whole result, if `content` was cut for the model; a journal may keep it.
    """

    call_id: str
    name: str
    content: str
    status: OutcomeStatus = "success"
    error: str | None = None
    full: str | None = None


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call began; `arguments` are those that it runs with, as JSON text."""

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
