"""What an operator sees of a conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyllm_actors.conversation.entries import Totals

__all__ = ["ConversationReport", "Quarantine"]


@dataclass(frozen=True, slots=True)
class ConversationReport:
    """A conversation in memory.

    Attributes:
        key: which.
        head: the newest entry of its branch.
        entries: tree entries in memory, of all branches.
        turn_id: the turn in progress.
        queued: turns that wait behind it.
        totals: tokens and dollars of all its model calls.
        epoch: of the claim under which it is in memory.
    """

    key: str
    head: str | None
    entries: int
    turn_id: str | None
    queued: int
    totals: Totals
    epoch: int


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A conversation that is not started any more, because it kept failing.

    Attributes:
        key: which.
        cause: the last failure.
        failures: how many there were in a row.
        since: when, in seconds since the epoch.
    """

    key: str
    cause: BaseException
    failures: int
    since: float
