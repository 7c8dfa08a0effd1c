"""Each kind of store, on data that outlives the store object, with ways to do harm to that data."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tinyllm_actors.conversation import ConversationStore, MemoryStore
from tinyllm_actors.integrations._asyncio_bridge import open_bridge
from tinyllm_actors.integrations.sqlite import SQLiteStore, SQLiteVectorStore
from tinyllm_actors.retrieval import Hnsw, MemoryVectorStore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tinyllm_actors.retrieval import Row, VectorStore


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


class InServer:
    """A PostgreSQL database; `reach` it otherwise than through the store."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def store(self) -> ConversationStore:
        from tinyllm_actors.integrations.postgres import PostgresStore

        return PostgresStore(self.uri)

    async def reach(self, *statements: str) -> None:
        import asyncpg  # pyright: ignore[reportMissingTypeStubs]

        connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

        async def execute() -> None:
            connection = await connect(self.uri, password="")
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        async with open_bridge() as bridge:
            await bridge.call(execute)

    async def empty(self) -> None:
        async with self.store():
            await self.reach("TRUNCATE tinyllm_actors_conversations, tinyllm_actors_entries, tinyllm_actors_timers")

    async def damage(self, key: str, sequence: int) -> None:
        harm = "body = overlay(body placing 'X'::bytea from 1)"
        await self.reach(f"UPDATE tinyllm_actors_entries SET {harm} WHERE {self._entry(key, sequence)}")

    async def lose(self, key: str, sequence: int) -> None:
        await self.reach(f"DELETE FROM tinyllm_actors_entries WHERE {self._entry(key, sequence)}")

    @staticmethod
    def _entry(key: str, sequence: int) -> str:
        return _ENTRY.replace("?", f"'{key}'", 1).replace("?", str(sequence))


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return an empty place of each kind."""
    if request.param == "memory":
        return InMemory()
    if request.param == "sqlite":
        return InFile(tmp_path / "chats.db")
    server = InServer(request.getfixturevalue("postgres_uri"))
    await server.empty()
    return server


class VectorPlace(Protocol):
    """Where vectors are."""

    def store(self) -> VectorStore:
        """Return a store, not opened; all stores of one place see the same collections."""
        ...


class VectorsInMemory:
    """One object, as nothing outlives it."""

    def __init__(self) -> None:
        self._store = MemoryVectorStore()

    def store(self) -> MemoryVectorStore:
        return self._store


class VectorsInFile:
    """A SQLite file."""

    def __init__(self, path: Path, *indexed: str) -> None:
        self._path = path
        self._indexed = indexed

    def store(self) -> SQLiteVectorStore:
        return SQLiteVectorStore(self._path, indexed=self._indexed)


class WithGraph(SQLiteVectorStore):
    """Builds the approximate index again every third time that rows are written, so that it is mostly out of date."""

    _writes = 0

    async def upsert(self, collection: str, rows: Iterable[Row]) -> int:
        size = await super().upsert(collection, rows)
        if self._writes % 3 == 0:
            await self.build_index(collection, Hnsw())
        self._writes += 1
        return size


class VectorsInGraph(VectorsInFile):
    """A SQLite file with approximate indexes."""

    def store(self) -> SQLiteVectorStore:
        return WithGraph(self._path)


class VectorsInServer:
    """A PostgreSQL database."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def store(self) -> VectorStore:
        from tinyllm_actors.integrations.postgres.vectors import PostgresVectorStore

        return PostgresVectorStore(self._uri)

    async def empty(self) -> None:
        async with self.store() as store:
            for collection in await store.list():
                await store.drop(collection.name)


@pytest.fixture(params=["memory", "sqlite", "sqlite-indexed", "sqlite-hnsw", "postgres"])
async def vectors(request: pytest.FixtureRequest, tmp_path: Path) -> VectorPlace:
    """Return an empty place for vectors of each kind."""
    if request.param == "memory":
        return VectorsInMemory()
    if request.param == "sqlite":
        return VectorsInFile(tmp_path / "vectors.db")
    if request.param == "sqlite-hnsw":
        pytest.importorskip("usearch")
        return VectorsInGraph(tmp_path / "vectors.db")
    if request.param == "sqlite-indexed":
        return VectorsInFile(tmp_path / "vectors.db", "v", "n", "lang", "tags", "in", 'v"w', "v'w", "v\nw", "$", "ü")
    server = VectorsInServer(request.getfixturevalue("postgres_uri"))
    await server.empty()
    return server
