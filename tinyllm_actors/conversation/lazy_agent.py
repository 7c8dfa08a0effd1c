"""The agent of one conversation, which is started for the first turn: many come into memory only to be looked at."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.conversation.run_journal import Recall
from tinyllm_actors.errors import ActorError, UnknownApproval
from tinyllm_actors.function.tracing import untraced

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorContext, ChildSpec
    from tinyllm_actors.llm.messages import ContentPart, Message
    from tinyllm_actors.tool import ApprovalRequest, Decision

__all__ = ["AGENT", "LazyAgent"]

AGENT: Final = "agent"
"""Its name below the conversation's actor."""


class LazyAgent:
    """An agent that may not be there yet: then no run is in progress, and nothing is waiting for anybody.

    Args:
        spec: how to make it.
        context: of the conversation's actor, which ends with it.

    Attributes:
        ref: the agent; None until it is started.
    """

    __slots__ = ("_context", "_spec", "ref")

    def __init__(self, spec: ChildSpec, context: ActorContext) -> None:
        self._spec = spec
        self._context = context
        self.ref: Any = None

    async def start(self) -> None:
        """Start it.

        Raises:
            StartFailed: it could not be.
        """
        self.ref = await self._context.spawn(self._spec, name=AGENT)
        self._context.link(self.ref)  # without it there is nothing to go on with

    async def recall(self, messages: list[Message]) -> None:
        """Have it remember these messages and nothing else."""
        if self.ref is not None:
            with untraced():  # it is no part of what was asked, and as large as all that was said
                await self.ref.ask(Recall(messages), timeout=None)

    async def leave(self) -> None:
        """End it in the middle of a run, which goes on from the journal."""
        if self.ref is not None:
            self._context.unlink(self.ref)
            await self.ref.kill()

    async def cancel(self, reason: str, *, after_step: bool) -> bool:
        """End the run in progress. Returns whether there is one."""
        return self.ref is not None and await self.ref.cancel(reason, after_step=after_step)

    async def finish(self) -> bool:
        """Let the run in progress come to an answer. Returns whether there is one."""
        return self.ref is not None and await self.ref.finish()

    async def interject(self, content: str | list[ContentPart]) -> bool:
        """Say something to the run in progress. Returns whether there is one that hears it."""
        return self.ref is not None and await self.ref.interject(content)

    async def decide(self, call_id: str, decision: Decision) -> None:
        """Tell the run in progress of a decision that is recorded: one that has not asked yet finds it there."""
        if self.ref is not None:
            with suppress(UnknownApproval, ActorError):
                await self.ref.decide(call_id, decision)

    async def pending_approvals(self) -> list[ApprovalRequest]:
        """Return the calls that wait for a person."""
        return [] if self.ref is None else await self.ref.pending_approvals()
