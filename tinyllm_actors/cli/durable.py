"""A conversation in a store, for `chat --store`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from tinyllm_actors.conversation import RunFinished
from tinyllm_actors.errors import UnknownTurn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from tinyllm_actors.agent import AgentEvent
    from tinyllm_actors.conversation import Conversation

__all__ = ["DurableChat"]

CANCEL_SECONDS: Final = 5.0


class DurableChat:
    """Talks to a conversation as if it were an agent: leaving a turn before its end cancels it.

    Args:
        conversation: which.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    @asynccontextmanager
    async def stream(self, *, content: str | None) -> AsyncGenerator[AsyncIterator[AgentEvent]]:
        """Open a turn; without content, the one that was not finished when the last process ended.

        Raises:
            UnknownTurn: there is none.
        """
        async with self._conversation.stream(content) as events:
            ended = False

            async def watched() -> AsyncIterator[AgentEvent]:
                nonlocal ended
                async for event in events:
                    ended = isinstance(event, RunFinished)
                    yield event

            try:
                yield watched()
            finally:
                if not ended:
                    with anyio.CancelScope(shield=True, deadline=anyio.current_time() + CANCEL_SECONDS):
                        await self._conversation.cancel("the user stopped it")

    async def has_open_turn(self) -> bool:
        """Whether a turn is in progress: one that an earlier process left."""
        try:
            async with self._conversation.stream():
                return True
        except UnknownTurn:
            return False
