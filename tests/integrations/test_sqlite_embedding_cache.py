"""Known embeddings in a SQLite file."""

from __future__ import annotations

import sqlite3
from array import array
from typing import TYPE_CHECKING

import pytest

from tinyllm_actors import ActorSystem
from tinyllm_actors.errors import ConfigurationError, StoreUnavailable
from tinyllm_actors.integrations.sqlite import SQLiteEmbeddingCache, SQLiteVectorStore
from tinyllm_actors.llm import Embedder
from tinyllm_actors.retrieval import Chunk, VectorIndex
from tinyllm_actors.testing import HashEmbeddings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def test_an_index_made_anew_asks_for_nothing(tmp_path: Path) -> None:
    """The same chunks are indexed twice, in one file with the vectors, and embedded once."""
    path = tmp_path / "all.db"
    chunks = [Chunk(id=f"{n}", text=f"text {n}", source="a") for n in range(20)]
    models = [HashEmbeddings(), HashEmbeddings()]
    for number, model in enumerate(models):
        async with SQLiteEmbeddingCache(path) as cache, SQLiteVectorStore(path) as store, ActorSystem("t") as system:
            embedder = await system.spawn(Embedder.spec(model, cache=cache))
            await VectorIndex(store, embedder, f"c{number}").upsert(chunks)
            assert await store.count(f"c{number}") == 20
    assert [sum(map(len, model.calls)) for model in models] == [20, 0]


async def test_of_too_many_the_oldest_go(tmp_path: Path) -> None:
    """The file holds no more vectors than it may, those that came last, of all models together."""
    async with SQLiteEmbeddingCache(tmp_path / "c.db", max_entries=3) as cache:
        for n in range(5):
            await cache.save(f"model {n % 2}", {bytes([n]): array("f", [n])})
        await cache.save("model 0", {b"\4": array("f", [9.0])})
        assert await cache.load("model 0", [b"\0", b"\2", b"\4"]) == {b"\4": array("f", [9.0])}
        assert await cache.load("model 1", [b"\1", b"\3", b"\4"]) == {b"\3": array("f", [3.0])}
        assert await cache.load("'; DROP TABLE x; --", [b"\4"]) == {}


async def test_what_is_damaged_is_not_known(tmp_path: Path) -> None:
    """A vector that is none is asked for again."""
    path = tmp_path / "c.db"
    async with SQLiteEmbeddingCache(path) as cache:
        await cache.save("m", {b"1": array("f", [1.0]), b"2": array("f", [2.0]), b"3": array("f", [3.0])})
        database = sqlite3.connect(path)
        database.execute("UPDATE tinyllm_actors_embeddings SET vector = x'000000' WHERE text = x'31'")
        database.execute("UPDATE tinyllm_actors_embeddings SET vector = x'' WHERE text = x'32'")
        database.commit()
        database.close()
        assert await cache.load("m", [b"1", b"2", b"3"]) == {b"3": array("f", [3.0])}


async def test_it_is_opened_and_closed_and_has_limits(tmp_path: Path) -> None:
    """Outside of its block it says so, inside of a second one it works again, and senseless numbers are named."""
    cache = SQLiteEmbeddingCache(tmp_path / "c.db")
    with pytest.raises(StoreUnavailable, match="async with"):
        await cache.load("m", [])
    for _ in range(2):
        async with cache:
            await cache.save("m", {b"1": array("f", [1.0])})
    with pytest.raises(StoreUnavailable, match="async with"):
        await cache.save("m", {})
    assert repr(cache) == f"SQLiteEmbeddingCache({str(tmp_path / 'c.db')!r})"
    database = sqlite3.connect(cache.path)
    database.execute("INSERT INTO tinyllm_actors_embedding_schema VALUES (99)")
    database.commit()
    database.close()
    with pytest.raises(ConfigurationError, match="upgrade"):
        await cache.__aenter__()
    with pytest.raises(ValueError, match="max_entries"):
        SQLiteEmbeddingCache("x.db", max_entries=0)
    with pytest.raises(ValueError, match="busy_timeout"):
        SQLiteEmbeddingCache("x.db", busy_timeout=-1)
