"""What the store does on a connection. Each function may be called again after its connection broke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.conversation import DueTimer, Grant, Record, StoreStats, Summary
from tinyllm_actors.conversation.records import damaged_since_snapshot
from tinyllm_actors.errors import EntryRejected, Fenced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinyllm_actors.conversation.codec import Sealed
    from tinyllm_actors.integrations.postgres.connection import Connection

__all__ = [
    "append",
    "claim",
    "count",
    "cut",
    "delete",
    "due_timers",
    "list_keys",
    "page",
    "prune",
    "read",
    "release",
    "take",
]

_RECORD: Final = "e.sequence, e.id, e.kind, e.version, e.at, e.epoch, e.owner, e.checksum, e.body"
_ABOVE_ALL: Final = "\U0010ffff"
SLOW: Final = 600.0
"""Seconds for what goes through whole tables."""

PRUNED_AT_ONCE: Final = 100
"""Conversations whose snapshots are in memory together."""


async def claim(connection: Connection, keys: Sequence[str], owner: str, take_over: bool) -> list[Grant]:
    """Raise the epochs of conversations and make those that are not there."""
    rows = await connection.fetch(
        "INSERT INTO tinyllm_actors_conversations AS c (key, owner, epoch, updated)"
        " SELECT k, $2, nextval('tinyllm_actors_epochs'), extract(epoch FROM clock_timestamp())"
        ' FROM unnest($1::text[]) AS k ORDER BY k COLLATE "C"'
        " ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, epoch = nextval('tinyllm_actors_epochs'),"
        " updated = excluded.updated WHERE $3 OR c.owner IS NULL OR c.owner = excluded.owner"
        " RETURNING key, owner, epoch, last",
        list(dict.fromkeys(keys)),
        owner,
        take_over,
    )
    grants = {row["key"]: Grant(*row.values()) for row in rows}
    return [grants[key] for key in dict.fromkeys(keys) if key in grants]


async def release(connection: Connection, grants: Sequence[Grant]) -> None:
    """Set no owner where the grant is the current one."""
    await connection.execute(
        "UPDATE tinyllm_actors_conversations c SET owner = NULL FROM"
        " (SELECT c.id FROM unnest($1::text[], $2::text[], $3::bigint[]) AS g (key, owner, epoch)"
        " JOIN tinyllm_actors_conversations c ON c.key = g.key AND c.owner = g.owner AND c.epoch = g.epoch"
        " ORDER BY c.key FOR UPDATE OF c) held WHERE c.id = held.id",
        [grant.key for grant in grants],
        [grant.owner for grant in grants],
        [grant.epoch for grant in grants],
    )


async def append(connection: Connection, grants: Mapping[str, Grant], entries: Mapping[str, Sequence[Sealed]]) -> None:
    """Store the entries that are not there, in one round trip.

    Raises:
        Fenced: some of the grants are lost.
        EntryRejected: an id is there with other content.
    """
    placed = [(place, entry) for place, key in enumerate(grants, 1) for entry in entries[key]]
    problems = await connection.fetch(
        "SELECT * FROM tinyllm_actors_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        list(grants),
        [grant.owner for grant in grants.values()],
        [grant.epoch for grant in grants.values()],
        [place for place, _ in placed],
        [entry.id for _, entry in placed],
        [entry.kind for _, entry in placed],
        [entry.version for _, entry in placed],
        [entry.at for _, entry in placed],
        [entry.checksum for _, entry in placed],
        [entry.body for _, entry in placed],
        [entry.timer for _, entry in placed],
        [entry.due for _, entry in placed],
    )
    if not problems:
        return
    keys = list(dict.fromkeys(row["in_key"] for row in problems))
    if problems[0]["problem"] == "fenced":
        raise Fenced(keys)
    first = problems[0]
    raise EntryRejected(
        f"conversation {first['in_key']!r} has an entry {first['in_id']!r} already, with other content; let each entry"
        " have an id of its own",
        keys=keys,
    )


async def read(connection: Connection, key: str, after: int) -> dict[bool, tuple[list[Record], int, int]]:
    """Return rows, the sequence of the newest snapshot and that of the newest entry.

    Under False from the newest snapshot on; under True all, if those are damaged altogether: see `usable`.
    """
    found = {False: await _read(connection, key, after, whole=False)}
    records, snapshot, _ = found[False]
    if damaged_since_snapshot(records, after=after, snapshot=snapshot):
        found[True] = await _read(connection, key, after, whole=True)
    return found


async def take(
    connection: Connection, keys: Sequence[str], owner: str
) -> list[tuple[Grant, dict[bool, tuple[list[Record], int, int]]]]:
    """Claim conversations, whoever has them; return the grant of each and what `read` returns, in one round trip."""
    unique = list(dict.fromkeys(keys))
    rows = await connection.fetch("SELECT * FROM tinyllm_actors_take($1, $2)", unique, owner)
    place: int
    found: list[tuple[Grant, dict[bool, tuple[list[Record], int, int]]]] = []
    records: list[Record] = []
    for row in rows:
        place, granted, last, snapshot, *record = row
        key = unique[place - 1]
        if granted is None:
            records.append(Record(key, *record))
        else:
            records = []
            found.append((Grant(key, owner, granted, last), {False: (records, snapshot, last)}))
    for grant, versions in found:
        records, snapshot, _ = versions[False]
        if damaged_since_snapshot(records, after=0, snapshot=snapshot):
            versions[True] = await _read(connection, grant.key, 0, whole=True)
    return found


async def _read(connection: Connection, key: str, after: int, *, whole: bool) -> tuple[list[Record], int, int]:
    rows = await connection.fetch(
        f"SELECT c.snapshot, c.last, {_RECORD} FROM tinyllm_actors_conversations c"
        " LEFT JOIN tinyllm_actors_entries e ON e.conversation = c.id AND e.sequence > $2"
        " AND ($3 OR e.sequence >= c.snapshot) WHERE c.key = $1 ORDER BY e.sequence",
        key,
        after,
        whole,
    )
    if not rows:
        return [], 0, 0
    snapshot, last = rows[0]["snapshot"], rows[0]["last"]
    return [Record(key, *tuple(row)[2:]) for row in rows if row["sequence"] is not None], snapshot, last


async def cut(connection: Connection, grant: Grant, after: int) -> int:
    """Remove the newest entries.

    Raises:
        Fenced: the grant is lost.
    """
    async with connection.transaction():
        conversation = await connection.fetchval(
            "SELECT id FROM tinyllm_actors_conversations WHERE key = $1 AND owner = $2 AND epoch = $3 FOR UPDATE",
            grant.key,
            grant.owner,
            grant.epoch,
        )
        if conversation is None:
            raise Fenced([grant.key])
        done = await connection.execute(
            "DELETE FROM tinyllm_actors_entries WHERE conversation = $1 AND sequence > $2", conversation, after
        )
        await connection.execute(
            "UPDATE tinyllm_actors_conversations SET last = least(last, $2), snapshot = (SELECT"
            " coalesce(max(sequence), 0) FROM tinyllm_actors_entries WHERE conversation = $1 AND kind = 'snapshot')"
            " WHERE id = $1",
            conversation,
            after,
        )
        return _changed(done)


async def page(connection: Connection, key: str, after: int | None, before: int | None, limit: int) -> list[Record]:
    """Return some entries, oldest first."""
    where, bound, order = (">", after, "ASC") if after is not None else ("<", before, "DESC")
    rows = await connection.fetch(
        f"SELECT {_RECORD} FROM tinyllm_actors_conversations c JOIN tinyllm_actors_entries e ON e.conversation = c.id"
        f" WHERE c.key = $1 AND e.sequence {where} $2 ORDER BY e.sequence {order} LIMIT $3",
        key,
        2**62 if bound is None else bound,
        limit,
    )
    found = [Record(key, *row.values()) for row in rows]
    return found if after is not None else found[::-1]


async def list_keys(connection: Connection, prefix: str, after: str, limit: int, held: bool) -> list[Summary]:
    """Return some conversations, by key."""
    rows = await connection.fetch(
        "SELECT key, owner, epoch, last, snapshot, updated FROM tinyllm_actors_conversations"
        f" WHERE key >= $1 AND key > $2 AND key <= $3{' AND owner IS NOT NULL' if held else ''} ORDER BY key LIMIT $4",
        prefix,
        after,
        prefix + _ABOVE_ALL,
        limit,
    )
    return [Summary(*row.values()) for row in rows]


async def due_timers(connection: Connection, before: float, limit: int) -> list[DueTimer]:
    """Return timers whose time has come."""
    rows = await connection.fetch(
        "SELECT c.key, t.id, t.due FROM tinyllm_actors_timers t"
        " JOIN tinyllm_actors_conversations c ON c.id = t.conversation"
        " WHERE t.due <= $1 ORDER BY t.due, c.key, t.id LIMIT $2",
        before,
        limit,
    )
    return [DueTimer(*row.values()) for row in rows]


async def delete(connection: Connection, key: str) -> bool:
    """Remove a conversation and all that is of it."""
    async with connection.transaction():
        # Locked first: an append that is under way is seen by what follows.
        conversation = await connection.fetchval(
            "SELECT id FROM tinyllm_actors_conversations WHERE key = $1 FOR UPDATE", key
        )
        if conversation is None:
            return False
        await connection.execute("DELETE FROM tinyllm_actors_entries WHERE conversation = $1", conversation)
        await connection.execute("DELETE FROM tinyllm_actors_timers WHERE conversation = $1", conversation)
        await connection.execute("DELETE FROM tinyllm_actors_conversations WHERE id = $1", conversation)
        return True


async def prune(connection: Connection, older_than: float, limit: int) -> int:
    """Remove entries, where the snapshot that stands for them is whole."""
    found = await connection.fetch(
        "SELECT c.id, c.snapshot, max(e.sequence) AS until FROM tinyllm_actors_conversations c"
        " JOIN tinyllm_actors_entries e ON e.conversation = c.id AND e.sequence < c.snapshot AND e.at < $1"
        " WHERE c.snapshot > 0 GROUP BY c.id LIMIT $2",
        older_than,
        limit,
        timeout=SLOW,
    )
    removed = 0
    for first in range(0, len(found), PRUNED_AT_ONCE):
        removed += await _prune(connection, found[first : first + PRUNED_AT_ONCE])
    return removed


async def _prune(connection: Connection, found: Sequence[Mapping[str, Any]]) -> int:
    async with connection.transaction():
        rows = await connection.fetch(
            f"SELECT g.id AS conversation, g.until, c.key, {_RECORD}"
            " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS g (id, snapshot, until)"
            " JOIN tinyllm_actors_conversations c ON c.id = g.id"
            " JOIN tinyllm_actors_entries e ON e.conversation = g.id AND e.sequence = g.snapshot"
            " ORDER BY c.key FOR UPDATE OF c",
            [row["id"] for row in found],
            [row["snapshot"] for row in found],
            [row["until"] for row in found],
        )
        whole = [row for row in rows if Record(*tuple(row)[2:]).whole]
        done = await connection.execute(
            "DELETE FROM tinyllm_actors_entries e USING unnest($1::bigint[], $2::bigint[]) AS g (id, until)"
            " WHERE e.conversation = g.id AND e.sequence <= g.until",
            [row["conversation"] for row in whole],
            [row["until"] for row in whole],
            timeout=SLOW,
        )
        return _changed(done)


async def count(connection: Connection) -> StoreStats:
    """Return how much there is."""
    row = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM tinyllm_actors_conversations), (SELECT count(*) FROM tinyllm_actors_entries),"
        " (SELECT count(*) FROM tinyllm_actors_timers), pg_total_relation_size('tinyllm_actors_conversations')"
        " + pg_total_relation_size('tinyllm_actors_entries') + pg_total_relation_size('tinyllm_actors_timers')",
        timeout=SLOW,
    )
    assert row is not None
    return StoreStats(*row.values())


def _changed(done: str) -> int:
    """Return the number at the end of a command's tag, such as `"DELETE 5"`."""
    return int(done.rpartition(" ")[2])
