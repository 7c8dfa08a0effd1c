"""Writes what a run tells into the journal, and reads from it where a run stood."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol

from tinyllm_actors.conversation.branch import history_of
from tinyllm_actors.conversation.entries import (
    ApprovalAsked,
    ApprovalDecided,
    CallIntent,
    CallResult,
    Injected,
    ModelAnswered,
    TimerFired,
    TimerSet,
)
from tinyllm_actors.conversation.run_journal import Resumption, RunJournal
from tinyllm_actors.errors import EntryRejected, UnknownApproval
from tinyllm_actors.kernel import ChildSpec
from tinyllm_actors.llm.messages import AssistantMessage, ToolMessage
from tinyllm_actors.tool import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tinyllm_actors.conversation.branch import OpenTurn
    from tinyllm_actors.conversation.entries import Entry, TreeEntry
    from tinyllm_actors.conversation.live import Live, LiveTable
    from tinyllm_actors.conversation.writer import Writer
    from tinyllm_actors.kernel import Actor
    from tinyllm_actors.llm import Completion, UserMessage
    from tinyllm_actors.llm.messages import ContentPart
    from tinyllm_actors.tool import ApprovalRequest, ToolOutcome, ToolRequest

__all__ = ["APPROVALS", "OUR_TIMERS", "Journalled", "Recorder", "resumption_of"]

OUR_TIMERS: Final = "tinyllm_actors:"
"""What the names of timers begin with that no user has set."""

APPROVALS: Final = OUR_TIMERS + "approvals"
"""The timer that wakes a conversation whose questions to people expire."""

_NONE: Final[frozenset[str]] = frozenset()
"""One for all: an empty set of its own takes as much as a full one."""

_NOTHING: Final[Mapping[str, Decision]] = MappingProxyType({})


class Turns(Protocol):
    """Who takes the turns of a conversation."""

    def unheard(self, content: str | list[ContentPart]) -> None:
        """Take what a run did not hear any more."""
        ...

    def flush_soon(self) -> None:
        """See to it that what the writer holds is written soon."""
        ...


class Recorder(RunJournal):
    """The journal of the turn in progress.

    Args:
        writer: of the conversation.
        turns: who takes the turns.
        live: is told when all that may be done is to wait for a person.
        table: what it is in.

    Attributes:
        turn_id: which turn.
    """

    __slots__ = ("_asked", "_decided", "_live", "_open", "_table", "_turns", "_writer", "turn_id")

    def __init__(
        self,
        writer: Writer,
        turns: Turns,
        live: Live,
        table: LiveTable,
    ) -> None:
        self._writer = writer
        self._turns = turns
        self._live = live
        self._table = table
        self._asked = self._open = _NONE
        self._decided = _NOTHING
        self.turn_id = ""

    def begin(self, turn_id: str, *, goes_on: bool) -> None:
        """Record another turn; one that goes on stands where the journal says."""
        self.turn_id = turn_id
        turn = self._writer.state.open_turn() if goes_on else None
        # What was decided while the agent started may be on its way into the journal.
        self._decided = _NOTHING if turn is None else {**_decisions(turn), **self._decided}
        self._asked = _NONE if turn is None else frozenset(turn.asked).difference(self._decided)
        self._open = _NONE if turn is None else frozenset(turn.open)
        self._mark()

    def _mark(self) -> None:
        self._live.parked = bool(self._asked) and not self._open
        if self._live.parked:
            self._table.changed()

    def idempotency_key(self, step: int, call_id: str) -> str:
        """Return a digest: what it is made of may name a person, and it goes to services outside."""
        what = "\0".join((self._writer.grant.key, self.turn_id, str(step), call_id))
        return hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    async def thought(
        self, completion: Completion, intents: Sequence[ToolRequest], asked: Sequence[ApprovalRequest]
    ) -> None:
        """Record an answer with what is about to be done about it, or with what comes of it, in one transaction."""
        entries: list[Entry] = [*map(_intent, intents), *map(_question, asked)]
        answer = ModelAnswered(completion=completion)
        self._decided = _NOTHING
        if entries:
            await self._write(answer, *entries, *self.timer_for(request.expires_at for request in asked))
        else:  # nothing is done about it but to end the turn, or to say more: it is stored with that
            self._writer.hold(answer, *self.timer_for(()))
            self._turns.flush_soon()
        self._open = frozenset(request.call_id for request in intents) if intents else _NONE
        self._asked = frozenset(request.call_id for request in asked).difference(self._decided) if asked else _NONE
        self._mark()

    def timer_for(self, expires: Iterable[float | None]) -> list[Entry]:
        """Return what has the conversation woken when the first of its open questions expires; at no time for none."""
        due = min((time for time in expires if time is not None), default=None)
        timer = self._writer.state.timers.get(APPROVALS)
        if due is None:
            return [] if timer is None else [TimerFired(timer_id=APPROVALS)]
        return [] if timer is not None and timer.due == due else [TimerSet(timer_id=APPROVALS, due=due)]

    async def _write(self, *entries: Entry) -> None:
        await self._writer.write(*entries)
        for entry in entries:
            if isinstance(entry, TimerSet):
                self._table.alarms.wake(entry.due)

    async def intended(self, requests: Sequence[ToolRequest]) -> None:
        """Record calls that are about to run."""
        if requests:
            self._open = self._open.union(request.call_id for request in requests)
            self._mark()
            await self._writer.write(*map(_intent, requests))

    async def happened(self, outcomes: Sequence[ToolOutcome]) -> None:
        """Record the ends of calls."""
        await self._writer.write(*map(_result, outcomes))
        self._open = self._open.difference(outcome.call_id for outcome in outcomes)
        self._mark()

    async def decide(self, call_id: str, decision: Decision) -> None:
        """Record what a person decided. The run need not have asked yet, nor be there.

        Raises:
            UnknownApproval: no such call waits (any more).
        """
        turn = self._writer.state.open_turn()
        waiting = [] if turn is None else [asked for asked in turn.asked if asked not in self._decided]
        if call_id not in waiting:
            raise UnknownApproval(call_id, waiting)
        await self._settle(call_id, decision)

    def decision(self, call_id: str) -> Decision | None:
        """Return what was decided of a call, however long ago."""
        return self._decided.get(call_id)

    async def decided(self, call_id: str, decision: Decision) -> Decision:
        """Record a decision, unless there is one, and return the one that counts."""
        known = self._decided.get(call_id)
        if known is not None:
            return known
        await self._settle(call_id, decision)
        return decision

    async def _settle(self, call_id: str, decision: Decision) -> None:
        turn = self._writer.state.open_turn()
        self._decided = {**self._decided, call_id: decision}  # at once: nobody may decide otherwise meanwhile
        self._asked -= {call_id}
        self._mark()
        left = {} if turn is None else turn.asked
        made = ApprovalDecided(
            call_id=call_id, approved=decision.verdict != "deny", note=decision.reason, arguments=decision.arguments
        )
        try:
            await self._write(
                made, *self.timer_for(left[other].expires_at for other in left if other not in self._decided)
            )
        except EntryRejected:
            self._decided = {other: made for other, made in self._decided.items() if other != call_id}
            self._asked |= {call_id}
            self._mark()
            raise

    async def heard(self, message: UserMessage) -> None:
        """Record what the user said meanwhile."""
        await self._writer.write(Injected(message=message, source="user"))

    def unheard(self, message: UserMessage) -> None:
        """Make it a turn of its own."""
        self._turns.unheard(message.content)


class Journalled(ChildSpec):
    """How to make the agent of one conversation: as the set's spec says, and with a journal.

    Its session is the key, unless the spec names one.

    Args:
        key: of the conversation.
        spec: of the set; what it holds is shared.
        journal: of the conversation.
        user_of: see `ConversationSettings`.
    """

    __slots__ = ("_journal", "_key", "_user_of")

    def __init__(
        self, key: str, spec: ChildSpec, journal: RunJournal, user_of: Callable[[str], str | None] | None
    ) -> None:
        super().__init__(spec.factory)
        self.args, self.kwargs, self.options = spec.args, spec.kwargs, spec.options
        self._key = key
        self._journal = journal
        self._user_of = user_of

    def make(self) -> Actor:
        """Return a new agent."""
        options = {"session_id": self._key, **self.kwargs, "journal": self._journal}
        if self._user_of is not None:
            options["user_id"] = self._user_of(self._key)
        return self.factory(*self.args, **options)


def _intent(request: ToolRequest) -> CallIntent:
    edited = None if request.decision is None else request.decision.arguments
    return CallIntent(
        call_id=request.call_id,
        name=request.name,
        arguments=request.arguments if edited is None else edited,
        idempotency_key=request.idempotency_key or None,
    )


def _question(request: ApprovalRequest) -> ApprovalAsked:
    return ApprovalAsked(
        call_id=request.call_id,
        name=request.name,
        arguments=request.arguments,
        question=request.description,
        expires_at=request.expires_at,
    )


def _result(outcome: ToolOutcome) -> CallResult:
    status: Literal["success", "error", "denied", "interrupted"] = outcome.status
    if outcome.error == "ToolDenied":
        status = "denied"
    elif outcome.error == "Interrupted":
        status = "interrupted"
    return CallResult(
        call_id=outcome.call_id,
        name=outcome.name,
        content=outcome.content,
        status=status,
        error=outcome.error,
        full=outcome.full,
    )


def _decisions(turn: OpenTurn) -> dict[str, Decision]:
    return {
        call_id: Decision(
            verdict="deny" if not made.approved else "approve" if made.arguments is None else "edit",
            reason=made.note,
            arguments=made.arguments,
        )
        for call_id, made in turn.decided.items()
    }


def resumption_of(turn: OpenTurn, branch: Sequence[TreeEntry]) -> Resumption:
    """Return where the run of an open turn stood.

    Args:
        turn: the open turn.
        branch: the entries from its first to the head.
    """
    unfinished = {call.id for call in turn.waiting} | turn.open.keys()
    said = history_of((), branch)
    answer = max((index for index, message in enumerate(said) if isinstance(message, AssistantMessage)), default=-1)
    # An open call is shown as interrupted there; whether it was is for the run to say. Ids come again in later rounds.
    said = [
        message
        for index, message in enumerate(said)
        if index < answer or not isinstance(message, ToolMessage) or message.tool_call_id not in unfinished
    ]
    return Resumption(
        said=said,
        steps=len(turn.answers),
        tool_calls=sum(isinstance(message, ToolMessage) for message in said),
        intents={call_id: intent.idempotency_key or "" for call_id, intent in turn.open.items()},
        decisions=_decisions(turn),
        expires={call_id: asked.expires_at for call_id, asked in turn.asked.items()},
    )
