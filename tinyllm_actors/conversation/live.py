"""What is in memory of a set of conversations, as those that work on it share it."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyllm_actors.conversation.journal import Journal
    from tinyllm_actors.conversation.records import Grant
    from tinyllm_actors.conversation.store import ConversationStore
    from tinyllm_actors.conversation.turn_log import TurnLog
    from tinyllm_actors.kernel import ActorRef

__all__ = ["Live", "LiveTable"]


class Live:
    """One conversation in memory.

    Attributes:
        ref: its actor; None while it starts.
        grant: the right to append to it, while it is held.
        busy: whether a turn is in progress.
        logs: of the turns that have not ended.
    """

    __slots__ = ("_entries", "_key", "busy", "grant", "logs", "ref")

    def __init__(self, key: str, entries: OrderedDict[str, Live]) -> None:
        self._key = key
        self._entries = entries
        self.ref: ActorRef | None = None
        self.grant: Grant | None = None
        self.busy = False
        self.logs: set[TurnLog] = set()

    @property
    def wanted(self) -> bool:
        """Whether it must stay: a turn is in progress, or somebody waits for one."""
        return self.busy or any(log.readers for log in self.logs)

    def touch(self) -> None:
        """Note that it is used."""
        if self._key in self._entries:
            self._entries.move_to_end(self._key)


class LiveTable:
    """The conversations in memory, the least recently used first, and what they share.

    Attributes:
        store: of the journals.
        owner: under which name this process claims conversations.
        journal: the store's writer; set when it runs.
        hub: who starts and stops conversations; set when it runs.
        entries: by key.
    """

    __slots__ = ("entries", "hub", "journal", "owner", "store")

    journal: Journal
    hub: ActorRef

    def __init__(self, store: ConversationStore, owner: str) -> None:
        self.store = store
        self.owner = owner
        self.entries: OrderedDict[str, Live] = OrderedDict()

    def ref_of(self, key: str) -> ActorRef | None:
        """Return the actor of a conversation that is in memory."""
        live = self.entries.get(key)
        return None if live is None or live.ref is None or not live.ref.alive else live.ref

    def add(self, key: str) -> Live:
        """Make room for a conversation that is about to start."""
        self.entries[key] = live = Live(key, self.entries)
        return live
