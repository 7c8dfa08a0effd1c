"""What can go wrong with a PostgreSQL server, what is said of it, and that the same store works again afterwards."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread
import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest
from anyio.abc import SocketAttribute

from tinyllm_actors.conversation import Append, Entry, Grant, TurnStarted, open_journal, store_from_url
from tinyllm_actors.errors import (
    ConfigurationError,
    CorruptJournal,
    MissingDependency,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from tinyllm_actors.integrations._asyncio_bridge import open_bridge
from tinyllm_actors.integrations.postgres import PostgresStore, failures, from_url, pool, statements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from anyio.abc import ByteStream, TaskGroup, TaskStatus

pytestmark = pytest.mark.anyio

connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def turn(number: int, *, size: int = 10) -> Entry:
    """Return an entry that is the same each time."""
    return TurnStarted(id=f"e{number}", at=0.0, turn_id=f"t{number}", content="x" * size)


async def append(store: PostgresStore, grant: Grant, *entries: Entry) -> None:
    """Append entries of one conversation."""
    await store.append([Append.of(grant, entries)])


async def ids(store: PostgresStore, key: str = "a") -> list[str]:
    """Return the ids of what is stored."""
    return [record.id for record in await store.page(key, after=0, limit=10_000)]


async def execute(uri: str, *statements: str) -> None:
    """Run statements on a connection of their own."""

    async def run() -> None:
        connection = await connect(uri, password="")
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async with open_bridge() as bridge:
        await bridge.call(run)


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tinyllm_actors'"


@pytest.fixture
async def uri(postgres_uri: str) -> str:
    """Return how to reach an empty database."""
    async with PostgresStore(postgres_uri):
        await execute(
            postgres_uri, "TRUNCATE tinyllm_actors_conversations, tinyllm_actors_entries, tinyllm_actors_timers"
        )
    return postgres_uri


@pytest.fixture
async def store(uri: str) -> AsyncIterator[PostgresStore]:
    """Return an open store."""
    async with PostgresStore(uri) as store:
        yield store


# --- a network that breaks ------------------------------------------------------------------------


class Wire:
    """A proxy on loopback between the store and the server, which breaks connections by script.

    Attributes:
        script: what to do with requests that hold `MARKER`, in turn: `"lose"` cuts before the server sees it,
            `"answer"` after the server has answered, without passing that on; with a `"!"` behind it, nobody may
            connect from then on.
        refusing: cut new connections at once.
        requests: how often the store has sent something.
    """

    def __init__(self, uri: str, tasks: TaskGroup) -> None:
        parts = urlsplit(uri)
        self._path = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._database = parts.path
        self._tasks = tasks
        self._open: set[anyio.CancelScope] = set()
        self.script: list[str] = []
        self.refusing = False
        self.refused = anyio.Event()
        self.requests = 0
        self.port = 0

    async def serve(self, *, task_status: TaskStatus[None]) -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener:
            self.port = listener.extra(SocketAttribute.local_port)
            task_status.started()
            await listener.serve(self._connection, self._tasks)

    @property
    def url(self) -> str:
        """How to connect through the proxy."""
        return f"postgresql://postgres:x@127.0.0.1:{self.port}{self._database}?sslmode=disable"

    def cut(self) -> None:
        """Cut all connections."""
        for scope in self._open:
            scope.cancel()

    async def _connection(self, client: ByteStream) -> None:
        async with client:
            if self.refusing:
                self.refused.set()
                return
            with anyio.CancelScope() as scope:
                self._open.add(scope)
                async with await anyio.connect_unix(self._path) as server:
                    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                        await self._relay(client, server)
            self._open.discard(scope)

    async def _relay(self, client: ByteStream, server: ByteStream) -> None:
        async with anyio.create_task_group() as tasks:
            muted = anyio.Event()

            async def answers() -> None:
                async for data in server:
                    if muted.is_set():
                        break
                    await client.send(data)
                tasks.cancel_scope.cancel()

            tasks.start_soon(answers)
            async for data in client:
                self.requests += 1
                act = self.script.pop(0) if self.script and MARKER in data else "pass"
                self.refusing |= act.endswith("!")
                if act.startswith("lose"):
                    break
                if act.startswith("answer"):
                    muted.set()
                await server.send(data)
            tasks.cancel_scope.cancel()


MARKER = b"cut-me"
MARKED = TurnStarted(id="cut-me", at=0.0, turn_id="t", content="x")


@pytest.fixture
async def wire(uri: str) -> AsyncIterator[Wire]:
    """Return a proxy to an empty database."""
    async with anyio.create_task_group() as tasks:
        wire = Wire(uri, tasks)
        await tasks.start(wire.serve)
        yield wire
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("script", [["answer"], ["lose"], ["lose", "answer", "answer", "lose"]], ids="-".join)
async def test_a_connection_that_is_cut_during_a_commit_loses_and_doubles_nothing(
    wire: Wire, script: list[str]
) -> None:
    """Whether the server had committed or not: the store sends again, and each entry is there once."""
    async with PostgresStore(wire.url) as store:
        [grant] = await store.claim(["a"], "me")
        await append(store, grant, turn(1))
        wire.script = list(script)
        await append(store, grant, MARKED, turn(2))
        assert wire.script == []
        await append(store, grant, turn(3))
        assert await ids(store) == ["e1", "cut-me", "e2", "e3"]


async def test_an_append_is_one_round_trip(wire: Wire) -> None:
    """However many entries and conversations it has, once the connection knows the statement."""
    async with PostgresStore(wire.url) as store:
        grants = await store.claim(["a", "b", "c"], "me")
        await append(store, grants[0], turn(0))
        before = wire.requests
        await append(store, grants[0], turn(1))
        assert wire.requests == before + 1
        await store.append([Append.of(grant, [turn(number) for number in range(2, 20)]) for grant in grants])
        assert wire.requests == before + 2


@pytest.mark.parametrize("act", ["answer!", "lose!"])
async def test_an_unknown_outcome_is_told_and_settled_by_sending_again(wire: Wire, act: str) -> None:
    """If no connection can be had, the outcome is unknown; after a new claim the same entries are stored once."""
    async with PostgresStore(wire.url, retry_for=0.1) as store, open_journal(store) as journal:
        [grant] = await store.claim(["a"], "me")
        wire.script = [act]
        with pytest.raises(OutcomeUnknown, match="broke") as caught:
            await journal.append(grant, [MARKED, turn(2)])
        assert caught.value.retryable
        assert caught.value.keys == ("a",)
        wire.refusing = False
        assert await ids(store) == (["cut-me", "e2"] if act == "answer!" else [])
        [again] = await store.claim(["a"], "me")
        await journal.append(again, [MARKED, turn(2)])
        assert await ids(store) == ["cut-me", "e2"]


async def test_a_server_that_cannot_be_reached_is_told_and_found_again(wire: Wire) -> None:
    """Calls fail when the time for retries is over, and succeed on the same store when the server is back."""
    store = PostgresStore(wire.url, retry_for=0.1)
    wire.refusing = True
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await store.open()
    wire.refusing = False
    async with store:
        [grant] = await store.claim(["a"], "me")
        wire.refusing = True
        wire.cut()
        with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
            await store.load("a")
        assert caught.value.retryable
        wire.refusing = False
        await append(store, grant, turn(1))
        assert await ids(store) == ["e1"]


async def test_a_call_that_waits_for_the_server_ends_when_the_store_is_closed(wire: Wire) -> None:
    """Closing does not wait for retries, and whoever waits for one is told."""
    store = PostgresStore(wire.url, retry_for=60.0)
    await store.open()
    told: list[StoreError] = []

    async def wait(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(StoreError) as caught:
            await call()
        told.append(caught.value)

    wire.refusing = True
    wire.cut()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, lambda: store.load("a"))
        tasks.start_soon(wait, lambda: store.claim(["a"], "me"))
        await wire.refused.wait()
        await store.aclose()
    assert len(told) == 2


# --- a server that comes and goes -----------------------------------------------------------------


async def test_a_restart_of_the_server_loses_nothing(
    store: PostgresStore, restart_postgres: Callable[[str], None], anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    """Writers go on over a restart, by an administrator or after a crash; all that was acknowledged is there, once."""
    mode = "immediate" if anyio_backend[1] else "fast"
    grants = await store.claim([f"k{number}" for number in range(10)], "me")
    acknowledged: dict[str, int] = {}
    writing, restarted = anyio.Event(), anyio.Event()

    async with open_journal(store) as journal, anyio.create_task_group() as tasks:

        async def write(grant: Grant) -> None:
            number, beyond = 0, 0
            while beyond < 5:
                number += 1
                await journal.append(grant, [turn(number)])
                acknowledged[grant.key] = number
                if len(acknowledged) == len(grants):
                    writing.set()
                beyond += restarted.is_set()

        for grant in grants:
            tasks.start_soon(write, grant)
        await writing.wait()
        await anyio.to_thread.run_sync(restart_postgres, mode)
        restarted.set()
    for grant in grants:
        assert await ids(store, grant.key) == [f"e{number}" for number in range(1, acknowledged[grant.key] + 1)]


async def test_a_server_that_may_only_be_read_is_told(store: PostgresStore, uri: str) -> None:
    """Writing fails, reading does not; when the server may be written again, so may the store."""
    [grant] = await store.claim(["a"], "me")
    await append(store, grant, turn(1))
    try:
        await execute(uri, "ALTER DATABASE postgres SET default_transaction_read_only = on", CUT)
        assert await ids(store) == ["e1"]  # on a new connection
        with pytest.raises(StoreReadOnly, match="may not be written") as caught:
            await append(store, grant, turn(2))
        assert not caught.value.retryable
    finally:
        read_write = "SET default_transaction_read_only = off"
        await execute(uri, read_write, "ALTER DATABASE postgres RESET default_transaction_read_only", CUT)
    await append(store, grant, turn(2))
    assert await ids(store) == ["e1", "e2"]


async def test_a_full_disk_of_the_server_is_told(store: PostgresStore, uri: str) -> None:
    """Without room nothing of the batch is stored; with room the same append succeeds."""
    full = "BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END"
    [grant] = await store.claim(["a"], "me")
    await execute(
        uri,
        f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ {full} $$",
        "CREATE TRIGGER full_disk BEFORE INSERT ON tinyllm_actors_entries FOR EACH ROW WHEN (new.id = 'e2')"
        " EXECUTE FUNCTION full_disk()",
    )
    with pytest.raises(StoreFull, match=r"disk of .* is full") as caught:
        await append(store, grant, turn(1), turn(2))
    assert caught.value.retryable
    assert await ids(store) == []
    await execute(uri, "DROP FUNCTION full_disk CASCADE")
    await append(store, grant, turn(1), turn(2))
    assert await ids(store) == ["e1", "e2"]


async def test_a_row_that_somebody_holds_is_waited_for_and_then_told(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that holds a conversation for longer than the lock time-out makes the append fail, for now."""
    monkeypatch.setattr(pool, "LOCK_TIMEOUT", 0.05)
    async with PostgresStore(uri, retry_for=0.0) as store:
        [grant] = await store.claim(["a"], "me")

        async def hold() -> Any:
            connection = await connect(uri, password="")
            await connection.execute("BEGIN; SELECT FROM tinyllm_actors_conversations FOR UPDATE")
            return connection

        async with open_bridge() as bridge:
            holder = await bridge.call(hold)
            with pytest.raises(StoreBusy) as caught:
                await append(store, grant, turn(1))
            assert caught.value.retryable
            assert await ids(store) == []
            await bridge.call(holder.close)
        await append(store, grant, turn(1))
        assert await ids(store) == ["e1"]


async def test_more_calls_than_connections_wait(uri: str) -> None:
    """With one connection many calls are served one after the other."""
    async with PostgresStore(uri, max_connections=1) as store, anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(store.claim, [f"k{number}"], "me")
    async with PostgresStore(uri) as store:
        assert len(await store.list()) == 20


async def test_a_database_that_is_not_there_is_told_at_once(uri: str) -> None:
    """What trying again does not help is not tried again."""
    with pytest.raises(StoreUnavailable, match="nowhere") as caught:
        await PostgresStore(uri.replace("/postgres?", "/nowhere?")).open()
    assert not caught.value.retryable


async def test_opening_that_is_cancelled_leaves_nothing(uri: str) -> None:
    """A cancelled open closes what it had opened."""
    store = PostgresStore(uri)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.open()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.stats()


async def test_stores_that_open_together_make_the_tables_once(new_postgres_uri: str) -> None:
    """Processes that start together on an empty database wait for one another; newer tables are refused."""
    stores = [PostgresStore(new_postgres_uri) for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        for store in stores:
            tasks.start_soon(store.open)
    assert len(await stores[0].claim(["a"], "me")) == 1
    for store in stores:
        await store.aclose()
    await execute(new_postgres_uri, "INSERT INTO tinyllm_actors_schema VALUES (99)")
    with pytest.raises(ConfigurationError, match="version 99, this library knows 3"):
        await stores[0].open()


async def test_a_call_that_hangs_does_not_keep_the_store_open(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing waits a while for what runs, then breaks it off."""
    monkeypatch.setattr(pool, "CLOSE_TIMEOUT", 0.05)

    started = threading.Event()

    async def hang(connection: Any) -> None:
        started.set()
        await connection.execute("SELECT pg_sleep(60)")

    async with anyio.create_task_group() as tasks:

        async def call() -> None:
            with pytest.raises(StoreError):
                await store._run(hang, writes=True)  # pyright: ignore[reportPrivateUsage]

        tasks.start_soon(call)
        await anyio.to_thread.run_sync(started.wait)
        await store.aclose()


# --- addresses and meanings -----------------------------------------------------------------------


def test_urls_say_where_and_how() -> None:
    """Options of the store are taken out, the driver gets the others; neither name nor repr holds the password."""
    store = store_from_url(
        "postgresql://ada:secret@db.example:5433/chats?max_connections=3&retry_for=1.5&sslmode=require"
    )
    assert isinstance(store, PostgresStore)
    assert (store.max_connections, store.retry_for) == (3, 1.5)
    assert store.name == "postgresql://ada@db.example:5433/chats"
    assert "secret" not in repr(store)
    assert store._dsn == "postgresql://ada:secret@db.example:5433/chats?sslmode=require"  # pyright: ignore[reportPrivateUsage]
    for wrong, told in (("max_connections=many", "many"), ("max_connections=0", "0"), ("retry_for=-1", "-1")):
        with pytest.raises(ConfigurationError, match=told) as caught:
            from_url(f"postgres://ada:secret@db.example/chats?{wrong}")
        assert "secret" not in str(caught.value)


def test_without_asyncpg_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing driver is told with what installs it."""
    for name in [name for name in sys.modules if name.startswith("tinyllm_actors.integrations.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(MissingDependency, match=r"pip install 'tinyllm_actors\[postgres\]'"):
        importlib.import_module("tinyllm_actors.integrations.postgres")


def test_the_driver_looks_for_passwords_only_where_there_may_be_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without any password nothing is read at each connection; with a file of passwords, the driver reads it."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "passwords"))
    look = pool._no_password  # pyright: ignore[reportPrivateUsage]
    assert look("postgresql://ada@host/db") == ""
    assert look("postgresql://ada:secret@host/db") is None
    assert look("postgresql://host/db?password=secret") is None
    (tmp_path / "passwords").write_text("*:*:*:*:secret")
    assert look("postgresql://ada@host/db") is None


@pytest.mark.parametrize(
    ("error", "sent", "meaning"),
    [
        (asyncpg.AdminShutdownError("x"), True, failures.Meaning.CUT),
        (asyncpg.CannotConnectNowError("x"), False, failures.Meaning.ABSENT),
        (asyncpg.TooManyConnectionsError("x"), False, failures.Meaning.ABSENT),
        (asyncpg.ConnectionDoesNotExistError("x"), True, failures.Meaning.CUT),
        (asyncpg.ConnectionRejectionError("x"), False, failures.Meaning.ABSENT),
        (asyncpg.DeadlockDetectedError("x"), True, failures.Meaning.CONTENDED),
        (asyncpg.InvalidPasswordError("x"), False, failures.Meaning.FINAL),
        (asyncpg.InterfaceError("x"), True, failures.Meaning.CUT),
        (asyncpg.DataError("x"), True, failures.Meaning.FINAL),
        (asyncpg.ClientConfigurationError("x"), False, failures.Meaning.FINAL),
        (ConnectionResetError("x"), True, failures.Meaning.CUT),
        (ConnectionRefusedError("x"), False, failures.Meaning.ABSENT),
        (TimeoutError("x"), False, failures.Meaning.ABSENT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_error_of_the_driver_has_a_meaning(error: Exception, sent: bool, meaning: failures.Meaning) -> None:
    """Whether something may have been sent decides what a broken connection means."""
    assert failures.meaning_of(error, sent=sent) is meaning


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (asyncpg.DataCorruptedError("x"), CorruptJournal, False),
        (asyncpg.InsufficientPrivilegeError("x"), StoreReadOnly, False),
        (asyncpg.OutOfMemoryError("x"), StoreUnavailable, True),
        (asyncpg.UndefinedTableError("x"), StoreUnavailable, False),
    ],
    ids=["corrupt", "denied", "memory", "no table"],
)
def test_what_is_final_is_told_as_what_it_is(error: Exception, kind: type[StoreError], retryable: bool) -> None:
    """The state of PostgreSQL decides which error it is, and whether trying again may help."""
    found = failures.translated(error, "x", failures.Meaning.FINAL)
    assert (type(found), found.retryable) == (kind, retryable)


async def test_those_that_are_held_are_found_by_their_index(store: PostgresStore) -> None:
    """However many others there are, looking for the few that are held reads these alone."""
    some = [f"k{number:04}" for number in range(3000)]
    await store.release(await store.claim(some, "a"))
    await store.claim(["k0007", "k1500"], "b")
    assert [found.key for found in await store.list(held=True)] == ["k0007", "k1500"]
    plans: list[str] = []

    class Explaining:
        def __init__(self, connection: Any) -> None:
            self._connection = connection

        async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
            await self._connection.execute("ANALYZE tinyllm_actors_conversations")
            rows = await self._connection.fetch(f"EXPLAIN {statement}", *arguments)
            plans.append("\n".join(row[0] for row in rows))
            return []

    async def explain(connection: Any) -> None:
        await statements.list_keys(cast("Any", Explaining(connection)), "", "", 500, held=True)

    await store._run(explain, writes=False)  # pyright: ignore[reportPrivateUsage]
    assert "tinyllm_actors_conversations_held" in plans[0]
    assert "Seq Scan" not in plans[0]


def test_the_password_is_shown_in_no_form() -> None:
    """Neither that of a URL, nor that of an option, nor where it could stand anywhere."""
    for dsn in (
        "postgresql://ada:s3cret@db/chats",
        "postgresql://ada@db/chats?password=s3cret",
        "host=db password=s3cret",
    ):
        assert "s3cret" not in repr(PostgresStore(dsn))
