"""Cached answers in a SQLite file, which outlives the process and may be shared by several."""

from __future__ import annotations

import json
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio
import anyio.to_thread

from tinyllm_actors.function.compose.cache_store import MISSING, CacheStore
from tinyllm_actors.function.sqlite_file import open_sqlite

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["SQLiteStore"]

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tinyllm_actors_cache (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, expires REAL, used REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tinyllm_actors_cache_used ON tinyllm_actors_cache (used);
"""
BUSY_SECONDS = 5.0
"""How long a statement waits for another process that writes."""


class SQLiteStore(CacheStore):
    """Keeps answers as JSON text in a SQLite file. Every statement runs in a worker thread, one at a time.

    Time is that of the wall clock, as it must hold across restarts.

    Args:
        path: of the file, made if it is not there.
        size: answers kept.
        ttl: seconds that an answer counts; None for ever.
        output_type: what pydantic restores answers to; None for plain JSON values, which are restored as they were.
    """

    def __init__(self, path: str | Path, size: int, ttl: float | None, output_type: Any = None) -> None:
        super().__init__(size, ttl)
        self._path = path
        self._output_type = output_type
        self._adapter: Any = None
        self._database: sqlite3.Connection | None = None
        self._turn: anyio.Lock | None = None

    async def open(self) -> None:
        """Open the file and make the table.

        Raises:
            sqlite3.Error: the file is no database, or cannot be written.
        """
        if self._output_type is not None:
            from pydantic import TypeAdapter

            self._adapter = TypeAdapter(self._output_type)
        self._turn = anyio.Lock()
        self._database = await anyio.to_thread.run_sync(self._connect)

    def _connect(self) -> sqlite3.Connection:
        # A cache may lose its last entries with the power; it must not wait for the disk.
        return open_sqlite(self._path, BUSY_SECONDS, "PRAGMA synchronous=NORMAL;" + _SCHEMA)

    async def aclose(self) -> None:
        """Close the file."""
        if self._database is not None:
            await self._in_thread(self._database.close)
            self._database = None

    async def _in_thread(self, function: Callable[[], T]) -> T:
        assert self._turn is not None
        async with self._turn:
            return await anyio.to_thread.run_sync(function)

    async def get(self, key: str) -> Any:
        """Return the answer of that key."""
        text = await self._in_thread(partial(self._read, key))
        if text is None:
            return MISSING
        return json.loads(text) if self._adapter is None else self._adapter.validate_json(text)

    def _read(self, key: str) -> str | None:
        assert self._database is not None
        now = time.time()
        row = self._database.execute(
            "UPDATE tinyllm_actors_cache SET used = ? WHERE key = ? AND (expires IS NULL OR expires > ?)"
            " RETURNING value",
            (now, key, now),
        ).fetchall()
        return row[0][0] if row else None

    async def put(self, key: str, value: Any) -> None:
        """Keep an answer."""
        if self._adapter is not None:
            text = cast("bytes", self._adapter.dump_json(value)).decode()
        else:
            _check_plain(value)
            text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
        await self._in_thread(partial(self._write, key, text))

    def _write(self, key: str, text: str) -> None:
        database = self._database
        assert database is not None
        now = time.time()
        expires = None if self.ttl is None else now + self.ttl
        database.execute("BEGIN IMMEDIATE")
        try:
            database.execute(
                "INSERT OR REPLACE INTO tinyllm_actors_cache (key, value, expires, used) VALUES (?, ?, ?, ?)",
                (key, text, expires, now),
            )
            (count,) = database.execute("SELECT count(*) FROM tinyllm_actors_cache").fetchone()
            if count > self.size:
                database.execute("DELETE FROM tinyllm_actors_cache WHERE expires <= ?", (now,))
                (count,) = database.execute("SELECT count(*) FROM tinyllm_actors_cache").fetchone()
            if count > self.size:
                database.execute(
                    "DELETE FROM tinyllm_actors_cache WHERE key IN"
                    " (SELECT key FROM tinyllm_actors_cache ORDER BY used LIMIT ?)",
                    (count - self.size,),
                )
        except BaseException:  # a transaction that is left open would lock everybody out
            if database.in_transaction:  # else an error has ended it, and is what to tell
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    async def forget(self, key: str | None) -> int:
        """Drop one, or all."""
        return await self._in_thread(partial(self._delete, key))

    def _delete(self, key: str | None) -> int:
        assert self._database is not None
        if key is None:
            return self._database.execute("DELETE FROM tinyllm_actors_cache").rowcount
        return self._database.execute("DELETE FROM tinyllm_actors_cache WHERE key = ?", (key,)).rowcount


def _check_plain(value: object, depth: int = 0) -> None:
    """Check that a value comes back from JSON as it is.

    Raises:
        TypeError: it would not.
    """
    if depth > 200:
        raise TypeError("an answer this deep cannot be kept")
    kind = type(value)
    if value is None or kind in {bool, int, str} or (kind is float and math.isfinite(cast("float", value))):
        return
    if kind is list:
        for item in cast("list[object]", value):
            _check_plain(item, depth + 1)
    elif kind is dict and all(type(key) is str for key in cast("dict[object, object]", value)):
        for item in cast("dict[str, object]", value).values():
            _check_plain(item, depth + 1)
    else:
        raise TypeError(
            f"a {kind.__name__} in an answer would not come back from the file as it was; pass output_type=…, the type"
            " of the answers"
        )
