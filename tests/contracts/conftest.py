"""Each kind of store, on data that outlives the store object, with ways to do harm to that data."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Protocol

import pytest

from tinyllm_actors.conversation import ConversationStore, MemoryStore
from tinyllm_actors.integrations.sqlite import SQLiteStore

if TYPE_CHECKING:
    from pathlib import Path


class Place(Protocol):
    """Where journals are."""

    def store(self) -> ConversationStore:
        """Return a store, not opened; all stores of one place see the same journals, as those of two processes do."""
        ...

    async def damage(self, key: str, sequence: int) -> None:
        """Change a byte of an entry."""
        ...

    async def lose(self, key: str, sequence: int) -> None:
        """Remove an entry behind the store's back."""
        ...


class InMemory:
    """One object, as nothing outlives it."""

    def __init__(self) -> None:
        self._store = MemoryStore()

    def store(self) -> MemoryStore:
        return self._store

    async def damage(self, key: str, sequence: int) -> None:
        self._store.damage(key, sequence)

    async def lose(self, key: str, sequence: int) -> None:
        self._store.lose(key, sequence)


_ENTRY = "conversation = (SELECT id FROM tinyllm_actors_conversations WHERE key = ?) AND sequence = ?"


class InFile:
    """A SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def store(self) -> SQLiteStore:
        return SQLiteStore(self.path, synchronous="normal")

    async def damage(self, key: str, sequence: int) -> None:
        self._execute(
            f"UPDATE tinyllm_actors_entries SET body = CAST(x'58' || substr(body, 2) AS BLOB) WHERE {_ENTRY}",
            key,
            sequence,
        )

    async def lose(self, key: str, sequence: int) -> None:
        self._execute(f"DELETE FROM tinyllm_actors_entries WHERE {_ENTRY}", key, sequence)

    def _execute(self, statement: str, *arguments: object) -> None:
        database = sqlite3.connect(self.path)
        with database:
            assert database.execute(statement, arguments).rowcount == 1
        database.close()


@pytest.fixture(params=["memory", "sqlite"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return an empty place of each kind."""
    if request.param == "memory":
        return InMemory()
    return InFile(tmp_path / "chats.db")
