"""The vector store in a SQLite file: what is its own beside the contract."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors.errors import (
    ConfigurationError,
    InputRejected,
    MissingDependency,
    StoreBusy,
    StoreError,
    UnknownCollection,
)
from tinyllm_actors.integrations.sqlite import SQLiteStore, SQLiteVectorStore
from tinyllm_actors.integrations.sqlite.vectors import from_url
from tinyllm_actors.retrieval import Compare, Row, field

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def test_a_collection_too_large_for_memory_is_read_from_the_file(tmp_path: Path) -> None:
    """With no room for vectors in memory, searches find the same, filters and metrics included."""
    path = tmp_path / "vectors.db"
    async with SQLiteVectorStore(path) as roomy, SQLiteVectorStore(path, cache_bytes=0) as narrow:
        await roomy.create("c", dimensions=3)
        await roomy.upsert("c", [Row(f"t{n}", [1.0, n % 7, n / 9000], {"n": n}) for n in range(9000)])
        for options in ({}, {"filter": field("n") < 4500}, {"metric": "l2"}, {"metric": "dot", "with_vectors": True}):
            arguments: Any = ("c", [1.0, 3.0, 0.4], 12)
            found = await narrow.search(*arguments, **options)
            assert len(found) == 12
            assert found == await roomy.search(*arguments, **options)


async def test_memory_for_vectors_is_bounded(tmp_path: Path) -> None:
    """What was used last stays in memory, as far as there is room; the rest is read again when it is needed."""
    async with SQLiteVectorStore(tmp_path / "vectors.db", cache_bytes=70_000) as store:
        for name in "abc":
            await store.create(name, dimensions=8)
            await store.upsert(name, [Row(f"{name}{n}", [1.0, n, *[0.0] * 6]) for n in range(400)])
        for name in "abcab":
            assert [hit.text for hit in await store.search(name, [1.0, *[0.0] * 7], 1)] == [f"{name}0"]
            assert sum(kept.index.nbytes for kept in store._cache._kept.values()) <= 70_000  # pyright: ignore[reportPrivateUsage]


async def test_vectors_that_are_read_take_their_own_room(tmp_path: Path) -> None:
    """A collection that is read into memory takes no more than it needs, however large it is."""
    async with SQLiteVectorStore(tmp_path / "vectors.db") as store:
        await store.create("c", dimensions=8)
        await store.upsert("c", [Row(f"{n}", [1.0, n, *[0.0] * 6]) for n in range(5000)])
        await store.search("c", [1.0] * 8)
        [kept] = store._cache._kept.values()  # pyright: ignore[reportPrivateUsage]
        assert kept.nbytes == 5000 * (8 * 4 + 13)


NASTY = ["x'; DROP TABLE t; --", 'a"].b', "$.a[0]", "back\\slash\\", "?1 :name", "ü\n\x01", "'", "key"]


async def test_keys_to_index_have_no_syntax(tmp_path: Path) -> None:
    """Keys that look like code are indexed, found and removed as what they are."""
    async with SQLiteVectorStore(tmp_path / "vectors.db", indexed=NASTY) as store:
        await store.create("c", dimensions=1)
        await store.upsert("c", [Row(f"{n}", [1.0], {key: key, "n": n}) for n, key in enumerate(NASTY)])
        for n, key in enumerate(NASTY):
            for filter in (field(key) == key, field(key).contains(key), field(key) >= key):
                assert [hit.text for hit in await store.search("c", [1.0], filter=filter)] == [f"{n}"]
            assert await store.delete("c", filter=field(key) == key) == 1
            assert await store.count("c") == len(NASTY) - n - 1


async def test_an_index_of_keys_forgets_what_is_gone(tmp_path: Path) -> None:
    """Rows that are replaced, removed or dropped leave nothing in the index, whatever their values are."""
    path = tmp_path / "vectors.db"
    values: Any = [0, 1.5, "x", True, None, [], [1, 1.0, "y", None, False], 2**62 + 1]
    async with SQLiteVectorStore(path, indexed=["v", "absent"]) as store:
        await store.create("c", dimensions=1)
        for turn in range(2):
            await store.upsert("c", [Row(f"{turn} {n}", [1.0], {"v": v}, f"{n}") for n, v in enumerate(values)])
        await store.delete("c", ids=[f"{n}" for n in range(4)])
        await store.delete("c", filter=field("v").contains("y"))
        database = sqlite3.connect(path)
        kept = database.execute("SELECT key, listed, value FROM tinyllm_actors_vector_keys_1 ORDER BY row").fetchall()
        assert kept == [(0, 2, b""), (0, 0, 2**62 + 1)]
        await store.drop("c")
        assert not database.execute("SELECT 1 FROM sqlite_master WHERE name LIKE '%keys_1%'").fetchall()
        database.close()


async def test_keys_are_indexed_of_what_is_there(tmp_path: Path) -> None:
    """An index made later has all rows, one made again has the new keys alone, and both mean what a scan means."""
    filters = [
        field("n") < 5,
        field("n").is_in([1, 70]),
        ~(field("n") == 1),
        field("by").contains("1"),
        Compare("n", "eq", None),
    ]
    async with SQLiteVectorStore(tmp_path / "vectors.db") as store:
        await store.create("c", dimensions=1)
        await store.upsert("c", [Row(f"{n}", [1.0], {"n": n, "by": f"u{n % 7}"}) for n in range(1500)])
        wanted = [await store.count("c", filter) for filter in filters]
        assert wanted == [5, 2, 1499, 215, 0]
        for keys in (["n"], ["by", "n", "n"], []):
            await store.index_metadata("c", keys)
            assert [await store.count("c", filter) for filter in filters] == wanted
        with pytest.raises(UnknownCollection):
            await store.index_metadata("d", ["n"])


@pytest.mark.parametrize(
    "keys", ["name", [""], ["a\0"], ["\ud800"], ["k" * 1_000_000], [7], [f"k{n}" for n in range(33)]]
)
async def test_a_key_that_cannot_be_indexed_is_refused(tmp_path: Path, keys: Any) -> None:
    """What no row can have as a key is refused by name, where the store is made and where an index is asked for."""
    with pytest.raises(InputRejected, match="key") as caught:
        SQLiteVectorStore(tmp_path / "vectors.db", indexed=keys)
    assert len(str(caught.value)) < 1000
    async with SQLiteVectorStore(tmp_path / "vectors.db") as store:
        await store.create("c", dimensions=1)
        with pytest.raises(InputRejected, match="key"):
            await store.index_metadata("c", keys)


async def test_a_filter_on_an_indexed_key_reads_no_metadata(tmp_path: Path) -> None:
    """SQLite looks the rows up in the index: metadata that is no JSON is not even noticed."""
    path = tmp_path / "vectors.db"
    async with SQLiteVectorStore(path, indexed=["n"]) as store:
        await store.create("c", dimensions=1)
        await store.upsert("c", [Row(f"{n}", [1.0], {"n": n, "other": n}) for n in range(20)])
        database = sqlite3.connect(path)
        database.execute("UPDATE tinyllm_actors_vector_rows_1 SET metadata = '{' WHERE row > 10")
        database.commit()
        database.close()
        assert await store.count("c", (field("n") >= 2) & ~field("n").is_in([3, 4])) == 16
        assert [hit.text for hit in await store.search("c", [1.0], filter=field("n") == 3)] == ["3"]
        with pytest.raises(StoreError):
            await store.count("c", field("other") >= 2)


async def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """Collections that were made before keys could be indexed go on as they are, and take an index."""
    path = tmp_path / "vectors.db"
    async with SQLiteVectorStore(path) as store:
        await store.create("c", dimensions=1)
        await store.upsert("c", [Row(f"{n}", [1.0], {"n": n}) for n in range(3)])
    database = sqlite3.connect(path)
    database.executescript(
        "".join(
            f"ALTER TABLE tinyllm_actors_vector_collections DROP COLUMN {name};"
            for name in ("indexed", "covered", "built", "checksum")
        )
        + "DROP TABLE tinyllm_actors_vector_keys_1;"
        "DELETE FROM tinyllm_actors_vector_schema WHERE version > 1;"
    )
    database.close()
    async with SQLiteVectorStore(path) as store:
        await store.upsert("c", [Row("2", [1.0], {"n": 9}), Row("new", [1.0], {"n": 3})])
        assert await store.count("c", field("n") >= 3) == 2
        await store.index_metadata("c", ["n"])
        assert await store.count("c", field("n") >= 3) == 2
        await store.drop("c")


async def test_vectors_and_conversations_share_a_file(tmp_path: Path) -> None:
    """Each of the two stores keeps its own tables and versions in one file."""
    path = tmp_path / "all.db"
    async with SQLiteStore(path) as chats, SQLiteVectorStore(path) as vectors:
        [grant] = await chats.claim(["chat/ada"], "one")
        await vectors.create("c", dimensions=1)
        assert grant.last == 0
        assert [found.name for found in await vectors.list()] == ["c"]


async def test_tables_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    """A file that a newer library wrote is left alone, and the error says what to do."""
    path = tmp_path / "vectors.db"
    async with SQLiteVectorStore(path):
        pass
    database = sqlite3.connect(path)
    database.execute("INSERT INTO tinyllm_actors_vector_schema VALUES (99)")
    database.commit()
    database.close()
    with pytest.raises(ConfigurationError, match="upgrade"):
        await SQLiteVectorStore(path).open()


async def test_a_file_that_another_process_holds_is_busy(tmp_path: Path) -> None:
    """A write that waits for longer than it may fails typed, and works once the other is done."""
    path = tmp_path / "vectors.db"
    async with SQLiteVectorStore(path, busy_timeout=0.01) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            await store.create("c", dimensions=1)
        other.execute("ROLLBACK")
        other.close()
        assert await store.create("c", dimensions=1)


async def test_without_numpy_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening the store where numpy is missing names the extra."""
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    with pytest.raises(MissingDependency, match=r"tinyllm_actors\[retrieval\]"):
        await SQLiteVectorStore(tmp_path / "vectors.db").open()


def test_urls_say_where_and_how(tmp_path: Path) -> None:
    """Paths and options are read from the URL; what is wrong with one is named."""
    assert from_url("sqlite:///a%20b.db").path.name == "a b.db"
    assert str(from_url(f"sqlite:///{tmp_path}/v.db?busy_timeout=1").path) == f"{tmp_path}/v.db"
    assert from_url("sqlite:///v.db?indexed=a,b%20c")._indexed == ("a", "b c")  # pyright: ignore[reportPrivateUsage]
    for url in ("sqlite:///", "sqlite://host/v.db", "sqlite:///:memory:"):
        with pytest.raises(ConfigurationError, match="names no file"):
            from_url(url)
    with pytest.raises(ConfigurationError, match="no option"):
        from_url("sqlite:///v.db?synchronous=full")
    for query in (
        "busy_timeout=x",
        "busy_timeout=-1",
        "cache_bytes=-1",
        "cache_bytes=1.5",
        "indexed=%00",
        "ef_search=0",
    ):
        with pytest.raises(ConfigurationError):
            from_url(f"sqlite:///v.db?{query}")
