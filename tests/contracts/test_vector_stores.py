"""What every vector store promises: see `tinyllm_actors.retrieval.vector_store`."""

from __future__ import annotations

import math
import random
from array import array
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from tinyllm_actors.errors import (
    CollectionConflict,
    DimensionMismatch,
    FilterRejected,
    InputRejected,
    StoreUnavailable,
    UnknownCollection,
    VectorRejected,
)
from tinyllm_actors.retrieval import AllOf, AnyOf, Collection, Compare, Contains, Row, field, matches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tinyllm_actors.retrieval import Filter, Metric, VectorStore

pytestmark = pytest.mark.anyio

NASTY = [
    "x'; DROP TABLE tinyllm_actors_vector_collections; --",
    'x" OR "1"="1',
    "$.a[0]",
    'a"].b',
    "back\\slash\\",
    "%_*?[]{}()",
    "$1 :name ? @x",
    "ünïcödé ☃ 🂡",
    " ",
    "new\nline\ttab\x01",
    "'",
    '"',
    "NULL",
]
"""Texts that mean something to somebody, and here nothing."""


@pytest.fixture
async def store(vectors: Any) -> AsyncIterator[VectorStore]:
    """Return an open store on an empty place."""
    async with vectors.store() as store:
        yield store


ROWS = [
    Row("the red fox runs", [1.0, 0.0], {"n": 1, "tags": ["a", "b"], "lang": "en"}, id="fox"),
    Row("the red hen sits", [0.8, 0.6], {"n": 2.5, "tags": [], "lang": "de"}, id="hen"),
    Row("a blue whale", [0.0, 2.0], {"n": 3, "flag": True}, id="whale"),
    Row("nothing of it", [-3.0, 0.0], {}, id="none"),
]


async def filled(store: VectorStore, metric: Metric = "cosine") -> None:
    """Make a collection with four rows."""
    await store.create("c", dimensions=2, metric=metric)
    assert await store.upsert("c", ROWS) == 4


async def ids(store: VectorStore, filter: Filter | None = None, vector: tuple[float, float] = (1.0, 0.0)) -> list[str]:
    """Return the ids of what is near."""
    return [hit.id for hit in await store.search("c", vector, 10, filter=filter)]


# --- collections ----------------------------------------------------------------------------------


async def test_collections_are_made_listed_and_dropped(store: VectorStore) -> None:
    """A collection is made once, with its shape; the same again does nothing, another shape is refused."""
    assert await store.list() == []
    assert await store.create("b", dimensions=3, metric="l2")
    assert await store.create("a", dimensions=2)
    assert not await store.create("b", dimensions=3, metric="l2")
    with pytest.raises(CollectionConflict, match="3 dimensions and metric 'l2'"):
        await store.create("b", dimensions=4, metric="l2")
    with pytest.raises(CollectionConflict):
        await store.create("b", dimensions=3)
    await store.upsert("a", [Row("x", [1, 0])])
    assert await store.list() == [Collection("a", 2, "cosine", 1), Collection("b", 3, "l2", 0)]
    assert await store.drop("a")
    assert not await store.drop("a")
    assert [found.name for found in await store.list()] == ["b"]
    assert await store.create("a", dimensions=5)
    assert await store.count("a") == 0


async def test_an_unknown_collection_is_named(store: VectorStore) -> None:
    """Every call about a collection that is not there fails with its name, and is a LookupError."""
    await store.create("there", dimensions=2)
    for call in (
        lambda: store.upsert("gone", [Row("x", [1.0, 0.0])]),
        lambda: store.delete("gone", ids=["x"]),
        lambda: store.get("gone", ["x"]),
        lambda: store.count("gone"),
        lambda: store.search("gone", [1.0, 0.0]),
        lambda: store.search_text("gone", "x"),
    ):
        with pytest.raises(UnknownCollection, match="'gone'") as caught:
            await call()
        assert isinstance(caught.value, LookupError)


async def test_what_is_kept_outlives_the_store_object(vectors: Any) -> None:
    """What one store wrote another one finds, also after the first is closed; closing twice does no harm."""
    async with vectors.store() as first:
        await filled(first)
    await first.aclose()
    async with vectors.store() as second:
        assert await ids(second) == ["fox", "hen", "whale", "none"]
        assert [hit.id for hit in await second.search_text("c", "whale")] == ["whale"]


async def test_a_store_that_is_not_open_says_so(vectors: Any) -> None:
    """Before `open` and after `aclose` each call fails; a closed store can be opened again."""
    store = vectors.store()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.list()
    async with store:
        await filled(store)
    for call in (
        lambda: store.create("d", dimensions=2),
        lambda: store.drop("c"),
        lambda: store.list(),
        lambda: store.upsert("c", ROWS),
        lambda: store.delete("c", ids=["fox"]),
        lambda: store.get("c", ["fox"]),
        lambda: store.count("c"),
        lambda: store.search("c", [1.0, 0.0]),
        lambda: store.search_text("c", "fox"),
    ):
        with pytest.raises(StoreUnavailable, match="not open"):
            await call()
    async with store:
        assert await store.count("c") == 4


# --- rows -----------------------------------------------------------------------------------------


async def test_rows_come_back_as_they_were(store: VectorStore) -> None:
    """Text, metadata with its kinds, and vectors in single precision come back; unknown ids are left out."""
    metadata = {"s": "ü", "i": 2**62, "f": 0.1, "t": True, "z": None, "l": [1, "x", None, False], "e": []}
    await store.create("c", dimensions=2)
    await store.upsert("c", [Row("ä text\nof lines", [0.1, -2.5], metadata, id="x"), Row("other", (3, 4))])
    other = Row("other", [3.0, 4.0])
    found = await store.get("c", [other.id, "nothing", "x", "x"])
    assert [(row.id, row.text, row.metadata) for row in found] == [
        (other.id, "other", {}),
        ("x", "ä text\nof lines", metadata),
    ]
    assert [[*row.vector] for row in found] == [[3.0, 4.0], [*array("f", [0.1, -2.5])]]
    assert await store.get("c", []) == []
    assert await store.get("c", ["\0", "\ud800", "x" * 5000]) == []


async def test_a_row_replaces_those_with_its_id_or_its_text(store: VectorStore) -> None:
    """A collection holds no id and no text twice: the newest row stays, in the vectors and in the words too."""
    await store.create("c", dimensions=2)
    await store.upsert("c", [Row("one", [1, 0], id="a"), Row("two", [0, 1], id="b")])
    await store.upsert("c", [Row("three", [1, 0], {"v": 2}, id="a")])
    assert await store.search_text("c", "one") == []
    assert [(row.text, row.metadata) for row in await store.get("c", ["a"])] == [("three", {"v": 2})]
    await store.upsert("c", [Row("two", [1, 1], id="c")])
    assert await store.count("c") == 2
    assert await store.get("c", ["b"]) == []
    assert await ids(store) == ["a", "c"]
    # One row that takes the place of two.
    await store.upsert("c", [Row("two", [1, 0], id="a")])
    assert [(hit.id, hit.text) for hit in await store.search("c", [1, 0])] == [("a", "two")]
    assert await store.search_text("c", "three") == []


async def test_of_rows_that_collide_in_a_batch_the_last_stays(store: VectorStore) -> None:
    """Within one call the same holds, and the answer counts what was stored."""
    await store.create("c", dimensions=2)
    batch = [Row("x", [1, 0], id="1"), Row("y", [1, 0], id="1"), Row("y", [0, 1], id="2"), Row("x", [1, 1], id="3")]
    assert await store.upsert("c", batch) == 2
    assert sorted((row.id, row.text) for row in await store.get("c", ["1", "2", "3"])) == [("2", "y"), ("3", "x")]
    assert await store.upsert("c", []) == 0
    assert await store.upsert("c", iter([Row("z", [1, 0])])) == 1


async def test_a_batch_with_a_bad_row_changes_nothing(store: VectorStore) -> None:
    """The error names the row; the good ones before it are not stored either."""
    await filled(store)
    with pytest.raises(DimensionMismatch, match=r"rows\[1\].vector has 3 dimensions and the collection 2"):
        await store.upsert("c", [Row("new", [1, 0]), Row("bad", [1, 0, 0])])
    assert await store.count("c") == 4
    assert await store.search_text("c", "new") == []


async def test_rows_are_deleted_by_ids_and_by_filter(store: VectorStore) -> None:
    """Deleted rows are found by nothing; with both ids and filter, both must hold; with neither, nothing happens."""
    await filled(store)
    assert await store.delete("c", ids=["fox", "fox", "unknown"]) == 1
    assert await ids(store) == ["hen", "whale", "none"]
    assert await store.search_text("c", "fox") == []
    assert await store.delete("c", ids=["hen", "whale"], filter=field("n") > 2.6) == 1
    assert await store.delete("c", filter=field("lang") == "de") == 1
    assert await store.delete("c", ids=[]) == 0
    assert await ids(store) == ["none"]
    with pytest.raises(InputRejected, match="drop the collection"):
        await store.delete("c")
    with pytest.raises(InputRejected, match=r"write \['none'\]"):
        await store.delete("c", ids="none")
    with pytest.raises(InputRejected, match="an id must be a text"):
        await store.delete("c", ids=[1])  # pyright: ignore[reportArgumentType]


async def test_many_changes_leave_what_a_plain_search_finds(store: VectorStore) -> None:
    """After hundreds of upserts and deletes, searches agree with comparing everything one by one."""
    random_ = random.Random(7)
    await store.create("c", dimensions=3, metric="dot")
    kept: dict[str, tuple[Row, int]] = {}
    for step in range(12):
        batch = [
            Row(
                f"text {step} {n}",
                [random_.uniform(-1, 1) for _ in range(3)],
                {"n": n},
                id=f"r{random_.randrange(150)}",
            )
            for n in range(40)
        ]
        await store.upsert("c", batch)
        kept |= {row.id: (row, n) for n, row in enumerate(batch)}
        gone = random_.sample(sorted(kept), len(kept) // 3)
        assert await store.delete("c", ids=gone) == len(gone)
        for id in gone:
            del kept[id]
        query = [random_.uniform(-1, 1) for _ in range(3)]
        scores = {id: sum(a * b for a, b in zip(row.vector, query, strict=True)) for id, (row, _) in kept.items()}
        for low in (0, 30, 38):
            found = await store.search("c", query, 5, filter=field("n") >= low if low else None)
            best = sorted((id for id, (_, n) in kept.items() if n >= low), key=lambda id: -scores[id])[:5]
            assert [hit.id for hit in found] == best
            assert [hit.score for hit in found] == pytest.approx([scores[id] for id in best], abs=1e-5)
    assert await store.count("c") == len(kept)


async def test_rows_of_one_collection_are_not_in_another(store: VectorStore) -> None:
    """The same ids and texts live in two collections, and one is searched, changed and dropped without the other."""
    for name in ("c", "d"):
        await store.create(name, dimensions=2)
        await store.upsert(name, [Row("twin", [1, 0], {"in": name}, id="same")])
    assert await store.delete("d", ids=["same"]) == 1
    assert [hit.metadata for hit in await store.search("c", [1, 0])] == [{"in": "c"}]
    assert await store.search("d", [1, 0]) == []
    assert await store.search_text("d", "twin") == []
    await store.drop("d")
    assert [hit.metadata for hit in await store.search_text("c", "twin")] == [{"in": "c"}]


# --- search ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "scores"),
    [
        ("cosine", {"fox": 1.0, "hen": 0.8, "whale": 0.0, "none": -1.0}),
        ("dot", {"fox": 1.0, "hen": 0.8, "whale": 0.0, "none": -3.0}),
        ("l2", {"fox": 0.0, "hen": -math.sqrt(0.4), "whale": -math.sqrt(5.0), "none": -4.0}),
    ],
)
async def test_scores_are_those_of_the_metric(store: VectorStore, metric: Metric, scores: dict[str, float]) -> None:
    """Cosine, inner product, or minus the distance, highest first; the same whether the collection or the call asks."""
    await filled(store, metric)
    for asked in (None, metric):
        hits = await store.search("c", [1.0, 0.0], metric=asked)
        assert {hit.id: hit.score for hit in hits} == pytest.approx(scores, abs=1e-6)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    other: Metric = "dot" if metric == "l2" else "l2"
    assert [hit.id for hit in await store.search("c", [-3.0, 0.0], 1, metric=other)] == ["none"]
    assert [hit.id for hit in await store.search("c", [0.0, 0.1], 1, metric="cosine")] == ["whale"]


async def test_hits_carry_the_row_and_its_vector_if_asked(store: VectorStore) -> None:
    """A hit has text and metadata; the vector is there where it was asked for, and is the caller's own."""
    await filled(store)
    [hit] = await store.search("c", [1.0, 0.0], 1)
    assert (hit.text, hit.metadata, hit.vector) == ("the red fox runs", ROWS[0].metadata, None)
    for hits in (
        await store.search("c", [1.0, 0.0], 1, with_vectors=True),
        await store.search_text("c", "fox", 1, with_vectors=True),
    ):
        assert [*(hits[0].vector or ())] == [1.0, 0.0]
        hits[0].vector[0] = 9.0  # type: ignore[index]
    assert [[*row.vector] for row in await store.get("c", ["fox"])] == [[1.0, 0.0]]


async def test_rows_without_direction_are_not_found_by_cosine(store: VectorStore) -> None:
    """Zeros are kept where the metric allows them; a search by cosine leaves them out."""
    await store.create("c", dimensions=2, metric="l2")
    await store.upsert("c", [Row("zero", [0.0, 0.0]), Row("one", [1.0, 0.0])])
    assert [hit.text for hit in await store.search("c", [0.0, 0.0])] == ["zero", "one"]
    assert [(hit.text, hit.score) for hit in await store.search("c", [-2.0, 0.0], metric="cosine")] == [("one", -1.0)]


async def test_vectors_of_any_sequence_are_taken(store: VectorStore) -> None:
    """Lists, tuples, arrays of either precision and numpy arrays are the same vector."""
    import numpy

    await store.create("c", dimensions=2)
    vectors: list[Any] = [[0.5, 1.0], (0.5, 1), array("f", [0.5, 1.0]), array("d", [0.5, 1.0]), numpy.array([0.5, 1.0])]
    await store.upsert("c", [Row(f"t{n}", vector) for n, vector in enumerate(vectors)])
    for vector in vectors:
        assert [hit.score for hit in await store.search("c", vector)] == pytest.approx([1.0] * 5)


async def test_more_hits_than_an_index_looks_at(store: VectorStore) -> None:
    """`k` of some hundreds gives as many, and no row twice."""
    await store.create("c", dimensions=2)
    await store.upsert("c", [Row(f"t{n}", [1.0, n / 100]) for n in range(500)])
    hits = await store.search("c", [1.0, 0.0], 400)
    assert [hit.text for hit in hits] == [f"t{n}" for n in range(400)]


# --- full text ------------------------------------------------------------------------------------


async def test_words_find_texts(store: VectorStore) -> None:
    """Texts with more and rarer words of the query come first; scores fall; a filter holds here too."""
    await filled(store)
    assert [hit.id for hit in await store.search_text("c", "RED hen")] == ["hen", "fox"]
    hits = await store.search_text("c", "red fox whale", 10)
    assert {hit.id for hit in hits} == {"fox", "hen", "whale"}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(await store.search_text("c", "red fox whale", 2)) == 2
    assert [hit.id for hit in await store.search_text("c", "red", filter=field("lang") == "de")] == ["hen"]
    assert await store.search_text("c", "absent") == []


QUERIES = [*NASTY, "fox OR NOT (hen", "fox & | !", "-fox", '"fox', "fox:*", "NEAR(fox)", "text:fox", "fox' - \"hen"]


async def test_queries_have_no_syntax(store: VectorStore) -> None:
    """Signs and words of query languages are no more than what they are: nothing fails, nothing is left out."""
    await filled(store)
    for query in QUERIES:
        found = [hit.id for hit in await store.search_text("c", query)]
        assert ("fox" in found) == ("fox" in query), query
    with pytest.raises(InputRejected, match="query"):
        await store.search_text("c", "")


async def test_long_queries_and_long_texts_are_no_failure(store: VectorStore) -> None:
    """A query of many words uses some of them, a text of a megabyte is found by its beginning."""
    await store.create("c", dimensions=1)
    await store.upsert("c", [Row("needle " + "".join(f"w{n} " for n in range(150_000))[: 1024 * 1024 - 8], [1.0])])
    assert len(await store.search_text("c", "needle")) == 1
    assert len(await store.search_text("c", "needle " + " ".join(f"x{n}" for n in range(5000)))) == 1
    assert await store.search_text("c", "x" * 5000) == []


# --- filters --------------------------------------------------------------------------------------

ODD: list[Any] = [
    {},
    {"v": None},
    {"v": 0},
    {"v": 1},
    {"v": 1.0},
    {"v": -0.0},
    {"v": 0.1 + 0.2},
    {"v": 2**53 + 1},
    {"v": 2**62 + 1},
    {"v": 1e300},
    {"v": True},
    {"v": False},
    {"v": ""},
    {"v": "1"},
    {"v": "true"},
    {"v": "Zebra"},
    {"v": "apple"},
    {"v": "äpfel"},
    {"v": "🂡"},
    {"v": "a%b_c\\d'e\"f"},
    {"v": []},
    {"v": [1, "x", None, True]},
    {"v": [[]][:0]},
    {"v": ["a%b", "1", 0.1 + 0.2]},
    {"v.w": 1, 'v"w': 2, "v\\w": 3, "v'w": 4, "$": 5, "ü": 6, "v\nw": 7, " ": 8, "0": 9},
]
"""Metadata that databases see differently from one another."""

VALUES: list[Any] = [None, 0, 1, 1.0, 0.3, 0.1 + 0.2, 2**53 + 1, 2**62 + 1, 2**62, 1e300, -5, True, False, "", "1",
                     "true", "Zebra", "apple", "b", "äpfel", "z", "🂡", "%", "a%b", "_c\\", "'e", "x"]  # fmt: skip


def conditions() -> list[Filter]:
    """Return every comparison with every value, and some of keys that mean something to a database."""
    found: list[Filter] = []
    for value in VALUES:
        found += [Compare("v", "eq", value), field("v") != value, ~Compare("v", "lte", 1), Contains("v", value)]
        if value is not None and not isinstance(value, bool):
            found += [field("v") < value, field("v") <= value, field("v") > value, field("v") >= value]
    for number, key in enumerate(["v.w", 'v"w', "v\\w", "v'w", "$", "ü", "v\nw", " ", "0"], 1):
        found += [field(key) == number, field(key) > number - 1]
    found += [field("v").is_in(VALUES[:8]), ~field("v").is_in(["1", True]), AllOf(()), AnyOf(()), ~AllOf(())]
    found += [(field("v") > 0) & (field("v") < 2) | ~(field("v") >= "a") & ~Contains("v", 1)]
    return found


async def test_filters_mean_the_same_everywhere(store: VectorStore) -> None:
    """Each comparison, with each kind of value and odd keys, holds for the rows for which `matches` says so."""
    await store.create("c", dimensions=1)
    await store.upsert("c", [Row(f"t{n}", [1.0], data, id=str(n)) for n, data in enumerate(ODD)])
    for filter in conditions():
        wanted = {str(n) for n, data in enumerate(ODD) if matches(filter, data)}
        assert {hit.id for hit in await store.search("c", [1.0], 100, filter=filter)} == wanted, filter
        assert await store.count("c", filter) == len(wanted), filter


async def test_nothing_is_injected(store: VectorStore) -> None:
    """Names, ids, texts, keys and values that look like code are kept and found as they are, and do nothing."""
    await filled(store)
    for nasty in NASTY:
        await store.create(nasty, dimensions=2)
        await store.upsert(
            nasty, [Row(nasty, [1.0, 0.0], {nasty: nasty, "list": [nasty]}, id=nasty), Row("b", [0.0, 1.0])]
        )
        for filter in (field(nasty) == nasty, field(nasty).contains(nasty), field("list").contains(nasty)):
            assert [hit.id for hit in await store.search(nasty, [1.0, 0.0], filter=filter)] == [nasty]
            assert [hit.text for hit in await store.search(nasty, [1.0, 0.0], filter=~filter)] == ["b"]
        assert [row.text for row in await store.get(nasty, [nasty])] == [nasty]
        assert await store.delete(nasty, ids=[nasty], filter=field(nasty) >= nasty) == 1
        assert sorted(found.name for found in await store.list()) == sorted(["c", nasty])
        assert await store.drop(nasty)
        assert await store.count("c") == 4


BAD_FILTERS: list[Any] = [
    Compare("x" * 1_000_000, "eq", 1),
    Compare("", "eq", 1),
    Compare("a\0", "eq", 1),
    Compare("a", "eq", "\ud800"),
    Compare("a", "eq", "x" * 100_000),
    Compare("a", "eq", math.nan),
    Compare("a", "eq", 2**64),
    Compare("a", "eq", cast("Any", [1])),
    Compare("a", "lt", True),
    Compare("a", "lt", None),
    Compare("a", cast("Any", "like; --"), 1),
    field("a").is_in(range(2000)),
    "a = 1",
]


async def test_a_filter_that_cannot_be_is_refused(store: VectorStore) -> None:
    """Keys of a megabyte, values of no kind and filters that are none are refused by name, in every call."""
    await filled(store)
    for filter in BAD_FILTERS:
        for call in (
            partial(store.search, "c", [1.0, 0.0], filter=filter),
            partial(store.search_text, "c", "fox", filter=filter),
            partial(store.count, "c", filter),
            partial(store.delete, "c", filter=filter),
        ):
            with pytest.raises(FilterRejected) as caught:
                await call()
            assert len(str(caught.value)) < 1000


async def test_a_filter_may_be_as_deep_as_allowed(store: VectorStore) -> None:
    """Thirty-two deep works, one more is refused, and so is one that would end the interpreter's stack."""
    await filled(store)
    filter: Filter = field("n") == 1
    for _ in range(30):
        filter = ~filter
    assert await store.count("c", filter & AllOf(())) == 1
    assert await store.count("c", field("n").is_in(range(999))) == 2
    for _ in range(10_000):
        filter = ~filter
    with pytest.raises(FilterRejected, match="32 deep"):
        await store.count("c", filter)


# --- what is refused ------------------------------------------------------------------------------


BAD_VECTORS: list[tuple[Any, type[Exception]]] = [
    ([1.0], DimensionMismatch),
    ([], DimensionMismatch),
    ([1.0] * 100_000, DimensionMismatch),
    ([math.nan, 1.0], VectorRejected),
    ([math.inf, 1.0], VectorRejected),
    ([math.inf, -math.inf], VectorRejected),
    ([1e300, 1.0], VectorRejected),
    ([1e30, 1.0], VectorRejected),
    ([0.0, 0.0], VectorRejected),
    ([1e-40, 0.0], VectorRejected),
    (["1", "2"], VectorRejected),
    (None, VectorRejected),
    ("ab", VectorRejected),
]


async def test_a_vector_that_cannot_be_compared_is_refused(store: VectorStore) -> None:
    """Wrong lengths, NaN, infinities and zeros under cosine are refused by name, in rows and in queries."""
    await filled(store)
    for vector, error in BAD_VECTORS:
        with pytest.raises(error, match=r"rows\[0\].vector"):
            await store.upsert("c", [Row("x", vector)])
        with pytest.raises(error, match="the vector"):
            await store.search("c", vector)
    assert await store.count("c") == 4


BAD_ROWS = [
    Row("", [1.0, 0.0], id="x"),
    Row("a\0b", [1.0, 0.0]),
    Row("a\ud800b", [1.0, 0.0]),
    Row("x" * (1024 * 1024 + 1), [1.0, 0.0]),
    Row("a", [1.0, 0.0], id="\0"),
    Row("a", [1.0, 0.0], id="\udfff"),
    Row("a", [1.0, 0.0], id="i" * 1_000_000),
    Row("a", [1.0, 0.0], {"k" * 1_000_000: 1}),
    Row("a", [1.0, 0.0], {"": 1}),
    Row("a", [1.0, 0.0], {"\0": 1}),
    Row("a", [1.0, 0.0], {1: 1}),  # pyright: ignore[reportArgumentType]
    Row("a", [1.0, 0.0], {"k": "\0"}),
    Row("a", [1.0, 0.0], {"k": ["\ud800"]}),
    Row("a", [1.0, 0.0], {"k": math.nan}),
    Row("a", [1.0, 0.0], {"k": 2**63}),
    Row("a", [1.0, 0.0], {"k": {"deep": 1}}),  # pyright: ignore[reportArgumentType]
    Row("a", [1.0, 0.0], {"k": [[1]]}),  # pyright: ignore[reportArgumentType]
    Row("a", [1.0, 0.0], {"k": b"x"}),
    Row("a", [1.0, 0.0], {"k": "x" * 70_000}),
    Row("a", [1.0, 0.0], {f"k{n}": "x" * 60_000 for n in range(3)}),
    Row("a", [1.0, 0.0], {f"k{n}": 1 for n in range(300)}),
    Row("a", [1.0, 0.0], [("k", 1)]),  # pyright: ignore[reportArgumentType]
    Row(7, [1.0, 0.0], id="x"),  # pyright: ignore[reportArgumentType]
]


async def test_a_row_that_cannot_be_kept_is_refused(store: VectorStore) -> None:
    """What some database cannot keep is refused by every store, by name, before anything is stored."""
    await filled(store)
    for row in BAD_ROWS:
        with pytest.raises(InputRejected, match=r"rows\[0\]") as caught:
            await store.upsert("c", [row])
        assert len(str(caught.value)) < 1000
        assert isinstance(caught.value, ValueError)
    assert await store.count("c") == 4


async def test_what_else_cannot_be_asked_is_refused(store: VectorStore) -> None:
    """Names, shapes, metrics, numbers of hits and queries of no meaning are refused by name."""
    await filled(store)
    wrong: Any
    for wrong in ("", "\0", "\ud800", "n" * 1_000_000, 7, None):
        for call in (
            partial(store.create, wrong, dimensions=2),
            partial(store.drop, wrong),
            partial(store.count, wrong),
            partial(store.search, wrong, [1.0, 0.0]),
        ):
            with pytest.raises(InputRejected, match="name of a collection"):
                await call()
    for wrong in (0, -1, 16_001, 2.0, True, None):
        with pytest.raises(InputRejected, match="dimensions"):
            await store.create("d", dimensions=wrong)
    for wrong in ("euclid", "l2; --", ["l2"], 1):
        with pytest.raises(InputRejected, match="no metric"):
            await store.create("d", dimensions=2, metric=wrong)
        with pytest.raises(InputRejected, match="no metric"):
            await store.search("c", [1.0, 0.0], metric=wrong)
    for wrong in (0, -1, 10_001, 1.0, True, None):
        with pytest.raises(InputRejected, match="k must be"):
            await store.search("c", [1.0, 0.0], wrong)
        with pytest.raises(InputRejected, match="k must be"):
            await store.search_text("c", "fox", wrong)
    for wrong in ("\0", "\ud800", 7, None):
        with pytest.raises(InputRejected, match="the query"):
            await store.search_text("c", wrong)
    assert [found.name for found in await store.list()] == ["c"]


# --- many at once ---------------------------------------------------------------------------------


async def test_many_tasks_use_one_store(store: VectorStore) -> None:
    """Writers and readers at once lose nothing and break nothing."""
    await store.create("c", dimensions=2)

    async def write(task: int) -> None:
        for step in range(4):
            rows = [Row(f"task {task} step {step} row {n}", [1.0, task + n / 100], {"task": task}) for n in range(10)]
            await store.upsert("c", [*rows, Row("shared", [1.0, 0.0], {"task": task})])
            assert len(await store.search("c", [1.0, task], 5, filter=field("task") == task)) == 5
            assert len(await store.search_text("c", f"step {step}", 3)) == 3

    async with anyio.create_task_group() as tasks:
        for task in range(6):
            tasks.start_soon(write, task)
    assert await store.count("c") == 6 * 40 + 1


async def test_a_cancelled_call_leaves_a_store_that_works(store: VectorStore) -> None:
    """Whoever gives up waiting leaves the whole batch or nothing of it."""
    await store.create("c", dimensions=2)
    rows = [Row(f"t{n}", [1.0, float(n)]) for n in range(2000)]

    async def write() -> None:
        await store.upsert("c", rows)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert await store.count("c") in {0, 2000}
    assert await store.upsert("c", rows) == 2000
    assert len(await store.search("c", [1.0, 0.0], 3)) == 3


async def test_a_dropped_collection_is_gone_for_other_stores(vectors: Any) -> None:
    """What another store object drops, fills or makes anew, in another shape, is seen at the next call."""
    async with vectors.store() as one, vectors.store() as two:
        await filled(one)
        assert await ids(two) == ["fox", "hen", "whale", "none"]
        await one.upsert("c", [Row("newest", [1.0, 0.0], id="new")])
        await one.delete("c", ids=["fox", "hen"])
        assert await ids(two) == ["new", "whale", "none"]
        await one.drop("c")
        with pytest.raises(UnknownCollection):
            await two.search("c", [1.0, 0.0])
        await one.create("c", dimensions=3, metric="l2")
        await one.upsert("c", [Row("deep", [1.0, 0.0, 2.0])])
        assert [hit.score for hit in await two.search("c", [1.0, 0.0, 0.0])] == [-2.0]
        assert await two.upsert("c", [Row("deeper", [1.0, 0.0, 3.0])]) == 1
