"""The tables, and how older ones become them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlite3

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
)
"""Each leads from one version to the next; they may be added to, never changed."""


def migrate(database: sqlite3.Connection, name: str) -> None:
    """Bring the tables to the newest version; the caller holds a write transaction.

    Raises:
        ConfigurationError: they have a newer version than this library knows.
    """
    database.execute("CREATE TABLE IF NOT EXISTS tinyllm_actors_schema (version INTEGER NOT NULL)")
    row = database.execute("SELECT max(version) FROM tinyllm_actors_schema").fetchone()
    version: int = row[0] or 0
    if version > len(MIGRATIONS):
        raise ConfigurationError(
            f"the tables of {name!r} have version {version}, this library knows {len(MIGRATIONS)}; upgrade it"
        )
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        for statement in script.split(";"):
            database.execute(statement)
        database.execute("INSERT INTO tinyllm_actors_schema VALUES (?)", (number,))
