"""The file: one connection that writes and some that read, each used by one thread at a time."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import anyio.to_thread

from tinyllm_actors.errors import StoreUnavailable
from tinyllm_actors.function.sqlite_file import open_sqlite
from tinyllm_actors.integrations.sqlite.failures import BREAKS_CONNECTION, primary_code, translated
from tinyllm_actors.integrations.sqlite.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Database"]

T = TypeVar("T")

MAX_READERS: Final = 4


class Database:
    """Runs functions on connections, in threads of their own: whoever else uses threads does not hold them up.

    A function that has begun is waited for, even by a caller that is cancelled; one that waits for its thread is not
    begun then. A connection that broke is replaced by the next call.

    Args:
        path: of the file.
        name: of the store, for errors.
        synchronous: SQLite's setting of that name.
        busy_timeout: seconds to wait for other processes.
        prepare: brings the tables up to date, in a write transaction; it gets the name too.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        synchronous: str,
        busy_timeout: float,
        prepare: Callable[[sqlite3.Connection, str], None] = migrate,
    ) -> None:
        self.path = path
        self._name = name
        self._synchronous = synchronous
        self._busy_timeout = busy_timeout
        self._prepare = prepare
        self._open = False
        self._writer: sqlite3.Connection | None = None
        self._readers: list[sqlite3.Connection] = []
        self._one = anyio.CapacityLimiter(1)
        self._some = anyio.CapacityLimiter(MAX_READERS)

    async def open(self) -> None:
        """Open the file, make it if it is not there, and bring its tables up to date."""
        self._open = True
        try:
            await self.write(lambda database: self._prepare(database, self._name))
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the file when the calls that have begun are done."""
        self._open = False
        with anyio.CancelScope(shield=True):  # a call ends within the busy time-out and its own work
            await anyio.to_thread.run_sync(self._close_writer, limiter=self._one)
            # All readers are back when all their tokens are.
            tokens = [object() for _ in range(MAX_READERS)]
            for token in tokens:
                await self._some.acquire_on_behalf_of(token)
            await anyio.to_thread.run_sync(self._close_readers, limiter=self._one)
            for token in tokens:
                self._some.release_on_behalf_of(token)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `work` returns, which it does in one transaction.

        Raises:
            StoreError: SQLite failed; the transaction is rolled back.
        """
        return await anyio.to_thread.run_sync(self._write, work, limiter=self._one)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `work` returns, which sees the file as it is at one moment.

        Raises:
            StoreError: SQLite failed.
        """
        return await anyio.to_thread.run_sync(self._read, work, limiter=self._some)

    # --- in threads --------------------------------------------------------------------------------

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()
        committing = False
        try:
            if self._writer is None:
                self._writer = self._connect(f"PRAGMA synchronous={self._synchronous}", "PRAGMA secure_delete=ON")
            database = self._writer
            database.execute("BEGIN IMMEDIATE")
            try:
                found = work(database)
                committing = True
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            if primary_code(error) in BREAKS_CONNECTION:
                self._close_writer()
            raise translated(error, self._name, committing=committing, busy_timeout=self._busy_timeout) from error
        return found

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()
        database: sqlite3.Connection | None = None
        try:
            database = self._readers.pop() if self._readers else self._connect("PRAGMA query_only=ON")
            database.execute("BEGIN")
            try:
                found = work(database)
            finally:
                if database.in_transaction:  # else an error has ended it, and is what to tell
                    database.execute("ROLLBACK")
        except BaseException as error:
            if database is not None:
                database.close()
            if not isinstance(error, sqlite3.Error):
                raise
            raise translated(error, self._name, committing=False, busy_timeout=self._busy_timeout) from error
        self._readers.append(database)
        return found

    def _connect(self, *pragmas: str) -> sqlite3.Connection:
        return open_sqlite(self.path, self._busy_timeout, "; ".join(pragmas))

    def _check_open(self) -> None:
        if not self._open:
            raise StoreUnavailable(f"store {self._name!r} is not open; use it inside `async with`", retryable=False)

    def _close_writer(self) -> None:
        database, self._writer = self._writer, None
        if database is not None:
            database.close()

    def _close_readers(self) -> None:
        while self._readers:
            self._readers.pop().close()
