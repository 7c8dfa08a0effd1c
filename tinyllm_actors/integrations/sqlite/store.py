"""The store of conversations in a SQLite file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from tinyllm_actors.conversation import ConversationStore
from tinyllm_actors.conversation.batches import by_key
from tinyllm_actors.conversation.records import check_claim, check_key, check_page, unbroken, usable
from tinyllm_actors.integrations.sqlite import statements
from tinyllm_actors.integrations.sqlite.database import Database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.conversation import Append, DueTimer, Grant, Loaded, Record, StoreStats, Summary, Taken

__all__ = ["BUSY_TIMEOUT", "SQLiteStore", "Synchronous"]

Synchronous: TypeAlias = Literal["full", "normal"]

BUSY_TIMEOUT: Final = 5.0

READ_AT_ONCE: Final = 16
"""Conversations that a thread reads in one turn: others wait for it no longer than for these."""


class SQLiteStore(ConversationStore):
    """Keeps journals in a SQLite file (WAL), which several processes of one machine may share.

    What `append` returned from survives the end of the process in any way, `kill -9` included. With
    `synchronous="full"` it also survives a loss of power, as far as the disk keeps its word; with `"normal"` the
    newest transactions may be lost with the power, in order and as a whole, never in the middle. `"full"` waits for
    the disk once for each transaction, so it is for journals that must last and `"normal"` for those that may lose a
    second.

    The file lives on a local disk: SQLite's locks do not hold on network file systems. What `delete` removes is
    overwritten. A `-wal` and a `-shm` file stand beside it while it is open; copy it with SQLite's backup, or after
    `aclose()` by the last process.

    ```python
    >>> import anyio, tempfile
    >>> from tinyllm_actors.conversation import Append, TurnStarted
    >>> async def main(folder: str) -> None:
    ...     for owner in ("monday", "tuesday"):
    ...         async with SQLiteStore(f"{folder}/chats.db") as store:
    ...             [grant] = await store.claim(["chat/ada"], owner)
    ...             await store.append([Append.of(grant, [TurnStarted(turn_id=owner, content="Hello?")])])
    ...             print([entry.turn_id for entry in (await store.load("chat/ada")).entries()])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     anyio.run(main, folder)
    ['monday']
    ['monday', 'tuesday']

    ```

    Args:
        path: of the file, made if it is not there; its folder must be.
        synchronous: what is guaranteed against a loss of power. If in doubt, `"full"`.
        busy_timeout: seconds that a call waits while another process writes, then it fails with `StoreBusy`.

    Raises:
        ValueError: there is no such setting.
    """

    def __init__(
        self, path: str | Path, *, synchronous: Synchronous = "full", busy_timeout: float = BUSY_TIMEOUT
    ) -> None:
        if synchronous not in {"full", "normal"} or not 0 <= busy_timeout <= 3600:
            raise ValueError(
                f"need synchronous 'full' or 'normal' and busy_timeout from 0 to 3600 seconds, got {synchronous!r} and"
                f" {busy_timeout!r}"
            )
        self.path = Path(path)
        self.synchronous = synchronous
        self.busy_timeout = busy_timeout
        self.name = f"sqlite:///{self.path}"
        self._database: Database | None = None

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self.path)!r}, synchronous={self.synchronous!r})"

    def _file(self) -> Database:
        # Made when first used, as its locks belong to an event loop.
        if self._database is None:
            self._database = Database(self.path, self.name, self.synchronous, self.busy_timeout)
        return self._database

    async def open(self) -> None:
        """Open the file, make it if it is not there, and bring its tables up to date."""
        await self._file().open()

    async def aclose(self) -> None:
        """Close the file when the calls that have begun are done."""
        database, self._database = self._database, None
        if database is not None:
            await database.aclose()

    async def claim(self, keys: Sequence[str], owner: str, *, take_over: bool = True) -> list[Grant]:
        """Return the right to append to conversations."""
        check_claim(keys, owner)
        return await self._file().write(partial(statements.claim, keys=tuple(keys), owner=owner, take_over=take_over))

    async def release(self, grants: Sequence[Grant]) -> None:
        """Give rights back."""
        await self._file().write(partial(statements.release, grants=tuple(grants)))

    async def append(self, batch: Sequence[Append]) -> None:
        """Store entries."""
        grants, entries = by_key(batch)
        await self._file().write(partial(statements.append, grants=grants, entries=entries))

    async def load(self, key: str, *, after: int = 0) -> Loaded:
        """Return the newest snapshot and what is behind it."""
        check_key(key)
        return await self._file().read(
            lambda database: usable(key, after, partial(statements.read, database, key, after))
        )

    async def take(self, keys: Sequence[str], owner: str) -> list[Taken]:
        """Claim conversations in one transaction, and read them in few: each is a thread's turn."""
        grants = await self.claim(keys, owner)
        found: list[Taken] = []
        for first in range(0, len(grants), READ_AT_ONCE):
            some = grants[first : first + READ_AT_ONCE]
            found += await self._file().read(partial(statements.read_taken, grants=some))
        return found

    async def cut(self, grant: Grant, after: int) -> int:
        """Remove damaged entries at the end."""
        return await self._file().write(partial(statements.cut, grant=grant, after=after))

    async def page(
        self, key: str, *, after: int | None = None, before: int | None = None, limit: int = 100
    ) -> list[Record]:
        """Return some entries."""
        check_page(after, before, limit)
        found = await self._file().read(
            partial(statements.page, key=check_key(key), after=after, before=before, limit=limit)
        )
        return unbroken(found)

    async def list(self, prefix: str = "", *, after: str = "", limit: int = 100, held: bool = False) -> list[Summary]:
        """Return some conversations."""
        check_page(None, None, limit)
        return await self._file().read(
            partial(statements.list_keys, prefix=check_key(prefix), after=check_key(after), limit=limit, held=held)
        )

    async def due_timers(self, before: float, *, limit: int = 1000) -> list[DueTimer]:
        """Return timers whose time has come."""
        check_page(None, None, limit)
        return await self._file().read(partial(statements.due_timers, before=before, limit=limit))

    async def delete(self, key: str) -> bool:
        """Remove a conversation, and overwrite it."""
        return await self._file().write(partial(statements.delete, key=check_key(key)))

    async def prune(self, *, older_than: float, limit: int = 10_000) -> int:
        """Remove entries that a snapshot stands for; to look for them holds up nobody who writes."""
        check_page(None, None, limit)
        found = await self._file().read(partial(statements.prunable, older_than=older_than, limit=limit))
        return await self._file().write(partial(statements.prune, found=found)) if found else 0

    async def stats(self) -> StoreStats:
        """Return how much there is."""
        return await self._file().read(statements.count)
