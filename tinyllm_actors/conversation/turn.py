"""A turn that waits or is in progress, and what a conversation's actor tells itself about turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from structlog.contextvars import bind_contextvars, get_contextvars

from tinyllm_actors.conversation.recorder import resumption_of
from tinyllm_actors.conversation.run_events import TurnAccepted
from tinyllm_actors.conversation.turn_log import TurnLog
from tinyllm_actors.function.tracing import TracePosition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinyllm_actors.conversation.branch import OpenTurn
    from tinyllm_actors.conversation.entries import Entry, TimerSet, TreeEntry
    from tinyllm_actors.conversation.run_journal import Resumption
    from tinyllm_actors.conversation.wishes import Cancel
    from tinyllm_actors.llm.messages import ContentPart

__all__ = ["FLUSH", "IDLE", "CallOff", "Ended", "Flush", "Idle", "Turn", "Unheard", "plain_value"]


@dataclass(slots=True, eq=False)
class Turn:
    """A turn that waits or is in progress.

    Attributes:
        log: what readers see of it.
        content: what the user says.
        name: who of several users.
        first: what is written before its message.
        timer: whose time has come, if that is what it was started by; gone or moved since, there is no such turn.
        resumption: where its run goes on, if it had begun before.
        open: what the journal says of it then.
        cancelled: why it is to end, if it is.
        begun: whether its message is in the journal.
        position: where in which trace whoever sent it was; that of nobody who is there is a trace of its own.
        labels: what whoever sent it had bound in structlog's context.
    """

    log: TurnLog
    content: str | list[ContentPart]
    name: str | None = None
    first: list[Entry] = field(default_factory=list["Entry"])
    timer: TimerSet | None = None
    resumption: Resumption | None = None
    open: OpenTurn | None = None
    cancelled: str | None = None
    begun: bool = False
    position: TracePosition = field(default_factory=TracePosition.here)
    labels: dict[str, Any] = field(default_factory=get_contextvars)

    @classmethod
    def resumed(cls, turn: OpenTurn, branch: Sequence[TreeEntry]) -> Turn:
        """Return a turn that goes on where the journal leaves it.

        Args:
            turn: as the journal has it.
            branch: the entries up to the head.
        """
        started = turn.started
        since = next(index for index, entry in enumerate(branch) if entry.id == started.id)
        again = cls(TurnLog(started.turn_id), started.content, resumption=resumption_of(turn, branch[since:]))
        again.open, again.begun = turn, True
        if turn.cancelled is not None:
            again.cancelled = turn.cancelled.reason
        again.log.add(TurnAccepted(started.turn_id, started.id))
        return again

    def enter(self) -> None:
        """Let the running task, which inherits nothing, log and trace as whoever sent the turn does."""
        self.position.take()
        bind_contextvars(**self.labels)


@dataclass(frozen=True, slots=True)
class Ended:
    """A turn has ended."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class CallOff:
    """Try again to reach the run of a turn that is to end."""

    turn: Turn
    wish: Cancel


@dataclass(frozen=True, slots=True)
class Unheard:
    """What the user said, and a run that was about to end did not hear."""

    content: str | list[ContentPart]


@dataclass(frozen=True, slots=True)
class Flush:
    """What is held back has waited for long enough."""


FLUSH: Final = Flush()


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing has come for a while."""


IDLE: Final = Idle()


def plain_value(value: Any) -> Any:
    """Encode what msgspec does not know: pydantic models, and in doubt what a thing says of itself."""
    dump: Callable[..., Any] | None = getattr(value, "model_dump", None)
    return repr(value) if dump is None else dump(mode="json")
