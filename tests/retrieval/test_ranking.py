"""Fusion, reranking, variety and measures of quality."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors import ActorSystem, Function
from tinyllm_actors.errors import FunctionFailed, InputRejected, MalformedResponse, UnknownCollection, VectorRejected
from tinyllm_actors.retrieval import (
    Hit,
    MemoryVectorStore,
    Row,
    field,
    hybrid_search,
    maximal_marginal_relevance,
    ndcg_at,
    normalised,
    recall_at,
    reciprocal_rank,
    reciprocal_rank_fusion,
    rerank,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

pytestmark = pytest.mark.anyio


def hit(id: str, score: float = 0.0, vector: Sequence[float] | None = None) -> Hit:
    """Return a hit whose text is its id."""
    return Hit(id, id, {}, score, vector)


# --- fusion ---------------------------------------------------------------------------------------


def test_fusion_adds_reciprocal_ranks() -> None:
    """Scores are sums of weight over constant plus place; equal ones stay in the order in which they came."""
    fused = reciprocal_rank_fusion([[hit("a"), hit("b")], [hit("b"), hit("c")]], weights=[1.0, 2.0], constant=10.0)
    assert {found.id: found.score for found in fused} == pytest.approx({"a": 1 / 11, "b": 1 / 12 + 2 / 11, "c": 2 / 12})
    assert [found.id for found in fused] == ["b", "c", "a"]
    assert [found.id for found in reciprocal_rank_fusion([[hit("x")], [hit("y")]])] == ["x", "y"]
    assert reciprocal_rank_fusion([]) == []


def test_fusion_keeps_the_vector_that_one_ranking_has() -> None:
    """A hit that only one search found with its vector keeps it."""
    for rankings in ([[hit("a")], [hit("a", vector=[1.0])]], [[hit("a", vector=[1.0])], [hit("a")]]):
        [fused] = reciprocal_rank_fusion(rankings)
        assert fused.vector == [1.0]


@pytest.mark.parametrize(
    "options", [{"weights": [1.0]}, {"weights": [1.0, -1.0]}, {"constant": -1}, {"constant": math.nan}]
)
def test_fusion_refuses_senseless_numbers(options: dict[str, Any]) -> None:
    """A weight for each ranking, none of them negative."""
    with pytest.raises(InputRejected, match="need 2 weights"):
        reciprocal_rank_fusion([[], []], **options)


def test_scores_are_stretched_to_one() -> None:
    """The best has 1 and the worst 0; where all are equal they have 1, and of none there is none."""
    assert [found.score for found in normalised([hit("a", -1), hit("b", -3), hit("c", -2)])] == [1.0, 0.0, 0.5]
    assert [found.score for found in normalised([hit("a", 7), hit("b", 7)])] == [1.0, 1.0]
    assert normalised([]) == []


# --- hybrid ---------------------------------------------------------------------------------------


@pytest.fixture
async def store() -> AsyncIterator[MemoryVectorStore]:
    """Return a store with words in one text and nearness in another."""
    async with MemoryVectorStore() as store:
        await store.create("c", dimensions=2)
        rows = [Row("error 4711 in pump", [0.0, 1.0], {"n": 1}, id="worded")]
        rows += [Row(f"noise {n}", [1.0, n / 10], {"n": n}, id=f"near{n}") for n in range(2, 30)]
        await store.upsert("c", rows)
        yield store


async def test_hybrid_search_finds_by_either(store: MemoryVectorStore) -> None:
    """What only words find and what only nearness finds are both among the first, as the weights say."""
    found = await hybrid_search(store, "c", "what is 4711", [1.0, 0.0], 2)
    assert {hit.id for hit in found} == {"worded", "near2"}
    assert found[0].score == pytest.approx(1 / 61)
    one: Any = {"vector_weight": 0.1, "candidates": 1}
    assert [hit.id for hit in await hybrid_search(store, "c", "4711", [1.0, 0.0], 1, **one)] == ["worded"]
    only = await hybrid_search(store, "c", "4711", [1.0, 0.0], 3, filter=field("n") > 5, with_vectors=True)
    assert [hit.id for hit in only] == ["near6", "near7", "near8"]
    assert all(hit.vector is not None for hit in only)


async def test_hybrid_search_fails_as_its_searches_do(store: MemoryVectorStore) -> None:
    """The error of a search arrives as it is, not in a group; senseless numbers are refused before any."""
    with pytest.raises(UnknownCollection):
        await hybrid_search(store, "gone", "x", [1.0, 0.0])
    with pytest.raises(VectorRejected):
        await hybrid_search(store, "c", "x", [1.0])
    wrong: list[Any] = [{"k": 0}, {"k": 5, "candidates": 4}, {"text_weight": -1}]
    for options in wrong:
        with pytest.raises(InputRejected):
            await hybrid_search(store, "c", "x", [1.0, 0.0], **options)


# --- rerank ---------------------------------------------------------------------------------------


class Judge:
    """Scores what it is told to."""

    def __init__(self, *scores: Any) -> None:
        self.scores = scores
        self.seen: list[str] = []

    async def score(self, query: str, texts: list[str]) -> Sequence[float]:
        assert query == "q"
        self.seen = texts
        return self.scores


async def test_a_scorer_gives_the_order() -> None:
    """Hits come in the scorer's order with its scores, cut to `k`; texts are shortened for it; none asks nobody."""
    judge = Judge(0.1, 3, 0.2)
    found = await rerank("q", [hit("aaa", 9), hit("bb", 8), hit("c", 7)], judge, 2, max_characters=2)
    assert [(hit.id, hit.score) for hit in found] == [("bb", 3.0), ("c", 0.2)]
    assert judge.seen == ["aa", "bb", "c"]
    assert await rerank("q", [], Judge(1)) == []


@pytest.mark.parametrize("scores", [(1.0,), (1.0, 2.0, 3.0), (math.nan, 1.0), (math.inf, 1.0)])
async def test_a_scorer_that_miscounts_is_named(scores: tuple[float, ...]) -> None:
    """One finite number for each text, or it is the scorer's failure."""
    with pytest.raises(MalformedResponse, match="the scorer gave"):
        await rerank("q", [hit("a"), hit("b")], Judge(*scores))


class ByLength(Function):
    """Scores texts by their length."""

    async def run(self, query: str, texts: list[str]) -> dict[str, list[float]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if query == "fail":
            raise ValueError("no")
        return {"scores": [float(len(text)) for text in texts]}


async def test_a_function_is_a_scorer() -> None:
    """A reference to a Function scores by structural typing; its error dictionary is raised."""
    async with ActorSystem("service") as system:
        scorer: Any = await system.spawn(ByLength)
        assert [hit.id for hit in await rerank("q", [hit("a"), hit("bbb"), hit("cc")], scorer)] == ["bbb", "cc", "a"]
        with pytest.raises(FunctionFailed):
            await rerank("fail", [hit("a")], scorer)


def test_variety_takes_what_is_unlike() -> None:
    """With diversity the second choice is another direction; without, the order is that of nearness."""
    hits = [hit("a", vector=[1, 0]), hit("a2", vector=[2, 0.01]), hit("b", vector=[1, 1])]

    def order(diversity: float) -> list[str]:
        return [found.id for found in maximal_marginal_relevance([5, 0], hits, 3, diversity=diversity)]

    assert order(0.0) == ["a", "a2", "b"]
    assert order(0.55) == ["a", "b", "a2"]
    still = [*hits, hit("zero", vector=[0, 0])]
    assert [found.id for found in maximal_marginal_relevance([1, 0], still, 9, diversity=0.7)][:2] == ["a", "zero"]
    assert maximal_marginal_relevance([1, 0], [], 10) == []


@pytest.mark.parametrize(
    ("hits", "options"),
    [
        ([hit("a")], {}),
        ([hit("a", vector=[1.0])], {}),
        ([], {"k": 0}),
        ([], {"diversity": 1.1}),
        ([], {"diversity": math.nan}),
    ],
)
def test_variety_needs_vectors_and_sense(hits: list[Hit], options: dict[str, Any]) -> None:
    """Hits without vectors, or of another length, and numbers out of range are refused."""
    with pytest.raises(InputRejected):
        maximal_marginal_relevance([1.0, 0.0], hits, **options)


# --- measures -------------------------------------------------------------------------------------


def test_measures_of_quality_have_their_textbook_values() -> None:
    """Recall, reciprocal rank and nDCG of small rankings, worked by hand."""
    assert recall_at(1, ["a", "b"], {"a", "b"}) == 0.5
    assert recall_at(5, [], set()) == 1.0
    assert reciprocal_rank(["x", "y", "a"], {"a"}) == pytest.approx(1 / 3)
    assert reciprocal_rank(["x"], {"a"}) == 0.0
    gains = {"a": 3.0, "b": 2.0, "c": 1.0}
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg_at(3, ["b", "x", "a"], gains) == pytest.approx((2 + 3 / 2) / ideal)
    assert ndcg_at(3, ["a", "b", "c"], gains) == 1.0
    assert ndcg_at(1, ["a"], gains) == 1.0
    assert ndcg_at(3, ["a"], {}) == 1.0
