"""Waiting for a turn that another process has taken over, without taking it back."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, cast

import anyio

from tinyllm_actors.conversation.alarms import TAKE_OVER_AFTER
from tinyllm_actors.conversation.entries import TurnEnded, TurnStarted
from tinyllm_actors.errors import ConversationDeleted
from tinyllm_actors.kernel import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.conversation.live import LiveTable
    from tinyllm_actors.conversation.records import Record
    from tinyllm_actors.function import Result

__all__ = ["Elsewhere"]

PAGE: Final = 1000
_LOOKS: Final = Backoff(0.1, 2.0, jitter=0.2)


class Elsewhere:
    """Looks at the journal of a conversation for the end of a turn that another process goes on with.

    To claim the conversation for each reader who is left here would have both processes take the turn from each other
    for as long as it lasts, and pay for its model calls each time.

    Args:
        table: of the set of conversations.
        key: which.
    """

    __slots__ = ("_key", "_patience", "_table")

    def __init__(self, table: LiveTable, key: str) -> None:
        self._table = table
        self._key = key
        self._patience = TAKE_OVER_AFTER

    async def result(self, turn_id: str) -> Result | None:
        """Wait for the end of a turn.

        Returns:
            how it ended; None if it is to be asked for here: its message was not stored, the other process has given
            the conversation back, or it has written nothing for 120 seconds (240 the next time, and so on).

        Raises:
            ConversationDeleted: it is not there any more.
            StoreError: the store failed.
        """
        store, key = self._table.store, self._key
        records = await store.page(key, limit=PAGE)
        if not any(isinstance(entry := record.entry(), TurnStarted) and entry.turn_id == turn_id for record in records):
            await self._owner()
            return None
        last, quiet_since, look, free = 0, anyio.current_time(), 0, False
        while True:
            ended = _end_of(turn_id, records)
            if ended is not None:
                return cast("Result", ended.result)
            if free:
                return None
            now = anyio.current_time()
            if records:
                last, quiet_since, look = max(last, *(record.sequence for record in records)), now, 0
            free = await self._owner() in (None, self._table.owner)  # the end may have been written a moment before
            if not free and now - quiet_since > self._patience:
                self._patience *= 2
                return None
            if not free:
                await anyio.sleep(_LOOKS.delay(look, random.random()))
                look += 1
            records = await store.page(key, after=last, limit=PAGE)

    async def _owner(self) -> str | None:
        for summary in await self._table.store.list(self._key, limit=1):
            if summary.key == self._key:
                return summary.owner
        raise ConversationDeleted(self._key)


def _end_of(turn_id: str, records: Sequence[Record]) -> TurnEnded | None:
    entries = (record.entry() for record in records)
    return next((entry for entry in entries if isinstance(entry, TurnEnded) and entry.turn_id == turn_id), None)
