"""What an `append` has to store: pure, the same for every store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyllm_actors.errors import EntryRejected, Fenced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinyllm_actors.conversation.codec import Sealed
    from tinyllm_actors.conversation.records import Append, Grant

__all__ = ["by_key", "fresh", "timers_of"]


def by_key(batch: Sequence[Append]) -> tuple[dict[str, Grant], dict[str, list[Sealed]]]:
    """Return the grant and the entries of each conversation, by key in order of key.

    Every store takes its rows in this order, so two batches never wait for each other.

    Raises:
        Fenced: a batch holds two grants of one conversation, of which at least one is lost.
    """
    grants: dict[str, Grant] = {}
    entries: dict[str, list[Sealed]] = {}
    for item in sorted(batch, key=lambda item: item.grant.key):
        grant = grants.setdefault(item.grant.key, item.grant)
        if (grant.epoch, grant.owner) != (item.grant.epoch, item.grant.owner):
            raise Fenced([grant.key])
        entries.setdefault(grant.key, []).extend(item.sealed)
    return grants, entries


def fresh(key: str, entries: Sequence[Sealed], known: Mapping[str, int]) -> list[Sealed]:
    """Return the entries that are not stored yet.

    Args:
        key: which conversation.
        entries: what was sent, in order.
        known: the checksums of entries that are stored, by id; at least of those that were sent.

    Raises:
        EntryRejected: an id is there, or was sent before, with other content.
    """
    found: dict[str, Sealed] = {}
    for entry in entries:
        earlier = found.get(entry.id)
        checksum = known.get(entry.id) if earlier is None else earlier.checksum
        if checksum is None:
            found[entry.id] = entry
        elif checksum != entry.checksum:
            raise EntryRejected(
                f"conversation {key!r} has an entry {entry.id!r} already, with other content; let each entry have an id"
                " of its own",
                keys=(key,),
            )
    return list(found.values())


def timers_of(entries: Sequence[Sealed]) -> dict[str, float | None]:
    """Return what becomes of the timers that entries name: when each is due, or None where it is not set any more."""
    return {entry.timer: entry.due for entry in entries if entry.timer is not None}
