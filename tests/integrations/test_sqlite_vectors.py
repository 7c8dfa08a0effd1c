"""The vector store in a SQLite file: what is its own beside the contract."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors.errors import ConfigurationError, MissingDependency, StoreBusy
from tinyllm_actors.integrations.sqlite import SQLiteStore, SQLiteVectorStore
from tinyllm_actors.integrations.sqlite.vectors import from_url
from tinyllm_actors.retrieval import Row, field

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
    for url in ("sqlite:///", "sqlite://host/v.db", "sqlite:///:memory:"):
        with pytest.raises(ConfigurationError, match="names no file"):
            from_url(url)
    with pytest.raises(ConfigurationError, match="no option"):
        from_url("sqlite:///v.db?synchronous=full")
    for query in ("busy_timeout=x", "busy_timeout=-1", "cache_bytes=-1", "cache_bytes=1.5"):
        with pytest.raises(ConfigurationError):
            from_url(f"sqlite:///v.db?{query}")
