"""Begin a conversation with what was said in another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tinyllm_actors.conversation.entries import Compacted, TreeEntry
from tinyllm_actors.conversation.records import Append
from tinyllm_actors.errors import EntryRejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.conversation.entries import Entry
    from tinyllm_actors.conversation.store import ConversationStore

__all__ = ["branch_to", "fork"]

PAGE: Final = 500
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


async def fork(store: ConversationStore, source: str, key: str, *, at: str | None, owner: str) -> None:
    """Copy what leads to an entry into a new conversation.

    Raises:
        EntryRejected: there is no such entry, or the new key is taken.
        StoreError: the store failed.
    """
    entries: list[Entry] = []
    after = 0
    while page := await store.page(source, after=after, limit=PAGE):
        entries += [record.entry() for record in page]
        after = page[-1].sequence
    way = branch_to(entries, at)
    [grant] = await store.claim([key], owner)
    if grant.last:
        raise EntryRejected(f"cannot fork into {key!r}: something was said there already", keys=[key])
    for start in range(0, len(way), PAGE):
        await store.append([Append.of(grant, way[start : start + PAGE])])
    await store.release([grant])
