"""Bring a conversation back: claim it, read it, and mend its end if that is damaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tinyllm_actors.conversation.records import corrupt
from tinyllm_actors.conversation.sharing import share_texts
from tinyllm_actors.conversation.state import ConversationState
from tinyllm_actors.errors import EntryRejected, StoreError

if TYPE_CHECKING:
    from tinyllm_actors.conversation.records import Grant, Loaded, Taken
    from tinyllm_actors.conversation.store import ConversationStore

__all__ = ["Thawed", "state_of", "thaw", "thaw_taken"]


@dataclass(frozen=True, slots=True)
class Thawed:
    """A conversation that is ours.

    Attributes:
        grant: the right to append to it.
        state: what its journal says.
        since_snapshot: how many entries stand behind its newest snapshot, or in all.
        cut: how many damaged entries were removed from its end; they are lost.
    """

    grant: Grant
    state: ConversationState
    since_snapshot: int = 0
    cut: int = 0


def state_of(key: str, loaded: Loaded) -> ConversationState:
    """Return what the entries of a conversation say.

    Raises:
        CorruptJournal: they do not fit together.
        UnsupportedEntry: a newer version of the library wrote one.
    """
    state, entries = ConversationState(), loaded.entries()
    share_texts(entries)
    for record, entry in zip(loaded.records, entries, strict=True):
        try:
            state.apply(entry)
        except EntryRejected as error:
            raise corrupt(key, record.sequence, str(error)) from error
    return state


async def thaw(store: ConversationStore, key: str, owner: str) -> Thawed:
    """Claim a conversation and return what its journal says; a new one is empty.

    A damaged end is cut at the last whole entry, with an error line in the log.

    Raises:
        CorruptJournal: the journal is damaged before its end, so it is not used at all.
        StoreError: the store failed; nothing is claimed, or what is claimed was not used.
    """
    [taken] = await store.take([key], owner)
    return await thaw_taken(store, taken)


async def thaw_taken(store: ConversationStore, taken: Taken) -> Thawed:
    """Return what the journal of a conversation that was claimed just now says; otherwise as `thaw`.

    Raises:
        CorruptJournal: the journal is damaged before its end, so it is not used at all.
        StoreError: it could not be read, or its damaged end not be cut.
    """
    grant, loaded = taken.grant, taken.loaded
    if isinstance(loaded, StoreError):
        raise loaded
    key = grant.key
    state = state_of(key, loaded)
    if loaded.damaged:
        end = loaded.last - loaded.damaged
        removed = await store.cut(grant, end)
        structlog.get_logger(__name__).error(
            "damaged entries cut", key=key, store=store.name, after=end, lost=loaded.damaged, removed=removed
        )
    behind = len(loaded.records) - (bool(loaded.records) and loaded.records[0].kind == "snapshot")
    return Thawed(grant, state, behind, loaded.damaged)
