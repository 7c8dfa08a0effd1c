"""What stores are made of: the flat index, BM25, filters, and the registry."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors.errors import MissingDependency, UnknownCollection, UnknownStore
from tinyllm_actors.integrations.postgres.vectors import PostgresVectorStore
from tinyllm_actors.integrations.sqlite import SQLiteVectorStore
from tinyllm_actors.retrieval import BM25Index, MemoryVectorStore, Row, field, vector_store_from_url
from tinyllm_actors.retrieval.flat_index import FlatIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.retrieval import Metric


def packed(*numbers: float) -> bytes:
    """Return a vector as the index takes it."""
    return array("f", numbers).tobytes()


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_the_flat_index_agrees_with_arithmetic_through_changes(metric: Metric) -> None:
    """After hundreds of additions and removals, with and without a choice of rows, order and scores are exact."""
    chance = random.Random(metric)
    index = FlatIndex(3)
    kept: dict[int, list[float]] = {}
    for round in range(20):
        numbers = range(round * 50 + 1, round * 50 + 51)
        rows = {number: [chance.uniform(-1, 1) for _ in range(3)] for number in numbers}
        index.add(numbers, [packed(*row) for row in rows.values()])
        kept |= rows
        gone = chance.sample(sorted(kept), len(kept) // 3)
        index.remove([*gone, 10**9])
        for number in gone:
            del kept[number]
        assert (len(index), index.last) == (len(kept), (max(kept) if index.last in kept else index.last))
        query = [chance.uniform(-1, 1) for _ in range(3)]
        for among in (None, sorted(kept)[:5], sorted(kept)[::2]):
            wanted = {number: score(kept[number], query, metric) for number in (kept if among is None else among)}
            found = index.search(packed(*query), 7, metric, among)
            assert [number for number, _ in found] == sorted(wanted, key=lambda n: -wanted[n])[:7]
            assert [value for _, value in found] == pytest.approx(sorted(wanted.values(), reverse=True)[:7], abs=1e-5)
    index.keep_only(sorted(kept)[:3])
    assert len(index) == 3


def score(row: list[float], query: list[float], metric: Metric) -> float:
    """Return the score by its definition."""
    dot = sum(a * b for a, b in zip(row, query, strict=True))
    if metric == "dot":
        return dot
    if metric == "l2":
        return -(sum((a - b) ** 2 for a, b in zip(row, query, strict=True)) ** 0.5)
    return dot / (sum(a * a for a in row) * sum(b * b for b in query)) ** 0.5


def test_small_distances_are_measured_exactly() -> None:
    """Vectors that are far from the origin and near each other keep their distances apart."""
    index = FlatIndex(2)
    index.add(range(1, 101), [packed(10_000.0, 10_000.0 + n / 64) for n in range(100)])
    found = index.search(packed(10_000.0, 10_000.0), 3, "l2")
    assert found == [(1, -0.0), (2, -1 / 64), (3, -2 / 64)]


def test_equal_scores_keep_the_order_of_age() -> None:
    """Of a thousand equal rows the oldest are found."""
    index = FlatIndex(1)
    index.add(range(1, 1001), [packed(1.0)] * 1000)
    assert [number for number, _ in index.search(packed(1.0), 5, "cosine")] == [1, 2, 3, 4, 5]
    assert index.search(packed(1.0), 5, "cosine", []) == []
    assert FlatIndex(1).search(packed(1.0), 5, "dot") == []
    assert FlatIndex(1).last == 0


@pytest.mark.parametrize("values", [range(5000), [n % 7 for n in range(5000)], [-(n * 31 % 4999) for n in range(5000)]])
def test_the_best_of_many_rows_are_found_wherever_they_are(values: Sequence[int]) -> None:
    """Of thousands the highest are found, oldest first where equal: at the end, everywhere, or in any order."""
    index = FlatIndex(1)
    index.add(range(5000), [packed(float(value)) for value in values])
    for k in (1, 10, 600, 4999):
        wanted = sorted(range(5000), key=lambda number: (-values[number], number))[:k]
        assert index.search(packed(1.0), k, "dot") == [(number, float(values[number])) for number in wanted]


def test_bm25_has_its_textbook_values() -> None:
    """Scores are those of the formula; rare words, repetition and short texts count more; what is removed is gone."""
    index = BM25Index(k1=1.2, b=0.75)
    for number, text in enumerate(["apple pie", "apple apple tart and more", "banana"], 1):
        index.add(number, text)
    [first, second] = index.search(["apple"], 10)
    idf, mean = 0.47000362924573563, 8 / 3  # ln(1 + 1.5 / 2.5)
    assert second == (2, pytest.approx(idf * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 5 / mean))))
    assert first == (1, pytest.approx(idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / mean))))
    assert [number for number, _ in index.search(["banana", "apple"], 1)] == [3]
    assert [number for number, _ in index.search(["apple"], 10, among={1})] == [1]
    index.remove(2, "apple apple tart and more")
    assert [number for number, _ in index.search(["apple", "tart"], 10)] == [1]
    index.remove(1, "apple pie")
    index.remove(3, "banana")
    assert index.search(["apple", "banana"], 10) == []


def test_filters_are_not_conditions_of_python() -> None:
    """`and`, `or` and `not` on filters would drop one silently, so they fail; fields cannot be keys."""
    with pytest.raises(TypeError, match="join filters with & and"):
        bool(field("a") == 1)
    with pytest.raises(TypeError):
        hash(field("a"))


def test_urls_find_their_stores() -> None:
    """Each scheme leads to its store; what nobody takes is named without what may be a password."""
    assert isinstance(vector_store_from_url("memory:"), MemoryVectorStore)
    assert isinstance(vector_store_from_url("sqlite:///v.db"), SQLiteVectorStore)
    for scheme in ("postgres", "postgresql"):
        assert isinstance(vector_store_from_url(f"{scheme}://h/db"), PostgresVectorStore)
    with pytest.raises(UnknownStore, match=re.escape("Did you mean 'sqlite:'")) as caught:
        vector_store_from_url("sqlit:///secret")
    assert "secret" not in str(caught.value)
    with pytest.raises(UnknownStore, match=r"'vectors\.db'"):
        vector_store_from_url("vectors.db")


def test_numpy_waits_until_it_is_needed() -> None:
    """Importing the package, its stores and their adapters does not import numpy."""
    program = (
        "import sys, tinyllm_actors.retrieval, tinyllm_actors.integrations.sqlite,"
        " tinyllm_actors.integrations.postgres; sys.exit('numpy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.anyio
async def test_a_collection_dropped_while_a_call_waits_is_unknown() -> None:
    """A call that waited for others, and whose collection is gone by then, changes nothing and says so."""
    store = MemoryVectorStore()
    async with store:
        await store.create("c", dimensions=1)
        texts = store._texts("c")  # pyright: ignore[reportPrivateUsage]
        await store.drop("c")
        with pytest.raises(UnknownCollection):
            await store._run(texts, lambda: pytest.fail("it was called"), 0)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.anyio
async def test_without_numpy_the_memory_store_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening where numpy is missing names the extra."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingDependency, match=r"tinyllm_actors\[retrieval\]"):
        await MemoryVectorStore().open()


def test_rows_know_their_own_ids() -> None:
    """A row without id is known by its text alone, the same in each process."""
    rows: list[Any] = [Row("a", [1.0]), Row("a", [2.0], {"x": 1}), Row("b", [1.0])]
    assert rows[0].id == rows[1].id == "27c35e6e9373877f29e562464e46497e"
    assert rows[2].id != rows[0].id
