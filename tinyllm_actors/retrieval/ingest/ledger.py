"""`IngestLedger`: what is indexed, kept beside the index, so that nothing is indexed twice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
import msgspec

from tinyllm_actors.function.sqlite_file import open_sqlite

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable
    from typing import Self

    from tinyllm_actors.retrieval.chunking import Chunk

__all__ = ["IngestLedger", "Stale"]

T = TypeVar("T")

_BUSY_SECONDS = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (source TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, run INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
    source TEXT NOT NULL, id TEXT NOT NULL, run INTEGER NOT NULL, place BLOB NOT NULL, PRIMARY KEY (source, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chunks_by_id ON chunks (id);
CREATE TABLE IF NOT EXISTS runs (run INTEGER PRIMARY KEY AUTOINCREMENT);
"""
_VARIABLES = 500
"""Values in one statement; old versions of SQLite take 999."""


@dataclass(frozen=True, slots=True)
class Stale:
    """What an index has to forget.

    Attributes:
        orphans: ids of chunks that no source has any more.
        moved: the metadata of those that another source still has, by id.
    """

    orphans: tuple[str, ...]
    moved: dict[str, dict[str, Any]]


class IngestLedger:
    """Knows the chunks of each source, in a SQLite file; every statement runs in a worker thread, one at a time.

    Keep it as long as the index, and make a new one for a new index. What is written survives the end of the process;
    if the power fails, the last sources may be indexed once more, which does no harm.

    Args:
        path: of the file, made if it is not there; `":memory:"` lasts as long as the object.
    """

    def __init__(self, path: str | os.PathLike[str] = ":memory:") -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._turn: anyio.Lock | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Open the file.

        Raises:
            sqlite3.Error: it is no database, or cannot be written.
        """
        self._turn = anyio.Lock()
        self._database = await anyio.to_thread.run_sync(self._connect)

    def _connect(self) -> sqlite3.Connection:
        return open_sqlite(self._path, _BUSY_SECONDS, "PRAGMA synchronous=NORMAL;" + _SCHEMA)

    async def aclose(self) -> None:
        """Close the file. Idempotent."""
        database, self._database = self._database, None
        if database is not None:
            await anyio.to_thread.run_sync(database.close)

    async def begin(self) -> int:
        """Return the number of a new run, higher than all before."""
        return await self._run(lambda database: database.execute("INSERT INTO runs DEFAULT VALUES").lastrowid or 0)

    async def fingerprint(self, source: str) -> str | None:
        """Return that of the last time that all of the source was indexed; None if it never was."""
        query = "SELECT fingerprint FROM sources WHERE source = ?"
        found = await self._run(lambda database: database.execute(query, (source,)).fetchone())
        return found[0] if found else None

    async def known(self, ids: Collection[str]) -> set[str]:
        """Return those of the ids that some source has."""
        return await self._run(partial(_known, list(ids)))

    async def add(self, run: int, chunks: Sequence[Chunk], places: Sequence[dict[str, Any]]) -> None:
        """Note that chunks are in the index, with their metadata there."""
        rows = [(c.source, c.id, run, msgspec.json.encode(place)) for c, place in zip(chunks, places, strict=True)]
        # The first of several alike in a source is the one that the index has.
        statement = (
            "INSERT INTO chunks VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET run = excluded.run,"
            " place = CASE WHEN run = excluded.run THEN place ELSE excluded.place END"
        )
        await self._run(partial(_many, [(statement, rows)]))

    async def stale(self, run: int, sources: Collection[str]) -> Stale:
        """Return what these sources, all of which was added in this run, do not have any more."""
        return await self._run(partial(_stale, run, set(sources)))

    async def finish(self, run: int, done: Iterable[tuple[str, str]], gone: Iterable[str] = ()) -> None:
        """Note that sources are indexed, or gone, all at once.

        Args:
            run: the present one.
            done: each source with its fingerprint; chunks of earlier runs are forgotten.
            gone: sources to forget.
        """
        done, gone = list(done), list(gone)
        await self._run(
            partial(
                _many,
                [
                    ("DELETE FROM chunks WHERE source = ? AND run < ?", [(source, run) for source, _ in done]),
                    ("INSERT OR REPLACE INTO sources VALUES (?, ?, ?)", [(*entry, run) for entry in done]),
                    ("DELETE FROM chunks WHERE source = ?", [(source,) for source in gone]),
                    ("DELETE FROM sources WHERE source = ?", [(source,) for source in gone]),
                ],
            )
        )

    async def touch(self, run: int, sources: Iterable[str]) -> None:
        """Note that sources are still there, as they are."""
        rows = [(source, run) for source in sources]
        statement = "INSERT INTO sources VALUES (?, '', ?) ON CONFLICT DO UPDATE SET run = excluded.run"
        await self._run(partial(_many, [(statement, rows)]))

    async def untouched(self, run: int, path: str, limit: int = 500) -> list[str]:
        """Return sources beneath a path that this run did not meet; some of them, if there are many."""
        prefix = "" if path == "." else path + "/"
        query = "SELECT source FROM sources WHERE run < ? AND substr(source, 1, ?) = ? ORDER BY source LIMIT ?"
        values = (run, len(prefix), prefix, limit)
        return await self._run(lambda database: [row[0] for row in database.execute(query, values)])

    async def count(self) -> tuple[int, int]:
        """Return how many sources and how many different chunks there are."""
        query = "SELECT (SELECT count(*) FROM sources), (SELECT count(DISTINCT id) FROM chunks)"
        return await self._run(lambda database: database.execute(query).fetchone())

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._database is None or self._turn is None:
            raise RuntimeError(f"the ledger {self._path!r} is not open; use it inside `async with`")
        async with self._turn:
            return await anyio.to_thread.run_sync(work, self._database)


def _known(ids: list[str], database: sqlite3.Connection) -> set[str]:
    found: set[str] = set()
    for place in range(0, len(ids), _VARIABLES):
        some = ids[place : place + _VARIABLES]
        marks = ",".join("?" * len(some))
        found.update(row[0] for row in database.execute(f"SELECT id FROM chunks WHERE id IN ({marks})", some))
    return found


def _many(statements: Sequence[tuple[str, Sequence[tuple[Any, ...]]]], database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        for statement, rows in statements:
            database.executemany(statement, rows)
        database.execute("COMMIT")
    except BaseException:  # a transaction that is left open would lock everybody out
        if database.in_transaction:  # else an error has ended it, and is what to tell
            database.execute("ROLLBACK")
        raise


def _stale(run: int, sources: set[str], database: sqlite3.Connection) -> Stale:
    going: dict[str, None] = {}
    for source in sources:
        rows = database.execute("SELECT id FROM chunks WHERE source = ? AND run < ?", (source, run))
        going.update((row[0], None) for row in rows)
    orphans: list[str] = []
    moved: dict[str, dict[str, Any]] = {}
    for id in going:
        rows = database.execute("SELECT source, run, place FROM chunks WHERE id = ? ORDER BY source", (id,))
        left = [place for source, when, place in rows if source not in sources or when >= run]
        if left:
            moved[id] = msgspec.json.decode(left[0])
        else:
            orphans.append(id)
    return Stale(tuple(orphans), moved)
