"""Reading a turn of a conversation as it goes on."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Self

import anyio

from tinyllm_actors.conversation.run_events import RunFinished, StreamRestarted
from tinyllm_actors.conversation.wishes import Find
from tinyllm_actors.errors import ActorStopped, Fenced

if TYPE_CHECKING:
    from types import TracebackType

    from tinyllm_actors.conversation.elsewhere import Elsewhere
    from tinyllm_actors.conversation.ref import Conversation
    from tinyllm_actors.conversation.turn_log import TurnLog

__all__ = ["ConversationStream"]


class ConversationStream:
    """The events of one turn: an async context manager and iterator; made by `Conversation.stream`.

    Events are numbered from 0 in the order in which they come; `seen` is the number of the next. When the conversation
    fails in the middle of the turn and goes on from the journal, there is a `StreamRestarted`, numbers begin at 0, and
    what follows is the turn told anew.

    Attributes:
        seen: how many events were read, those left out by `after` included.
    """

    def __init__(self, conversation: Conversation, wish: Any, after: int, elsewhere: Elsewhere) -> None:
        self._conversation = conversation
        self._wish = wish
        self._elsewhere = elsewhere
        self._log: TurnLog | None = None
        self._ready: deque[Any] = deque()
        self._ended = False
        self.seen = after

    @property
    def turn_id(self) -> str:
        """The name of the turn, once the block is entered."""
        return "" if self._log is None else self._log.turn_id

    async def __aenter__(self) -> Self:
        if self._log is not None:
            raise RuntimeError("this stream was opened already; call stream(…) again")
        await self._read(self._wish)
        return self

    async def _read(self, wish: Any) -> None:
        log: TurnLog = await self._conversation.wish(wish)
        log.streams += 1
        self._leave()
        self._log = log

    def _leave(self) -> None:
        if self._log is not None:
            self._log.streams -= 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self._ended = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """Return the next event.

        Raises:
            StopAsyncIteration: `RunFinished` was the last one.
            ConversationDeleted: somebody deleted it.
            ConversationQuarantined: the conversation failed too often.
            StoreError: the store failed; what was accepted goes on when it is back, so attach again.
        """
        while not self._ready:
            log = self._log
            if self._ended or log is None:
                raise StopAsyncIteration
            await log.more(self.seen)
            self.seen = max(self.seen, log.dropped)  # of a very long turn the oldest events are gone
            self._ready.extend(log.at(self.seen))
            if not self._ready and log.result is not None:
                # It is told once more to whoever has seen it already, so that every stream has an end.
                self._ready.append(RunFinished(log.result))
            elif not self._ready and log.error is not None:
                if isinstance(log.error, Fenced):
                    result = await self._elsewhere.result(log.turn_id)
                    if result is not None:
                        self._ready.append(RunFinished(result))
                        break
                elif not isinstance(log.error, ActorStopped):
                    raise log.error
                # What was not begun yet is sent again; of one that was only looked for, that is for its sender.
                again = Find(log.turn_id) if isinstance(self._wish, Find) else self._wish
                await self._read(again)
                self.seen = -1
                self._ready.append(StreamRestarted(log.turn_id, str(log.error)))
        event = self._ready.popleft()
        self.seen += 1
        if isinstance(event, RunFinished):
            self._ended = True
        return event

    async def receive(self) -> Any:
        """Return the next event; raises `anyio.EndOfStream` after the last one."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise anyio.EndOfStream from None
