"""What a conversation, and the set of all of them, can be asked: the messages between handles and actors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyllm_actors.llm.messages import ContentPart
    from tinyllm_actors.tool import Decision

__all__ = [
    "Cancel",
    "CancelTimer",
    "Compact",
    "Decide",
    "Delete",
    "Edit",
    "Find",
    "Finish",
    "Fire",
    "GetHistory",
    "GetPending",
    "GetReport",
    "GetTimers",
    "Inject",
    "Leave",
    "ListQuarantined",
    "Locate",
    "Overdue",
    "Reactivate",
    "Release",
    "Remind",
    "Send",
]

# --- to one conversation ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Take a turn, or find the one of that name. Answers with its `TurnLog`."""

    turn_id: str
    content: str | list[ContentPart]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Find:
    """Find the turn of that name, or with None the one in progress. Answers with its `TurnLog`."""

    turn_id: str | None


@dataclass(frozen=True, slots=True)
class Edit:
    """Take a turn in place of an earlier one, whose branch stays in the journal. Answers with its `TurnLog`.

    Attributes:
        turn_id: the name of the new turn.
        entry_id: the user's message that is replaced; None for the newest.
        content: what the user says instead; None for the same again.
    """

    turn_id: str
    entry_id: str | None
    content: str | list[ContentPart] | None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the turn in progress, or one that waits. Answers whether there was one."""

    turn_id: str | None
    reason: str
    after_step: bool


@dataclass(frozen=True, slots=True)
class Finish:
    """Let the turn in progress come to an answer. Answers whether there is one."""


@dataclass(frozen=True, slots=True)
class Inject:
    """Say something that the turn in progress hears. Answers whether there is one."""

    content: str | list[ContentPart]


@dataclass(frozen=True, slots=True)
class Decide:
    """Decide on a call that waits for a person."""

    call_id: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class GetPending:
    """Answers with the calls that wait for a person."""


@dataclass(frozen=True, slots=True)
class Remind:
    """Have the conversation say something to its agent later.

    Attributes:
        timer_id: the name of the timer; one of the same name is moved.
        due: seconds since the epoch.
        content: what is said then.
        every: seconds between repetitions; None for once.
    """

    timer_id: str
    due: float
    content: str
    every: float | None


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Cancel a timer. Answers whether it was set."""

    timer_id: str


@dataclass(frozen=True, slots=True)
class Fire:
    """A timer's time has come."""

    timer_id: str
    due: float


@dataclass(frozen=True, slots=True)
class GetTimers:
    """Answers with the timers that are set."""


@dataclass(frozen=True, slots=True)
class Compact:
    """Make the history shorter now. Answers whether it could be."""


@dataclass(frozen=True, slots=True)
class GetHistory:
    """Answers with the messages at the head."""


@dataclass(frozen=True, slots=True)
class GetReport:
    """Answers with a `ConversationReport`."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave the memory, if there is nothing to do and nobody waits. Answers whether it does."""


# --- to the set of all -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Locate:
    """Answers with the reference of the conversation's actor, which is started if need be."""

    key: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Answers `Locate` where the conversation cannot be had. A failure would look like one of the set itself."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Overdue:
    """The conversation has been starting for too long: tell those who wait for it, and let it go on."""

    key: str


@dataclass(frozen=True, slots=True)
class Reactivate:
    """A conversation that failed in the middle of a turn shall go on."""

    key: str


@dataclass(frozen=True, slots=True)
class Release:
    """Take a conversation out of quarantine. Answers whether it was there."""

    key: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a conversation for good. Answers whether it was there."""

    key: str


@dataclass(frozen=True, slots=True)
class ListQuarantined:
    """Answers with the quarantined conversations."""
