"""What a run tells the journal of its conversation while it goes on."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinyllm_actors.llm import Completion, Message, UserMessage
    from tinyllm_actors.tool import ApprovalRequest, Decision, ToolOutcome, ToolRequest

__all__ = ["Recall", "Resumption", "RunJournal"]


class RunJournal(abc.ABC):
    """Records a run: each method returns when what it was told is durable.

    The run calls them in the order in which things happen, one at a time: what a model said before anything is done
    about it, what is about to be done before it is done, what came of it as soon as it is known. Only an answer about
    which nothing is to be done may become durable together with what the journal is told next, or a moment later.
    """

    __slots__ = ()

    @abc.abstractmethod
    def idempotency_key(self, step: int, call_id: str) -> str:
        """Return what names this call towards the outside, the same before and after a crash."""

    @abc.abstractmethod
    async def thought(
        self, completion: Completion, intents: Sequence[ToolRequest], asked: Sequence[ApprovalRequest]
    ) -> None:
        """The model answered; `intents` are about to run, `asked` wait for a person."""

    @abc.abstractmethod
    async def intended(self, requests: Sequence[ToolRequest]) -> None:
        """These calls, which a person has approved, are about to run."""

    @abc.abstractmethod
    async def happened(self, outcomes: Sequence[ToolOutcome]) -> None:
        """These calls have ended."""

    @abc.abstractmethod
    async def decided(self, call_id: str, decision: Decision) -> Decision:
        """The run has this decision on a call; returns the one that counts, where another was recorded before."""

    @abc.abstractmethod
    def decision(self, call_id: str) -> Decision | None:
        """Return what was decided of a call that waits for a person, if it was, though the run was not told."""

    @abc.abstractmethod
    async def heard(self, message: UserMessage) -> None:
        """The user said something while the run was going on."""

    @abc.abstractmethod
    def unheard(self, message: UserMessage) -> None:
        """The user said something that the run, which is about to end, did not hear any more. Must be quick."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Tells an agent what was said, in place of all that it remembers.

    Attributes:
        messages: oldest first, valid for a model.
    """

    messages: Sequence[Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """A turn that was not finished when the process ended, as far as it is known from the journal.

    Attributes:
        said: the user's message and what followed, in order; results in the order of the calls.
        steps: how often the model has answered.
        tool_calls: how many calls have results.
        intents: the idempotency keys of calls that were about to run and have no result, by call id.
        decisions: what was decided of calls that have no result, by call id.
        expires: until when questions to people that nobody has answered are open, by call id; None for ever.
    """

    said: Sequence[Message]
    steps: int = 0
    tool_calls: int = 0
    intents: Mapping[str, str] = field(default_factory=dict[str, str])
    decisions: Mapping[str, Decision] = field(default_factory=dict[str, "Decision"])
    expires: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
