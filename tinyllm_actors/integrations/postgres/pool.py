"""Connections that come back: a pool, tried again with back-off while the server is away."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

import anyio
import anyio.to_thread
import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from tinyllm_actors.errors import OutcomeUnknown
from tinyllm_actors.integrations.postgres.failures import Meaning, meaning_of, translated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tinyllm_actors.integrations.postgres.connection import Connection

__all__ = ["Connections"]

T = TypeVar("T")

CONNECT_TIMEOUT: Final = 5.0
COMMAND_TIMEOUT: Final = 30.0
LOCK_TIMEOUT: Final = 5.0
FIRST_DELAY: Final = 0.02
MAX_DELAY: Final = 1.0
CLOSE_TIMEOUT: Final = 5.0


async def _keep(_: object) -> None:
    """Give a connection back as it is: nothing here changes a session, and asking it would cost a round trip."""


def _no_password(dsn: str) -> str | None:
    """Return an empty password where there is none, as the driver would look for a file of them at each connection.

    It does so in the event loop. Where there is such a file, it has to.
    """
    parts = urlsplit(dsn)
    named = {name for name, _ in parse_qsl(parts.query)}
    if parts.password or "PGPASSWORD" in os.environ or named & {"password", "passfile", "service"}:
        return None
    return None if Path(os.environ.get("PGPASSFILE") or "~/.pgpass").expanduser().exists() else ""


class Connections:
    """A pool of connections, on the asyncio side of the bridge.

    Args:
        dsn: where, in libpq's form.
        name: of the store, for errors.
        max_connections: at most so many.
        retry_for: seconds to go on trying while the server is away.
        settings: of each session, beside those that every store has.
        prepare: gets each connection before it is used for anything else.
    """

    def __init__(
        self,
        dsn: str,
        name: str,
        max_connections: int,
        retry_for: float,
        settings: Mapping[str, str] | None = None,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        self._dsn = dsn
        self._name = name
        self._max_connections = max_connections
        self._retry_for = retry_for
        self._settings = dict(settings or {})
        self._prepare = prepare
        self._pool: Any = None  # asyncpg has few types
        self._opening = asyncio.Lock()  # on whichever thread, this side is asyncio
        self._closing = False

    async def open(self) -> None:
        """Get ready, unless that is done; nothing is connected yet."""
        async with self._opening:
            if self._pool is None:
                self._pool = await self._new_pool()

    async def _new_pool(self) -> Any:
        password = await anyio.to_thread.run_sync(_no_password, self._dsn)
        create_pool: Any = asyncpg.create_pool  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return await create_pool(
            self._dsn,
            password=password,
            min_size=0,
            max_size=self._max_connections,
            init=self._prepare,
            reset=_keep,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings={
                "application_name": "tinyllm_actors",
                "lock_timeout": f"{LOCK_TIMEOUT * 1000:.0f}ms",
                "idle_in_transaction_session_timeout": "60s",
                **self._settings,
            },
        )

    async def aclose(self) -> None:
        """Close all connections when what runs on them is done, or after a while anyhow."""
        self._closing = True
        if self._pool is None:  # it could not be opened
            return
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
            await self._pool.close()
            return
        self._pool.terminate()

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, writes: bool) -> T:
        """Return what `work` returns, on any connection; it is called again if the connection broke.

        Args:
            work: does one thing that may be done twice, since it can be that it was.
            writes: it changes something, so that an unknown outcome matters.

        Raises:
            OutcomeUnknown: the connection broke while `work` ran, and none could be had since.
            StoreError: PostgreSQL failed, nothing was changed.
        """
        deadline = anyio.current_time() + self._retry_for
        delay = FIRST_DELAY
        unknown: BaseException | None = None
        while True:
            sent = False
            try:
                async with self._pool.acquire(timeout=CONNECT_TIMEOUT) as connection:
                    sent = True
                    return await work(connection)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                meaning = meaning_of(error, sent=sent)
                if meaning is Meaning.CUT and writes:
                    unknown = error
                if meaning is Meaning.FINAL or self._closing or anyio.current_time() + delay > deadline:
                    if unknown is not None:
                        raise OutcomeUnknown(
                            f"the connection to {self._name!r} broke ({type(unknown).__name__}: {unknown}), and trying"
                            " again failed; send the same again, what is stored already is recognised"
                        ) from error
                    raise translated(error, self._name, meaning) from error
            await anyio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, MAX_DELAY)
