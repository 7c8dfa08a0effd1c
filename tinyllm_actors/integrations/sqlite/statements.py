"""What the store does inside a transaction, as functions of a connection."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from tinyllm_actors.conversation import DueTimer, Grant, Loaded, Record, StoreStats, Summary, Taken
from tinyllm_actors.conversation.batches import fresh, timers_of
from tinyllm_actors.conversation.records import usable
from tinyllm_actors.errors import CorruptJournal, Fenced

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from tinyllm_actors.conversation.codec import Sealed
    from tinyllm_actors.errors import StoreError

__all__ = [
    "append",
    "claim",
    "count",
    "cut",
    "delete",
    "due_timers",
    "list_keys",
    "page",
    "prunable",
    "prune",
    "read",
    "read_taken",
    "release",
]

_RECORD: Final = "sequence, id, kind, version, at, epoch, owner, checksum, body"
_SELECTED: Final = "sequence, e.id, kind, version, at, e.epoch, e.owner, checksum, CAST(body AS BLOB)"
_OWNED: Final = "SELECT id, last, snapshot FROM tinyllm_actors_conversations WHERE key = ? AND owner = ? AND epoch = ?"
_ABOVE_ALL: Final = "\U0010ffff"


def claim(database: sqlite3.Connection, keys: Sequence[str], owner: str, take_over: bool) -> list[Grant]:
    """Raise the epochs of conversations and make those that are not there."""
    now = time.time()
    (epoch,) = database.execute("SELECT last FROM tinyllm_actors_epochs").fetchone()
    grants: list[Grant] = []
    for key in dict.fromkeys(keys):
        row = database.execute("SELECT owner, last FROM tinyllm_actors_conversations WHERE key = ?", (key,)).fetchone()
        if row is not None and not take_over and row[0] not in {None, owner}:
            continue
        epoch += 1
        database.execute(
            "INSERT INTO tinyllm_actors_conversations (key, owner, epoch, updated) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch,"
            " updated = excluded.updated",
            (key, owner, epoch, now),
        )
        grants.append(Grant(key, owner, epoch, 0 if row is None else row[1]))
    database.execute("UPDATE tinyllm_actors_epochs SET last = ?", (epoch,))
    return grants


def release(database: sqlite3.Connection, grants: Sequence[Grant]) -> None:
    """Set no owner where the grant is the current one."""
    database.executemany(
        "UPDATE tinyllm_actors_conversations SET owner = NULL WHERE key = ? AND owner = ? AND epoch = ?",
        [(grant.key, grant.owner, grant.epoch) for grant in grants],
    )


def append(database: sqlite3.Connection, grants: Mapping[str, Grant], entries: Mapping[str, Sequence[Sealed]]) -> None:
    """Store the entries that are not there.

    Raises:
        Fenced: some of the grants are lost.
        EntryRejected: an id is there with other content.
    """
    owned: dict[str, tuple[int, int, int]] = {}
    for key, grant in grants.items():
        row = database.execute(_OWNED, (key, grant.owner, grant.epoch)).fetchone()
        if row is not None:
            owned[key] = row
    if lost := [key for key in grants if key not in owned]:
        raise Fenced(lost)
    now = time.time()
    for key, (conversation, last, snapshot) in owned.items():
        known: dict[str, int] = {}
        for entry in entries[key]:
            row = database.execute(
                "SELECT checksum FROM tinyllm_actors_entries WHERE conversation = ? AND id = ?",
                (conversation, entry.id),
            ).fetchone()
            if row is not None:
                known[entry.id] = row[0]
        new = fresh(key, entries[key], known)
        if new:
            _insert(database, conversation, grants[key], last, snapshot, new, now)


def _insert(
    database: sqlite3.Connection,
    conversation: int,
    grant: Grant,
    last: int,
    snapshot: int,
    entries: Sequence[Sealed],
    now: float,
) -> None:
    records = [Record.of(grant, sequence, entry) for sequence, entry in enumerate(entries, last + 1)]
    database.executemany(
        f"INSERT INTO tinyllm_actors_entries (conversation, {_RECORD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (conversation, r.sequence, r.id, r.kind, r.version, r.at, r.epoch, r.owner, r.checksum, r.body)
            for r in records
        ],
    )
    snapshot = max([snapshot, *(record.sequence for record in records if record.kind == "snapshot")])
    database.execute(
        "UPDATE tinyllm_actors_conversations SET last = ?, snapshot = ?, updated = ? WHERE id = ?",
        (records[-1].sequence, snapshot, now, conversation),
    )
    for name, due in timers_of(entries).items():
        if due is None:
            database.execute(
                "DELETE FROM tinyllm_actors_timers WHERE conversation = ? AND id = ?", (conversation, name)
            )
        else:
            database.execute("INSERT OR REPLACE INTO tinyllm_actors_timers VALUES (?, ?, ?)", (conversation, name, due))


def read(database: sqlite3.Connection, key: str, after: int, whole: bool) -> tuple[list[Record], int, int]:
    """Return rows, the sequence of the newest snapshot and that of the newest entry: see `usable`."""
    row = database.execute(
        "SELECT id, last, snapshot FROM tinyllm_actors_conversations WHERE key = ?", (key,)
    ).fetchone()
    if row is None:
        return [], 0, 0
    conversation, last, snapshot = row
    first = after + 1 if whole else max(after + 1, snapshot)
    rows = database.execute(
        f"SELECT {_SELECTED} FROM tinyllm_actors_entries e WHERE conversation = ? AND sequence >= ? ORDER BY sequence",
        (conversation, first),
    )
    return [Record(key, *values) for values in rows], snapshot, last


def read_taken(database: sqlite3.Connection, grants: Sequence[Grant]) -> list[Taken]:
    """Return what thaws of conversations need that were claimed just now."""
    found: list[Taken] = []
    for grant in grants:
        loaded: Loaded | StoreError = Loaded((), 0)
        if grant.last:  # else it is new
            try:
                loaded = usable(grant.key, 0, partial(read, database, grant.key, 0))
            except CorruptJournal as error:
                loaded = error
        found.append(Taken(grant, loaded))
    return found


def cut(database: sqlite3.Connection, grant: Grant, after: int) -> int:
    """Remove the newest entries.

    Raises:
        Fenced: the grant is lost.
    """
    row = database.execute(_OWNED, (grant.key, grant.owner, grant.epoch)).fetchone()
    if row is None:
        raise Fenced([grant.key])
    conversation, last, _ = row
    removed = database.execute(
        "DELETE FROM tinyllm_actors_entries WHERE conversation = ? AND sequence > ?", (conversation, after)
    ).rowcount
    database.execute(
        "UPDATE tinyllm_actors_conversations SET last = ?, snapshot = (SELECT coalesce(max(sequence), 0)"
        " FROM tinyllm_actors_entries WHERE conversation = ? AND kind = 'snapshot') WHERE id = ?",
        (min(last, after), conversation, conversation),
    )
    return removed


def page(database: sqlite3.Connection, key: str, after: int | None, before: int | None, limit: int) -> list[Record]:
    """Return some entries, oldest first."""
    where, bound = ("sequence > ?", after) if after is not None else ("sequence < ?", before)
    rows = database.execute(
        f"SELECT {_SELECTED} FROM tinyllm_actors_entries e WHERE conversation ="
        f" (SELECT id FROM tinyllm_actors_conversations WHERE key = ?) AND {where}"
        f" ORDER BY sequence {'ASC' if after is not None else 'DESC'} LIMIT ?",
        (key, 2**62 if bound is None else bound, limit),
    )
    found = [Record(key, *values) for values in rows]
    return found if after is not None else found[::-1]


def list_keys(database: sqlite3.Connection, prefix: str, after: str, limit: int, held: bool) -> list[Summary]:
    """Return some conversations, by key."""
    # SQLite would rather go through all keys, as it does not know how few are held.
    index, only = ("INDEXED BY tinyllm_actors_conversations_held", " AND owner IS NOT NULL") if held else ("", "")
    rows = database.execute(
        f"SELECT key, owner, epoch, last, snapshot, updated FROM tinyllm_actors_conversations {index}"
        f" WHERE key >= ? AND key > ? AND key <= ?{only} ORDER BY key LIMIT ?",
        (prefix, after, prefix + _ABOVE_ALL, limit),
    )
    return [Summary(*values) for values in rows]


def due_timers(database: sqlite3.Connection, before: float, limit: int) -> list[DueTimer]:
    """Return timers whose time has come."""
    rows = database.execute(
        "SELECT c.key, t.id, t.due FROM tinyllm_actors_timers t"
        " JOIN tinyllm_actors_conversations c ON c.id = t.conversation"
        " WHERE t.due <= ? ORDER BY t.due, c.key, t.id LIMIT ?",
        (before, limit),
    )
    return [DueTimer(*values) for values in rows]


def delete(database: sqlite3.Connection, key: str) -> bool:
    """Remove a conversation and all that is of it."""
    row = database.execute("SELECT id FROM tinyllm_actors_conversations WHERE key = ?", (key,)).fetchone()
    if row is None:
        return False
    database.execute("DELETE FROM tinyllm_actors_entries WHERE conversation = ?", row)
    database.execute("DELETE FROM tinyllm_actors_timers WHERE conversation = ?", row)
    database.execute("DELETE FROM tinyllm_actors_conversations WHERE id = ?", row)
    return True


def prunable(database: sqlite3.Connection, older_than: float, limit: int) -> list[tuple[int, int, int]]:
    """Return the number, the snapshot and the last entry to remove of conversations that have some to remove."""
    rows = database.execute(
        "SELECT c.id, c.snapshot, max(e.sequence) FROM tinyllm_actors_conversations c"
        " JOIN tinyllm_actors_entries e ON e.conversation = c.id AND e.sequence < c.snapshot AND e.at < ?"
        " WHERE c.snapshot > 0 GROUP BY c.id LIMIT ?",
        (older_than, limit),
    )
    return list(rows)


def prune(database: sqlite3.Connection, found: Sequence[tuple[int, int, int]]) -> int:
    """Remove entries, where the snapshot that stands for them is still there and whole."""
    removed = 0
    for conversation, snapshot, until in found:
        row = database.execute(
            f"SELECT c.key, {_SELECTED} FROM tinyllm_actors_conversations c JOIN tinyllm_actors_entries e"
            " ON e.conversation = c.id AND e.sequence = ? WHERE c.id = ?",
            (snapshot, conversation),
        ).fetchone()
        if row is not None and Record(*row).whole:
            removed += database.execute(
                "DELETE FROM tinyllm_actors_entries WHERE conversation = ? AND sequence <= ?", (conversation, until)
            ).rowcount
    return removed


def count(database: sqlite3.Connection) -> StoreStats:
    """Return how much there is."""
    counts = [
        database.execute(f"SELECT count(*) FROM tinyllm_actors_{table}").fetchone()[0]
        for table in ("conversations", "entries", "timers")
    ]
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (size,) = database.execute("PRAGMA page_size").fetchone()
    return StoreStats(*counts, size=pages * size)
