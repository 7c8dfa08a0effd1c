"""What is in memory of a set of conversations, as those that work on it share it."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from tinyllm_actors.conversation.alarms import Alarms
    from tinyllm_actors.conversation.claims import Claims
    from tinyllm_actors.conversation.ended_logs import EndedLogs
    from tinyllm_actors.conversation.journal import Journal
    from tinyllm_actors.conversation.store import ConversationStore
    from tinyllm_actors.conversation.turn_log import TurnLog
    from tinyllm_actors.kernel import ActorRef

__all__ = ["Live", "LiveTable"]


class Live:
    """One conversation in memory.

    Attributes:
        ref: its actor; None while it starts.
        busy: whether a turn is in progress.
        expected: whether somebody was told of it just now, whose message has not come yet.
        parked: whether all that the turn in progress may do now is to wait for a person.
        logs: of the turns that have not ended.
    """

    __slots__ = ("_entries", "_key", "busy", "expected", "logs", "parked", "ref")

    def __init__(self, key: str, entries: OrderedDict[str, Live]) -> None:
        self._key = key
        self._entries = entries
        self.ref: ActorRef | None = None
        self.busy = False
        self.expected = False
        self.parked = False
        self.logs: list[TurnLog] = []

    @property
    def idle(self) -> bool:
        """Whether it may leave: nothing goes on that would be broken off, and nobody waits for anything."""
        if self.expected or (self.busy and not self.parked):
            return False
        return not any(log.readers for log in self.logs)

    def touch(self) -> None:
        """Note that it is used."""
        self.expected = False
        if self._key in self._entries:
            self._entries.move_to_end(self._key)


class LiveTable:
    """The conversations in memory, the least recently used first, and what they share.

    Attributes:
        store: of the journals.
        owner: under which name this process claims conversations.
        ended: the logs of turns that have ended.
        alarms: fires timers; set when it runs.
        claims: gathers claims; set when it runs.
        journal: the store's writer; set when it runs.
        hub: who starts and stops conversations; set when it runs.
        entries: by key.
    """

    __slots__ = ("_changed", "alarms", "claims", "ended", "entries", "hub", "journal", "owner", "store")

    alarms: Alarms
    claims: Claims
    journal: Journal
    hub: ActorRef

    def __init__(self, store: ConversationStore, owner: str, ended: EndedLogs) -> None:
        self.store = store
        self.owner = owner
        self.ended = ended
        self.entries: OrderedDict[str, Live] = OrderedDict()
        self._changed: anyio.Event | None = None

    def ref_of(self, key: str) -> ActorRef | None:
        """Return the actor of a conversation that is in memory."""
        live = self.entries.get(key)
        return None if live is None or live.ref is None or not live.ref.alive else live.ref

    def add(self, key: str) -> Live:
        """Make room for a conversation that is about to start."""
        self.entries[key] = live = Live(key, self.entries)
        return live

    def break_off(self, error: BaseException) -> None:
        """Forget all, and tell whoever reads why."""
        for live in self.entries.values():
            for log in live.logs:
                log.fail(error)
        self.entries.clear()

    def changed(self) -> None:
        """Wake all who wait for a change: a conversation has started, ended, or become idle."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def change(self) -> None:
        """Wait for the next change."""
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()
