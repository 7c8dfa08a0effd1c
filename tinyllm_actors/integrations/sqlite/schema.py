"""The tables, and how older ones become them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ["MIGRATIONS", "migrate"]

MIGRATIONS: Final = (
    # Numbers instead of keys: entries of one conversation stay small, and a number is never used again.
    """
    CREATE TABLE tinyllm_actors_conversations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        owner TEXT,
        epoch INTEGER NOT NULL,
        last INTEGER NOT NULL DEFAULT 0,
        snapshot INTEGER NOT NULL DEFAULT 0,
        updated REAL NOT NULL
    );
    CREATE TABLE tinyllm_actors_entries (
        conversation INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        version INTEGER NOT NULL,
        at REAL NOT NULL,
        epoch INTEGER NOT NULL,
        owner TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (conversation, sequence),
        UNIQUE (conversation, id)
    );
    CREATE TABLE tinyllm_actors_timers (
        conversation INTEGER NOT NULL,
        id TEXT NOT NULL,
        due REAL NOT NULL,
        PRIMARY KEY (conversation, id)
    ) WITHOUT ROWID;
    CREATE INDEX tinyllm_actors_timers_due ON tinyllm_actors_timers (due);
    CREATE TABLE tinyllm_actors_epochs (last INTEGER NOT NULL);
    INSERT INTO tinyllm_actors_epochs VALUES (0);
    """,
    # Those that somebody holds are few, and are looked for at each start.
    """
    CREATE INDEX tinyllm_actors_conversations_held ON tinyllm_actors_conversations (key) WHERE owner IS NOT NULL
    """,
)
"""Each leads from one version to the next; they may be added to, never changed."""


def migrate(
    database: sqlite3.Connection,
    name: str,
    migrations: Sequence[str] = MIGRATIONS,
    versions: str = "tinyllm_actors_schema",
) -> None:
    """Bring the tables to the newest version; the caller holds a write transaction.

    Args:
        database: the file.
        name: of the store, for errors.
        migrations: scripts that each lead from one version to the next.
        versions: the table that says which one this is.

    Raises:
        ConfigurationError: they have a newer version than this library knows.
    """
    database.execute(f"CREATE TABLE IF NOT EXISTS {versions} (version INTEGER NOT NULL)")
    row = database.execute(f"SELECT max(version) FROM {versions}").fetchone()
    version: int = row[0] or 0
    if version > len(migrations):
        raise ConfigurationError(
            f"the tables of {name!r} have version {version}, this library knows {len(migrations)}; upgrade it"
        )
    for number, script in enumerate(migrations[version:], version + 1):
        for statement in script.split(";"):
            database.execute(statement)
        database.execute(f"INSERT INTO {versions} VALUES (?)", (number,))
