"""What turns are taken with, made for the first: many conversations come into memory only to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from tinyllm_actors.conversation.lazy_agent import LazyAgent
from tinyllm_actors.conversation.recorder import Journalled, Recorder
from tinyllm_actors.conversation.tidying import Tidier

if TYPE_CHECKING:
    from tinyllm_actors.conversation.live import Live, LiveTable
    from tinyllm_actors.conversation.recorder import Turns
    from tinyllm_actors.conversation.settings import ConversationSettings
    from tinyllm_actors.conversation.writer import Writer
    from tinyllm_actors.kernel import ActorContext, ChildSpec
    from tinyllm_actors.tool import ApprovalRequest, Decision

__all__ = ["TurnParts"]


class TurnParts:
    """What the turns of one conversation are taken with.

    Args:
        key: of the conversation.
        agent: the spec of the set's agents.
        settings: of the set.
        writer: of the conversation.
        turns: who takes the turns.
        live: of the conversation.
        table: what it is in.
        context: of the conversation's actor.

    Attributes:
        agent: takes turns.
        recorder: journals what it does.
        tidier: sees to what is due between two turns.
    """

    __slots__ = ("agent", "recorder", "tidier")

    def __init__(
        self,
        key: str,
        agent: ChildSpec,
        settings: ConversationSettings,
        writer: Writer,
        turns: Turns,
        live: Live,
        table: LiveTable,
        context: ActorContext,
    ) -> None:
        self.recorder = Recorder(writer, turns, live, table)
        self.agent = LazyAgent(Journalled(key, agent, self.recorder, settings.user_of), context)
        self.tidier = Tidier(key, settings, writer, self.agent.recall, context.spawn)

    async def decide(self, call_id: str, decision: Decision) -> None:
        """Decide on a call that waits for a person; when this returns, the decision is durable.

        Raises:
            UnknownApproval: no such call waits (any more).
        """
        with anyio.CancelScope(shield=True):  # else the run would wait for what is decided, if the asker left just now
            await self.recorder.decide(call_id, decision)
            await self.agent.decide(call_id, decision)

    async def pending(self) -> list[ApprovalRequest]:
        """Return the calls that wait for a person."""
        asked = await self.agent.pending_approvals()
        return [request for request in asked if self.recorder.decision(request.call_id) is None]
