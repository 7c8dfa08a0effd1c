"""What one branch of a journal says: its messages, and the turn that is open on it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinyllm_actors.conversation.entries import (
    ApprovalAsked,
    ApprovalDecided,
    CallIntent,
    CallResult,
    Cancelled,
    Injected,
    ModelAnswered,
    TurnEnded,
    TurnStarted,
)
from tinyllm_actors.conversation.history_repair import interrupted, repair
from tinyllm_actors.llm.messages import ToolMessage, UserMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinyllm_actors.conversation.entries import TreeEntry
    from tinyllm_actors.llm.messages import Message, ToolCall

__all__ = ["OpenTurn", "history_of", "open_turn_of"]


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn that has started and not ended: where to go on after a crash.

    What is said of calls is about those of the newest answer: earlier ones are all finished.

    Attributes:
        started: how it began.
        answers: what the model said since, oldest first.
        waiting: calls that the model asked for and nobody has begun.
        open: calls that were begun and have no result, by call id: whether they took effect is not known.
        finished: results, by call id.
        asked: approvals that nobody has decided, by call id.
        decided: approvals that somebody has, by call id.
        cancelled: that it was to stop, if it was.
    """

    started: TurnStarted
    answers: tuple[ModelAnswered, ...] = ()
    waiting: tuple[ToolCall, ...] = ()
    open: dict[str, CallIntent] = field(default_factory=dict[str, CallIntent])
    finished: dict[str, CallResult] = field(default_factory=dict[str, CallResult])
    asked: dict[str, ApprovalAsked] = field(default_factory=dict[str, ApprovalAsked])
    decided: dict[str, ApprovalDecided] = field(default_factory=dict[str, ApprovalDecided])
    cancelled: Cancelled | None = None


def history_of(prefix: Iterable[Message], branch: Iterable[TreeEntry]) -> list[Message]:
    """Return the messages of a branch, valid for a model wherever the branch ends.

    Results stand right behind the answer that asked for them, in the order of its calls, whatever came first; what
    was injected in between stands behind them.
    """
    said = list(prefix)
    calls: Sequence[ToolCall] = ()
    results: dict[str, ToolMessage] = {}
    injected: list[Message] = []
    for entry in branch:
        match entry:
            case CallResult():
                results.setdefault(entry.call_id, ToolMessage(entry.call_id, entry.content, entry.name))
            case Injected():
                injected.append(entry.message)
            case TurnStarted():
                _close(said, calls, results, injected)
                said.append(UserMessage(entry.content, entry.name))
                calls = ()
            case ModelAnswered():
                _close(said, calls, results, injected)
                message = entry.completion.message
                said.append(message)
                calls = message.tool_calls
            case _:
                pass
    _close(said, calls, results, injected)
    return repair(said)


def _close(
    said: list[Message], calls: Sequence[ToolCall], results: dict[str, ToolMessage], injected: list[Message]
) -> None:
    """Say what stands between an answer and whatever follows it, and begin anew."""
    if calls:
        said += [results.get(call.id) or interrupted(call) for call in calls]
    if results:
        results.clear()
    if injected:
        said += injected
        injected.clear()


def open_turn_of(branch: Sequence[TreeEntry]) -> OpenTurn | None:
    """Return the turn that a branch leaves open, if it does."""
    first = len(branch)
    while first and not isinstance(branch[first - 1], TurnStarted | TurnEnded):
        first -= 1
    started = branch[first - 1] if first else None
    if not isinstance(started, TurnStarted):
        return None
    answers: list[ModelAnswered] = []
    intents: dict[str, CallIntent] = {}
    results: dict[str, CallResult] = {}
    asked: dict[str, ApprovalAsked] = {}
    decided: dict[str, ApprovalDecided] = {}
    cancelled: Cancelled | None = None
    for entry in branch[first:]:
        match entry:
            case ModelAnswered():
                answers.append(entry)
                for known in (intents, results, asked, decided):
                    known.clear()
            case CallIntent():
                intents[entry.call_id] = entry
            case CallResult():
                results.setdefault(entry.call_id, entry)
            case ApprovalAsked():
                asked[entry.call_id] = entry
                decided.pop(entry.call_id, None)
            case ApprovalDecided():
                decided[entry.call_id] = entry
                asked.pop(entry.call_id, None)
            case Cancelled():
                cancelled = entry
            case _:  # injected: it is in the history
                pass
    calls = answers[-1].completion.message.tool_calls if answers else ()
    return OpenTurn(
        started,
        tuple(answers),
        tuple(call for call in calls if call.id not in intents and call.id not in results),
        {call_id: intent for call_id, intent in intents.items() if call_id not in results},
        results,
        asked,
        decided,
        cancelled,
    )
