"""What can go wrong with a SQLite file, what is said of it, and that the same store works again afterwards."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
import pytest

from tinyllm_actors.conversation import Append, Entry, Grant, TurnStarted, store_from_url
from tinyllm_actors.errors import (
    ConfigurationError,
    CorruptJournal,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    UnknownStore,
)
from tinyllm_actors.integrations.sqlite import SQLiteStore, from_url, statements
from tinyllm_actors.integrations.sqlite.failures import translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.anyio


def turn(number: int, *, size: int = 10) -> Entry:
    """Return an entry that is the same each time."""
    return TurnStarted(id=f"e{number}", at=0.0, turn_id=f"t{number}", content="x" * size)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file will be."""
    return tmp_path / "chats.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    """Return an open store that does not wait long for others."""
    async with SQLiteStore(path, synchronous="normal", busy_timeout=0.05) as store:
        yield store


async def append(store: SQLiteStore, grant: Grant, *entries: Entry) -> None:
    """Append entries of one conversation."""
    await store.append([Append.of(grant, entries)])


async def ids(store: SQLiteStore, key: str = "a") -> list[str]:
    """Return the ids of what is stored."""
    return [record.id for record in await store.page(key, after=0)]


async def on_writer(store: SQLiteStore, *statements: str) -> None:
    """Run statements on the connection that writes, outside of a transaction."""

    def execute() -> None:
        database: Any = store._database  # pyright: ignore[reportPrivateUsage]
        for statement in statements:
            database._writer.execute(statement).fetchall()

    await anyio.to_thread.run_sync(execute)


async def test_a_full_disk_is_told_and_forgotten_when_there_is_room(store: SQLiteStore) -> None:
    """Without room nothing is stored and the error may be retried; with room the same append succeeds."""
    [grant] = await store.claim(["a"], "me")
    await append(store, grant, turn(1))
    await on_writer(store, "PRAGMA max_page_count=1")
    with pytest.raises(StoreFull, match="no room") as caught:
        await append(store, grant, turn(2), turn(3, size=1_000_000))
    assert caught.value.retryable
    assert await ids(store) == ["e1"]
    await on_writer(store, "PRAGMA max_page_count=1000000")
    await append(store, grant, turn(2), turn(3, size=1_000_000))
    assert await ids(store) == ["e1", "e2", "e3"]


async def test_a_file_that_may_only_be_read_is_told(store: SQLiteStore) -> None:
    """What cannot be written fails, what can be read is read, and a new connection finds the file as it is then."""
    [grant] = await store.claim(["a"], "me")
    await append(store, grant, turn(1))
    await on_writer(store, "PRAGMA query_only=ON")
    with pytest.raises(StoreReadOnly, match="may not be written") as caught:
        await append(store, grant, turn(2))
    assert not caught.value.retryable
    assert await ids(store) == ["e1"]
    await append(store, grant, turn(2))  # the connection was replaced
    assert await ids(store) == ["e1", "e2"]


async def test_a_locked_file_is_waited_for_and_then_told(store: SQLiteStore, path: Path) -> None:
    """While another process writes, an append waits for the busy time-out, fails, and then succeeds."""
    [grant] = await store.claim(["a"], "me")
    other = await anyio.to_thread.run_sync(lambda: sqlite3.connect(path, isolation_level=None, check_same_thread=False))
    await anyio.to_thread.run_sync(other.execute, "BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match=r"0\.05 s") as caught:
        await append(store, grant, turn(1))
    assert caught.value.retryable
    assert isinstance(caught.value, TimeoutError)
    assert await ids(store) == []  # reading needs no lock
    await anyio.to_thread.run_sync(other.execute, "ROLLBACK")
    await anyio.to_thread.run_sync(other.close)
    await append(store, grant, turn(1))
    assert await ids(store) == ["e1"]


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    """A file of another kind is not touched; neither is a database whose beginning was overwritten."""
    await anyio.Path(path).write_bytes(b"no database at all, " * 1000)
    with pytest.raises(CorruptJournal, match="no whole database"):
        await SQLiteStore(path).open()
    assert (await anyio.Path(path).read_bytes()).startswith(b"no database")


async def test_damaged_pages_are_told_and_nothing_is_skipped(path: Path) -> None:
    """Pages that were overwritten give an error or the journal as it was, never less; a backup put back is read."""
    async with SQLiteStore(path, synchronous="normal") as store:
        grants = await store.claim([f"k{number}" for number in range(20)], "me")
        for grant in grants:
            await append(store, grant, *(turn(number, size=300) for number in range(20)))
    whole = await anyio.Path(path).read_bytes()
    told = 0
    for page in range(1, len(whole) // 4096, 3):
        damaged = whole[: page * 4096] + b"\xa5" * 4096 + whole[(page + 1) * 4096 :]
        await anyio.Path(path).write_bytes(damaged)
        store = SQLiteStore(path, synchronous="normal")
        try:
            async with store:
                for number in range(20):
                    loaded = await store.load(f"k{number}")
                    assert len(loaded.records) == 20 - loaded.damaged
        except CorruptJournal:
            told += 1
    assert told > 5
    await anyio.Path(path).write_bytes(whole)
    async with SQLiteStore(path) as store:
        assert len((await store.load("k7")).records) == 20


async def test_a_value_of_another_type_is_damage(store: SQLiteStore) -> None:
    """SQLite keeps any type in any column; what is no entry is damage and no crash."""
    [grant] = await store.claim(["a"], "me")
    await append(store, grant, turn(1), turn(2), turn(3))
    await on_writer(store, "UPDATE tinyllm_actors_entries SET body = 'text', checksum = 'none' WHERE sequence = 3")
    assert (await store.load("a")).damaged == 1


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A store whose folder is missing cannot be opened now; when the folder is there, the same store can."""
    store = SQLiteStore(tmp_path / "later" / "chats.db")
    with pytest.raises(StoreUnavailable, match="unable to open") as caught:
        await store.open()
    assert caught.value.retryable
    await anyio.Path(tmp_path / "later").mkdir()
    async with store:
        await store.claim(["a"], "me")


async def test_tables_of_a_newer_library_are_refused(store: SQLiteStore, path: Path) -> None:
    """An older library does not write into tables that it does not know."""
    await on_writer(store, "INSERT INTO tinyllm_actors_schema VALUES (99)")
    with pytest.raises(ConfigurationError, match="version 99, this library knows 2"):
        await SQLiteStore(path).open()


async def test_tables_that_are_gone_are_told(store: SQLiteStore) -> None:
    """A file that was emptied under the store is an error for which trying again does not help."""
    await on_writer(store, "DROP TABLE tinyllm_actors_entries")
    [grant] = await store.claim(["a"], "me")
    with pytest.raises(StoreUnavailable, match="no such table") as caught:
        await append(store, grant, turn(1))
    assert not caught.value.retryable
    with pytest.raises(StoreUnavailable, match="no such table"):
        await store.load("a")


async def test_a_failure_of_the_commit_itself_has_an_unknown_outcome(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk fails while SQLite commits, nobody knows; the same entries again settle it, on a new connection."""
    [grant] = await store.claim(["a"], "me")
    database: Any = store._database  # pyright: ignore[reportPrivateUsage]
    real = database._writer
    committed = threading.Event()

    class Breaking:
        """A connection whose commit reaches the disk, but whose answer does not come back."""

        in_transaction = False

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def execute(self, statement: str, *arguments: Any) -> Any:
            found = real.execute(statement, *arguments)
            if statement == "COMMIT":
                committed.set()
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
                raise error
            return found

    monkeypatch.setattr(database, "_writer", Breaking())
    with pytest.raises(OutcomeUnknown, match="while it committed") as caught:
        await append(store, grant, turn(1))
    assert caught.value.retryable
    assert committed.is_set()
    await append(store, grant, turn(1), turn(2))
    assert await ids(store) == ["e1", "e2"]


async def test_a_slow_disk_does_not_block_the_loop(store: SQLiteStore) -> None:
    """While a write takes its time, other tasks run and reads are answered; a caller that waits for it can give up."""
    [grant] = await store.claim(["a"], "me")
    database: Any = store._database  # pyright: ignore[reportPrivateUsage]
    release, entered = threading.Event(), threading.Event()

    def slow(_: sqlite3.Connection) -> None:
        entered.set()
        assert release.wait(10)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.write, slow)
        await anyio.to_thread.run_sync(entered.wait)
        assert await ids(store) == []
        with anyio.move_on_after(0.01) as scope:
            await append(store, grant, turn(1))
        assert scope.cancelled_caught
        release.set()
    assert await ids(store) == []
    await append(store, grant, turn(1))


async def test_deleted_content_is_not_in_the_file_any_more(path: Path) -> None:
    """After the deletion, and the last process closing the file, no byte of the conversation is on the disk."""
    secret = "the secret of conversation forty-two"
    async with SQLiteStore(path) as store:
        one, two = await store.claim(["one", "two"], "me")
        await append(store, one, TurnStarted(turn_id="t", content=secret * 200))
        await append(store, two, turn(1))
        await store.delete("one")
    left = b"".join([await anyio.Path(file).read_bytes() for file in path.parent.iterdir()])
    assert secret.encode() not in left
    assert b"xxxxxxxxxx" in left


async def test_closing_waits_for_what_has_begun(path: Path) -> None:
    """A write under way is finished before the file is closed; what comes later is refused."""
    store = SQLiteStore(path, synchronous="normal")
    await store.open()
    [grant] = await store.claim(["a"], "me")
    database: Any = store._database  # pyright: ignore[reportPrivateUsage]
    release, entered = threading.Event(), threading.Event()
    done: list[str] = []

    def slow(connection: sqlite3.Connection) -> None:
        entered.set()
        assert release.wait(10)
        connection.execute("UPDATE tinyllm_actors_conversations SET owner = 'written'")

    async def close() -> None:
        await store.aclose()
        done.append("closed")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.write, slow)
        await anyio.to_thread.run_sync(entered.wait)
        tasks.start_soon(close)
        await anyio.wait_all_tasks_blocked()
        assert done == []
        with pytest.raises(StoreUnavailable):
            await append(store, grant, turn(1))
        release.set()
    async with store:
        assert [summary.owner for summary in await store.list()] == ["written"]


async def test_opening_that_is_cancelled_leaves_nothing(path: Path) -> None:
    """A cancelled open closes what it had opened."""
    store = SQLiteStore(path)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.open()
    with pytest.raises(StoreUnavailable):
        await store.stats()


# --- addresses ------------------------------------------------------------------------------------


def test_urls_say_where_and_how() -> None:
    """Three slashes are a relative path, four an absolute one; options are SQLite's; escapes are undone."""
    store = store_from_url("sqlite:///chats%20of%20ada.db?synchronous=NORMAL&busy_timeout=2.5")
    assert isinstance(store, SQLiteStore)
    assert (store.path, store.synchronous, store.busy_timeout) == (Path("chats of ada.db"), "normal", 2.5)
    assert from_url("sqlite:////var/lib/chats.db").path == Path("/var/lib/chats.db")
    assert from_url("sqlite:///chats.db").synchronous == "full"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite://chats.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "'memory:'"),
        ("sqlite:///a.db?sync=full", "'sync'"),
        ("sqlite:///a.db?synchronous=off", "'off'"),
        ("sqlite:///a.db?busy_timeout=soon", "'soon'"),
        ("sqlite:///a.db?busy_timeout=-1", "-1"),
    ],
)
def test_urls_without_a_meaning_are_refused(url: str, told: str) -> None:
    """What a URL does not say, or says wrong, is told with the value."""
    with pytest.raises(ConfigurationError, match=told):
        store_from_url(url)


def test_unknown_schemes_are_refused_without_their_password() -> None:
    """A scheme that nobody takes is named, with those that there are; what follows it is not, as it may be secret."""
    with pytest.raises(UnknownStore, match="Did you mean 'postgresql:'") as caught:
        store_from_url("postgresq://ada:secret@host/db")
    assert "secret" not in str(caught.value)
    with pytest.raises(UnknownStore, match=r"'chats\.db'"):
        store_from_url("chats.db")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusy),
        (sqlite3.SQLITE_LOCKED, StoreBusy),
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreReadOnly),
        (sqlite3.SQLITE_CORRUPT_INDEX, CorruptJournal),
        (sqlite3.SQLITE_IOERR_READ, StoreUnavailable),
        (sqlite3.SQLITE_ERROR, StoreUnavailable),
    ],
)
def test_each_error_of_sqlite_has_a_meaning(code: int, kind: Callable[..., StoreError]) -> None:
    """The main part of the code decides; while it commits, what is left is an unknown outcome."""
    error = sqlite3.OperationalError("why")
    error.sqlite_errorcode = code
    found = translated(error, "x", committing=False, busy_timeout=1.0)
    assert type(found) is kind
    committing = translated(error, "x", committing=True, busy_timeout=1.0)
    assert type(committing) is (OutcomeUnknown if kind is StoreUnavailable else kind)
    assert translated(sqlite3.ProgrammingError("of Python"), "x", committing=False, busy_timeout=1.0).retryable is False


async def test_an_error_that_ends_a_reading_is_told_as_it_is(store: SQLiteStore) -> None:
    """SQLite has rolled back by then; that there is nothing left to roll back is not what went wrong."""

    def work(database: sqlite3.Connection) -> None:
        database.execute("ROLLBACK")
        error = sqlite3.DatabaseError("malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    file = store._file()  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(CorruptJournal, match="malformed"):
        await file.read(work)
    assert await store.list() == []


async def test_those_that_are_held_are_found_by_their_index(tmp_path: Path) -> None:
    """However many others there are, looking for the few that are held reads these alone."""
    async with SQLiteStore(tmp_path / "chats.db", synchronous="normal") as store:
        some = [f"k{number:04}" for number in range(3000)]
        await store.release(await store.claim(some, "a"))
        await store.claim(["k0007", "k1500"], "b")
        assert [found.key for found in await store.list(held=True)] == ["k0007", "k1500"]
    plans: list[str] = []

    class Explaining:
        def __init__(self, database: sqlite3.Connection) -> None:
            self._database = database

        def execute(self, statement: str, arguments: Any) -> list[Any]:
            plans.extend(row[3] for row in self._database.execute(f"EXPLAIN QUERY PLAN {statement}", arguments))
            return []

    def explain() -> None:
        with closing(sqlite3.connect(tmp_path / "chats.db")) as database:
            statements.list_keys(cast("sqlite3.Connection", Explaining(database)), "", "", 500, held=True)

    await anyio.to_thread.run_sync(explain)
    assert any("USING INDEX tinyllm_actors_conversations_held" in plan for plan in plans), plans
