"""Begin a conversation with what was said in another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from tinyllm_actors.conversation.entries import Cancelled, Compacted, TreeEntry, TurnEnded
from tinyllm_actors.conversation.records import Append
from tinyllm_actors.conversation.state import replay
from tinyllm_actors.conversation.writer import chained
from tinyllm_actors.errors import EntryRejected, RunCancelled
from tinyllm_actors.function import failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.conversation.entries import Entry
    from tinyllm_actors.conversation.store import ConversationStore

__all__ = ["branch_to", "closed", "fork"]

PAGE: Final = 500
RELEASE_SECONDS: Final = 5.0
_TREE: Final = frozenset(TreeEntry.__args__)


def branch_to(entries: Sequence[Entry], at: str | None) -> list[Entry]:
    """Return the entries that lead to one of them, with what was compacted on the way.

    Args:
        entries: a whole journal, in order.
        at: the entry; None for the newest that moved the head.

    Raises:
        EntryRejected: there is no such entry.
    """
    tree = {entry.id: entry for entry in entries if type(entry) in _TREE}
    if at is None:
        at = next((entry.id for entry in reversed(entries) if type(entry) in _TREE), None)
    elif at not in tree:
        raise EntryRejected(f"there is no entry {at!r} to fork at")
    way: set[str] = set()
    while at is not None and at in tree:
        way.add(at)
        at = tree[at].parent
    return [entry for entry in entries if entry.id in way or (isinstance(entry, Compacted) and entry.until in way)]


def closed(way: Sequence[Entry]) -> list[Entry]:
    """Return entries with the end of the turn that they leave open, if they do.

    Else the copy would go on with it when it wakes: ask the model, and make calls that are made elsewhere already.
    """
    state = replay(way)
    turn = state.open_turn()
    if turn is None:
        return list(way)
    reason = "the conversation was forked in the middle of this turn"
    result = failure(RunCancelled(reason), state="RUNNING")
    turn_id = turn.started.turn_id
    ended = TurnEnded(turn_id=turn_id, status="cancelled", result=result)
    return [*way, *chained(state.head, [Cancelled(turn_id=turn_id, reason=reason), ended])]


async def fork(store: ConversationStore, source: str, key: str, *, at: str | None, owner: str) -> None:
    """Copy what leads to an entry into a new conversation, as a whole or not at all.

    Raises:
        EntryRejected: there is no such entry, or the new key is taken.
        StoreError: the store failed.
    """
    entries: list[Entry] = []
    after = 0
    while page := await store.page(source, after=after, limit=PAGE):
        entries += [record.entry() for record in page]
        after = page[-1].sequence
    way = closed(branch_to(entries, at))
    taken = EntryRejected(f"cannot fork into {key!r}: something was said there already", keys=[key])
    if await store.page(key, limit=1):  # before it is claimed, which would take it from whoever has it
        raise taken
    [grant] = await store.claim([key], owner)
    try:
        if grant.last:
            raise taken
        await store.append([Append.of(grant, way)])
    finally:
        with anyio.move_on_after(RELEASE_SECONDS, shield=True):
            await store.release([grant])
