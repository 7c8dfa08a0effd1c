"""The approximate index of the vector store in a SQLite file."""

from __future__ import annotations

import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from structlog.testing import capture_logs

from tinyllm_actors.errors import ConfigurationError, MissingDependency, UnknownCollection
from tinyllm_actors.integrations.sqlite import SQLiteVectorStore
from tinyllm_actors.retrieval import Hnsw, Metric, Row, field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytest.importorskip("usearch")

pytestmark = pytest.mark.anyio

COUNT = 2000
GRAPH = "tinyllm_actors_vector_graph_1"


def make(count: int = COUNT, dimensions: int = 16) -> Any:
    """Return vectors around some centres."""
    import numpy

    chance = numpy.random.default_rng(3)
    centres = chance.standard_normal((40, dimensions))
    return centres[chance.integers(0, 40, count)] + chance.standard_normal((count, dimensions))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteVectorStore]:
    """Return an open store, with few candidates, so that what a graph does differs from what a comparison does."""
    async with SQLiteVectorStore(tmp_path / "vectors.db", ef_search=20) as store:
        yield store


async def fill(store: SQLiteVectorStore, metric: Metric = "cosine", first: int = 0, last: int = COUNT) -> Any:
    """Make a collection of some of the rows, and return all vectors."""
    vectors = make()
    await store.create("c", dimensions=16, metric=metric)
    await store.upsert("c", [Row(f"t{n}", vectors[n], {"n": n}, f"{n}") for n in range(first, last)])
    return vectors


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
async def test_nearly_all_that_is_nearest_is_found(store: SQLiteVectorStore, metric: Metric) -> None:
    """Of the ten nearest, at least 95 % are found, with the scores that comparing with all rows gives."""
    vectors = await fill(store, metric)
    exact = [await store.search("c", vector, metric=metric) for vector in vectors[:40]]
    await store.build_index("c", Hnsw())
    found = [await store.search("c", vector) for vector in vectors[:40]]
    same = sum(hit in right for hits, right in zip(found, exact, strict=True) for hit in hits)
    assert same >= 380
    kept = [*store._cache._kept.values()]  # pyright: ignore[reportPrivateUsage]
    assert [len(one.graph or ()) for one in kept] == [COUNT]


async def test_it_is_kept_in_the_file(store: SQLiteVectorStore) -> None:
    """Another store on the file uses the graph too, until it is removed; a collection that is dropped leaves none."""
    await fill(store)
    await store.build_index("c", Hnsw(m=8, ef_construction=32))
    async with SQLiteVectorStore(store.path) as other:
        for built, size in ((True, COUNT), (False, 0)):
            assert len(await other.search("c", [1.0] * 16)) == 10
            [kept] = other._cache._kept.values()  # pyright: ignore[reportPrivateUsage]
            assert len(kept.graph or ()) == size
            if built:
                await store.build_index("c", None)
        await other.build_index("c", Hnsw())
    await store.drop("c")
    database = sqlite3.connect(store.path)
    assert not database.execute("SELECT 1 FROM sqlite_master WHERE name LIKE '%graph%'").fetchall()
    database.close()


async def test_rows_that_come_and_go_later_are_seen(store: SQLiteVectorStore) -> None:
    """What is newer than the graph is found, what is gone is not, and `k` hits stay `k` hits."""
    vectors = await fill(store, last=1500)
    await store.build_index("c", Hnsw())
    await store.upsert("c", [Row(f"new{n}", vectors[n], id=f"new{n}") for n in range(1500, COUNT)])
    assert [hit.id for hit in await store.search("c", vectors[1700], 1)] == ["new1700"]
    nearest = [hit.id for hit in await store.search("c", vectors[7], 15)]
    assert nearest[0] == "7"
    await store.delete("c", ids=nearest)
    hits = await store.search("c", vectors[7], 30)
    assert len(hits) == 30
    assert not {hit.id for hit in hits} & {*nearest}
    await store.delete("c", filter=field("n") >= 0)
    assert len(await store.search("c", vectors[7], 30)) == 30


async def test_where_the_candidates_are_gone_all_rows_are_compared(store: SQLiteVectorStore) -> None:
    """The nearest of what is left are found, though nothing that the graph proposes is there any more."""
    vectors = await fill(store)
    await store.build_index("c", Hnsw())
    exact = field("n") >= 0
    await store.delete("c", ids=[hit.id for hit in await store.search("c", vectors[7], 200, filter=exact)])
    assert await store.search("c", vectors[7], 10) == await store.search("c", vectors[7], 10, filter=exact)


async def test_filters_and_other_metrics_compare_with_all(store: SQLiteVectorStore) -> None:
    """Where the graph cannot help, the answer is exact."""
    vectors = await fill(store)
    options: list[Any] = [{"filter": field("n") >= 1900}, {"metric": "l2"}, {"metric": "dot"}]
    wanted = [await store.search("c", vectors[3], 50, **option) for option in options]
    await store.build_index("c", Hnsw())
    assert [await store.search("c", vectors[3], 50, **option) for option in options] == wanted


@pytest.mark.parametrize(
    "harm",
    [
        f"UPDATE {GRAPH} SET data = CAST(x'00' || substr(data, 2) AS BLOB) WHERE piece = 1",
        f"UPDATE {GRAPH} SET data = CAST('rubbish' AS BLOB)",
        f"DELETE FROM {GRAPH}",
    ],
)
async def test_a_damaged_graph_is_left_alone(store: SQLiteVectorStore, harm: str) -> None:
    """Searches compare with all rows then, and the log says once what to do."""
    vectors = await fill(store)
    wanted = await store.search("c", vectors[3])
    await store.build_index("c", Hnsw())
    database = sqlite3.connect(store.path)
    database.execute(harm)
    database.commit()
    database.close()
    with capture_logs() as logs:
        assert await store.search("c", vectors[3]) == wanted
        assert await store.search("c", vectors[3]) == wanted
    [event] = [log for log in logs if "approximate" in log["event"]]
    assert "build it again" in event["error"]


async def test_a_graph_of_another_kind_is_left_alone(store: SQLiteVectorStore) -> None:
    """Data that usearch does not take, though they are as they were written, are no end of the search either."""
    import zlib

    vectors = await fill(store)
    wanted = await store.search("c", vectors[3])
    await store.build_index("c", Hnsw())
    database = sqlite3.connect(store.path)
    database.execute(f"UPDATE {GRAPH} SET data = CAST('a newer form' AS BLOB)")
    database.execute("UPDATE tinyllm_actors_vector_collections SET checksum = ?", (zlib.crc32(b"a newer form"),))
    database.commit()
    database.close()
    assert await store.search("c", vectors[3]) == wanted


async def test_without_usearch_searches_are_exact(store: SQLiteVectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """To build needs the package, and the error says how to get it; to search does not."""
    vectors = await fill(store)
    wanted = await store.search("c", vectors[3])
    await store.build_index("c", Hnsw())
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(MissingDependency, match=r"tinyllm_actors\[hnsw\]"):
        await store.build_index("c", Hnsw())
    assert await store.search("c", vectors[3]) == wanted


async def test_a_collection_may_be_empty_unknown_or_dropped_meanwhile(
    store: SQLiteVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of nothing there is no graph; a collection that was made anew does not get that of the old one."""
    await store.create("empty", dimensions=2)
    await store.build_index("empty", Hnsw())
    assert await store.search("empty", [1.0, 0.0]) == []
    with pytest.raises(UnknownCollection):
        await store.build_index("unknown", Hnsw())
    vectors = await fill(store, last=20)
    read = store._file.read  # pyright: ignore[reportPrivateUsage]

    async def renew(work: Any) -> Any:
        monkeypatch.undo()
        found = await read(work)
        await store.drop("c")
        await fill(store, first=20, last=40)
        return found

    monkeypatch.setattr(store._file, "read", renew)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(UnknownCollection):
        await store.build_index("c", Hnsw())
    assert [hit.id for hit in await store.search("c", vectors[30], 1)] == ["30"]


async def test_a_build_can_be_given_up(store: SQLiteVectorStore) -> None:
    """Whoever stops waiting for it leaves the collection as it was, and others can write while it goes on."""
    vectors = await fill(store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.build_index, "c", Hnsw())
        await store.upsert("c", [Row("meanwhile", vectors[0] * 2)])
        tasks.cancel_scope.cancel()
    database = sqlite3.connect(store.path)
    assert not database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (GRAPH,)).fetchall()
    database.close()
    assert await store.count("c") == COUNT + 1


@pytest.mark.parametrize("numbers", [(1, 64), (101, 500), (16, 31), (16, 1001)])
def test_settings_without_meaning_are_refused(numbers: tuple[int, int]) -> None:
    """Each number has its range, in PostgreSQL and here."""
    with pytest.raises(ConfigurationError, match="need m from 2 to 100"):
        Hnsw(*numbers)
