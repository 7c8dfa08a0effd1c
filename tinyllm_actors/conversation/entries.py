"""What a journal holds: one struct for each thing that can happen in a conversation.

Entries are facts: frozen, never changed, never reordered. Each has an `id` of its own and the `parent` that it
follows, so a journal is a tree: an edited question is a second child of the same parent. The *tree entries* move the
head of the conversation to themselves. The *side entries* (timers, budgets, compaction, snapshots) leave it where it
is; the parent that they name is where they happened.

```python
>>> from tinyllm_actors.llm import AssistantMessage
>>> question = TurnStarted(id="e1", turn_id="t1", content="When is Ada's birthday?", at=0.0)
>>> answer = ModelAnswered(id="e2", parent="e1", completion=Completion(AssistantMessage("On the 10th.")), at=1.0)
>>> answer.parent == question.id
True

```
"""

from __future__ import annotations

import os
import time
from typing import Any, Literal, TypeAlias

import msgspec

from tinyllm_actors.llm.messages import ContentPart, Message
from tinyllm_actors.llm.model import Completion

__all__ = [
    "ApprovalAsked",
    "ApprovalDecided",
    "BudgetSpent",
    "CallIntent",
    "CallResult",
    "Cancelled",
    "Compacted",
    "Entry",
    "HeadMoved",
    "Injected",
    "ModelAnswered",
    "Snapshot",
    "StateDump",
    "TimerFired",
    "TimerSet",
    "Totals",
    "TreeEntry",
    "TurnEnded",
    "TurnStarted",
    "new_entry_id",
]


def new_entry_id() -> str:
    """Return an id that no other entry has."""
    return os.urandom(12).hex()


class _Entry(msgspec.Struct, tag_field="type", frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What every entry has.

    Attributes:
        id: unique in its conversation. Appending the same entry again, equal in every field, stores it once; another
            entry of that id is refused.
        parent: the entry that it follows; None for the first.
        at: when, in seconds since the epoch.
    """

    id: str = msgspec.field(default_factory=new_entry_id)
    parent: str | None = None
    at: float = msgspec.field(default_factory=time.time)


# --- tree entries: they move the head ---------------------------------------------------------------


class TurnStarted(_Entry, frozen=True, tag="turn_started"):
    """The user said something; the turn is acknowledged once this is durable.

    Attributes:
        turn_id: the caller's name of the turn; a resend under the same name is the same turn.
        content: text, or parts.
        name: who of several users.
    """

    turn_id: str
    content: str | list[ContentPart]
    name: str | None = None


class ModelAnswered(_Entry, frozen=True, tag="model_answered"):
    """The model answered; with the whole completion, so that nothing is paid for twice."""

    completion: Completion


class CallIntent(_Entry, frozen=True, tag="call_intent"):
    """A tool is about to run. Without a `CallResult` after it, nobody knows whether it did.

    Attributes:
        call_id: the model's identifier of the call.
        name: which tool.
        arguments: JSON text, as they go to the tool.
        idempotency_key: passed to the tool, so that a second run is recognised where the tool can do that; None where
            it cannot.
        approvals: the ids of the `ApprovalDecided` entries that allowed it.
    """

    call_id: str
    name: str
    arguments: str = "{}"
    idempotency_key: str | None = None
    approvals: tuple[str, ...] = ()


class CallResult(_Entry, frozen=True, tag="call_result"):
    """A tool call ended.

    Attributes:
        call_id: the model's identifier of the call.
        name: which tool.
        content: what the model is told.
        status: how it ended.
        error: the class of the failure, if it failed.
        full: the whole result where `content` is an extract of it; anything that JSON holds. It is for readers of the
            journal; the state of the conversation does not keep it.
    """

    call_id: str
    name: str
    content: str
    status: Literal["success", "error", "denied", "interrupted"] = "success"
    error: str | None = None
    full: Any = None


class ApprovalAsked(_Entry, frozen=True, tag="approval_asked"):
    """A tool call waits until a person decides.

    Attributes:
        call_id: which call.
        name: which tool.
        arguments: JSON text, as the person sees them.
        question: what the person is asked.
        expires_at: when the question is no longer open, in seconds since the epoch; None if it stays open.
    """

    call_id: str
    name: str
    arguments: str = "{}"
    question: str = ""
    expires_at: float | None = None


class ApprovalDecided(_Entry, frozen=True, tag="approval_decided"):
    """A person decided on a tool call.

    Attributes:
        call_id: which call.
        approved: whether it may run.
        by: who decided.
        note: why; the model is told when it is denied.
        arguments: JSON text that replaces the arguments; None leaves them.
    """

    call_id: str
    approved: bool
    by: str = ""
    note: str = ""
    arguments: str | None = None


class Cancelled(_Entry, frozen=True, tag="cancelled"):
    """The turn was cancelled; what was completed is kept."""

    turn_id: str
    reason: str = ""


class Injected(_Entry, frozen=True, tag="injected"):
    """A message from neither the user nor the model: a notice, a hand-over, a correction by a person.

    Attributes:
        message: what the model sees. Between a call and its results it is shown after the results.
        source: who injected it.
    """

    message: Message
    source: str = ""


class TurnEnded(_Entry, frozen=True, tag="turn_ended"):
    """The turn is over; a resend of its `turn_id` gets `result` again.

    Attributes:
        turn_id: which turn.
        status: how it ended.
        result: what the caller needs of the outcome dictionary; anything that JSON holds.
    """

    turn_id: str
    status: Literal["success", "error", "cancelled"]
    result: Any = None


TreeEntry: TypeAlias = (
    TurnStarted
    | ModelAnswered
    | CallIntent
    | CallResult
    | ApprovalAsked
    | ApprovalDecided
    | Cancelled
    | Injected
    | TurnEnded
)

# --- side entries -----------------------------------------------------------------------------------


class HeadMoved(_Entry, frozen=True, tag="head_moved"):
    """Somebody went back to another branch.

    Attributes:
        to: the new head; None for the empty beginning.
    """

    to: str | None


class Compacted(_Entry, frozen=True, tag="compacted"):
    """Messages stand for the beginning of the history; the original entries stay in the journal.

    Attributes:
        until: the last entry replaced: it, and everything on its way back to the beginning. It lies on the branch
            that is being compacted, between two rounds of tool calls.
        messages: what stands for them.
    """

    until: str
    messages: list[Message]


class BudgetSpent(_Entry, frozen=True, tag="budget_spent"):
    """Something was paid for that no `ModelAnswered` counts: a failed call, a tool, another agent.

    Attributes:
        purpose: what for.
        prompt_tokens: tokens sent.
        completion_tokens: tokens received.
        cost: in US dollars; None where the price is unknown.
    """

    purpose: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None


class TimerSet(_Entry, frozen=True, tag="timer_set"):
    """The conversation wants to be woken; setting a timer that is set moves it.

    Attributes:
        timer_id: its name in the conversation.
        due: when, in seconds since the epoch.
        content: what to say then.
        every: seconds between repetitions; None for once.
    """

    timer_id: str
    due: float
    content: str = ""
    every: float | None = None


class TimerFired(_Entry, frozen=True, tag="timer_fired"):
    """The timer was seen to, or is not wanted any more."""

    timer_id: str


class Totals(msgspec.Struct, frozen=True):
    """What a conversation has used, over all branches.

    Attributes:
        prompt_tokens: tokens sent.
        completion_tokens: tokens received.
        cost: in US dollars, of what has a known price.
        unpriced: how many spendings had none.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0


class StateDump(msgspec.Struct, frozen=True):
    """All that a `ConversationState` knows, as data."""

    head: str | None
    nodes: list[TreeEntry]
    prefixes: dict[str, list[Message]]
    turns: dict[str, TurnEnded]
    timers: dict[str, TimerSet]
    totals: Totals


class Snapshot(_Entry, frozen=True, tag="snapshot"):
    """All that the entries before it say, so that none of them needs to be read."""

    state: StateDump


Entry: TypeAlias = TreeEntry | HeadMoved | Compacted | BudgetSpent | TimerSet | TimerFired | Snapshot
