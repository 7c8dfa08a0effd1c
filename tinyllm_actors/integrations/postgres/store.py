"""The store of conversations in a PostgreSQL database."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import anyio

from tinyllm_actors.conversation import ConversationStore, Loaded, Taken
from tinyllm_actors.conversation.batches import by_key, fresh
from tinyllm_actors.conversation.records import check_claim, check_key, check_page, unbroken, usable
from tinyllm_actors.errors import CorruptJournal, MissingDependency, OutcomeUnknown, StoreUnavailable
from tinyllm_actors.integrations._asyncio_bridge import acquire_bridge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tinyllm_actors.conversation import Append, DueTimer, Grant, Record, StoreStats, Summary
    from tinyllm_actors.errors import StoreError
    from tinyllm_actors.integrations._asyncio_bridge import Bridge
    from tinyllm_actors.integrations.postgres.connection import Connection
    from tinyllm_actors.integrations.postgres.pool import Connections

try:
    from tinyllm_actors.integrations.postgres import pool, schema, statements
except ImportError as error:
    raise MissingDependency("PostgreSQL needs asyncpg: pip install 'tinyllm_actors[postgres]'") from error

__all__ = ["MAX_CONNECTIONS", "RETRY_FOR", "PostgresStore"]

MAX_CONNECTIONS: Final = 10
RETRY_FOR: Final = 10.0

T = TypeVar("T")


class PostgresStore(ConversationStore):
    """Keeps journals in a PostgreSQL database, which any number of processes on any number of machines may share.

    What `append` returned from survives the end of this process, and a crash or loss of power of the server, unless
    the server itself is told otherwise (`synchronous_commit=off`, `fsync=off`). After a fail-over to a replica that
    is not synchronous, the newest transactions may be missing.

    While the server restarts or cannot be reached, calls are tried again with back-off. An append whose connection
    broke is sent again too, under the same grant, which is always safe: what is stored is recognised, and a claim in
    between fences both. Only if no connection can be had in time, its outcome is unknown.

    An append is one round trip, whatever its size. The tables are made when the store is opened, by a user who may;
    processes that open it together wait for one another.

    ```python
    import anyio
    from tinyllm_actors.conversation import store_from_url


    async def main() -> None:
        async with store_from_url("postgresql://ada@db.example/chats") as store:
            print(await store.stats())


    anyio.run(main)
    ```

    Args:
        dsn: where, in libpq's form.
        max_connections: at most so many; calls beyond wait. A journal uses one, loads use the others.
        retry_for: seconds to go on trying while the server is away, before a call fails.

    Raises:
        ValueError: a limit has no meaning.
    """

    def __init__(self, dsn: str, *, max_connections: int = MAX_CONNECTIONS, retry_for: float = RETRY_FOR) -> None:
        if max_connections < 1 or not 0 <= retry_for <= 3600:
            raise ValueError(
                f"need max_connections >= 1 and retry_for from 0 to 3600 seconds, got {max_connections!r} and"
                f" {retry_for!r}"
            )
        self.max_connections = max_connections
        self.retry_for = retry_for
        self.name = self.shown(dsn)
        self._dsn = dsn
        self._bridge: Bridge | None = None
        self._connections: Connections | None = None

    def __repr__(self) -> str:
        return f"PostgresStore({self.name!r}, max_connections={self.max_connections!r})"

    @staticmethod
    def shown(dsn: str) -> str:
        """Return a DSN as it may be logged: without password and options."""
        if "://" not in dsn:  # another form, in which the password may be anywhere
            return "postgresql:"
        parts = urlsplit(dsn)
        user, at, host = parts.netloc.rpartition("@")
        return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}"

    async def open(self) -> None:
        """Connect, and make the tables or bring them up to date."""
        first = self._bridge is None
        if self._bridge is None:
            self._bridge = acquire_bridge()
            self._connections = pool.Connections(self._dsn, self.name, self.max_connections, self.retry_for)
        assert self._connections is not None
        try:
            await self._bridge.call(self._connections.open)
            await self._run(partial(schema.migrate, name=self.name), writes=False)
        except BaseException:
            if first:  # else somebody else is using it
                await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the connections; calls that are under way have a few seconds to end."""
        bridge, connections = self._bridge, self._connections
        self._bridge = self._connections = None
        if bridge is not None and connections is not None:
            with anyio.CancelScope(shield=True):
                try:
                    await bridge.call(connections.aclose)
                finally:
                    await bridge.aclose()

    async def _run(self, work: Callable[[Connection], Awaitable[T]], *, writes: bool) -> T:
        if self._bridge is None or self._connections is None:
            raise StoreUnavailable(f"store {self.name!r} is not open; use it inside `async with`", retryable=False)
        try:
            return await self._bridge.call(partial(self._connections.run, work, writes=writes))
        except anyio.ClosedResourceError as error:
            message = f"store {self.name!r} was closed during the call"
            raise (OutcomeUnknown(message) if writes else StoreUnavailable(message, retryable=False)) from error

    async def claim(self, keys: Sequence[str], owner: str, *, take_over: bool = True) -> list[Grant]:
        """Return the right to append to conversations."""
        check_claim(keys, owner)
        return await self._run(
            partial(statements.claim, keys=tuple(keys), owner=owner, take_over=take_over), writes=True
        )

    async def release(self, grants: Sequence[Grant]) -> None:
        """Give rights back."""
        await self._run(partial(statements.release, grants=tuple(grants)), writes=True)

    async def append(self, batch: Sequence[Append]) -> None:
        """Store entries."""
        grants, entries = by_key(batch)
        once = {key: fresh(key, entries[key], {}) for key in grants}
        await self._run(partial(statements.append, grants=grants, entries=once), writes=True)

    async def load(self, key: str, *, after: int = 0) -> Loaded:
        """Return the newest snapshot and what is behind it."""
        found = await self._run(partial(statements.read, key=check_key(key), after=after), writes=False)
        return usable(key, after, found.__getitem__)

    async def take(self, keys: Sequence[str], owner: str) -> list[Taken]:
        """Claim conversations and read them, in one round trip."""
        check_claim(keys, owner)
        found: list[Taken] = []
        for grant, versions in await self._run(partial(statements.take, keys=tuple(keys), owner=owner), writes=True):
            loaded: Loaded | StoreError
            try:
                loaded = usable(grant.key, 0, versions.__getitem__)
            except CorruptJournal as error:
                loaded = error
            found.append(Taken(grant, loaded))
        return found

    async def cut(self, grant: Grant, after: int) -> int:
        """Remove damaged entries at the end."""
        return await self._run(partial(statements.cut, grant=grant, after=after), writes=True)

    async def page(
        self, key: str, *, after: int | None = None, before: int | None = None, limit: int = 100
    ) -> list[Record]:
        """Return some entries."""
        check_page(after, before, limit)
        work = partial(statements.page, key=check_key(key), after=after, before=before, limit=limit)
        return unbroken(await self._run(work, writes=False))

    async def list(self, prefix: str = "", *, after: str = "", limit: int = 100, held: bool = False) -> list[Summary]:
        """Return some conversations."""
        check_page(None, None, limit)
        work = partial(statements.list_keys, prefix=check_key(prefix), after=check_key(after), limit=limit, held=held)
        return await self._run(work, writes=False)

    async def due_timers(self, before: float, *, limit: int = 1000) -> list[DueTimer]:
        """Return timers whose time has come."""
        check_page(None, None, limit)
        return await self._run(partial(statements.due_timers, before=before, limit=limit), writes=False)

    async def delete(self, key: str) -> bool:
        """Remove a conversation; the server overwrites the pages when it likes."""
        return await self._run(partial(statements.delete, key=check_key(key)), writes=True)

    async def prune(self, *, older_than: float, limit: int = 10_000) -> int:
        """Remove entries that a snapshot stands for."""
        check_page(None, None, limit)
        return await self._run(partial(statements.prune, older_than=older_than, limit=limit), writes=True)

    async def stats(self) -> StoreStats:
        """Return how much there is."""
        return await self._run(statements.count, writes=False)
