"""What is done between two turns: the history is kept short, and the way back into memory too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from tinyllm_actors.conversation.compaction import plan_compaction, summary_message, summary_request
from tinyllm_actors.conversation.entries import Compacted
from tinyllm_actors.errors import ActorError, EntryRejected, FunctionFailed
from tinyllm_actors.function import unwrap
from tinyllm_actors.llm import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.conversation.compaction import Compaction, CompactionPlan
    from tinyllm_actors.conversation.settings import ConversationSettings
    from tinyllm_actors.conversation.writer import Writer
    from tinyllm_actors.llm.messages import Message

__all__ = ["Tidier"]


class Tidier:
    """Compacts a conversation and writes its snapshots; only while no turn is in progress.

    Args:
        key: of the conversation, for the log.
        settings: when.
        writer: of the conversation.
        recall: has the agent remember what is left.
        spawn: starts the actor that summarises, when it is needed.
    """

    __slots__ = ("_key", "_llm", "_recall", "_settings", "_spawn", "_writer")

    def __init__(
        self,
        key: str,
        settings: ConversationSettings,
        writer: Writer,
        recall: Callable[[list[Message]], Awaitable[None]],
        spawn: Callable[..., Awaitable[Any]],
    ) -> None:
        self._key = key
        self._settings = settings
        self._writer = writer
        self._recall = recall
        self._spawn = spawn
        self._llm: Any = None

    async def tidy(self) -> None:
        """Do what is due."""
        await self.compact(force=False)
        writer = self._writer
        if writer.since_snapshot >= max(self._settings.snapshot_every, len(writer.state.nodes) // 2):
            try:
                await writer.snapshot()
            except EntryRejected as error:  # as large as that; it wakes up slowly, which is better than not at all
                structlog.get_logger(__name__).warning("no snapshot", key=self._key, error=str(error))
                writer.since_snapshot = 0

    async def compact(self, *, force: bool) -> bool:
        """Make the history shorter, if it is too long or has to be. Returns whether it is."""
        compaction, state = self._settings.compaction, self._writer.state
        plan = None if compaction is None else plan_compaction(state, compaction, force=force)
        if compaction is None or plan is None:
            return False
        try:
            messages = list(plan.messages)
            if plan.summarise:
                messages.insert(0, summary_message(await self._summary(compaction, plan)))
            await self._writer.write(Compacted(until=plan.until, messages=messages))
        except (ActorError, EntryRejected, FunctionFailed) as error:  # it stays long; the next turn tries again
            structlog.get_logger(__name__).warning("not compacted", key=self._key, error=str(error))
            return False
        await self._recall(state.history())
        return True

    async def _summary(self, compaction: Compaction, plan: CompactionPlan) -> str:
        if self._llm is None:
            self._llm = await self._spawn(compaction.summariser, name="summariser")
        request = ChatRequest(messages=summary_request(plan.summarise))
        completion = unwrap(await self._llm.within(None)(request=request))["completion"]
        return completion.message.content or ""
