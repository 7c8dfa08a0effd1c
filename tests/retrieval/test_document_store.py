"""How documents are fitted to a budget of tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.retrieval import Document, DocumentStore, FittedDocuments, estimate_size

texts = st.text(st.sampled_from("ab é\n"), max_size=40)
stores = st.dictionaries(st.sampled_from("ABC"), st.lists(texts, max_size=8), max_size=3)


def _store(sections: dict[str, list[str]]) -> DocumentStore:
    store = DocumentStore()
    for name, contents in sections.items():
        store.add(name, map(Document, contents))
    return store


def _texts(documents: Mapping[str, tuple[object, ...]]) -> dict[str, list[str]]:
    return {name: [getattr(d, "content") for d in found] for name, found in documents.items()}  # noqa: B009


@given(stores, st.integers(0, 200), st.lists(st.floats(0, 1e308), min_size=3, max_size=3))
def test_the_budget_holds_and_nothing_that_fits_is_left_out(
    sections: dict[str, list[str]], budget: int, weights: list[float]
) -> None:
    """Whatever is stored and weighed: never more than the budget, and what is left out is larger than the rest."""
    store = _store(sections)
    fitted = store.fit(budget, weights={n: w for n, w in zip("ABC", weights, strict=True) if n in sections}, end="E")
    assert fitted.size == estimate_size(fitted.text) <= budget
    for name, documents in store.sections.items():
        shown, left = fitted.sections.get(name, ()), fitted.left_out.get(name, ())
        assert sorted(map(id, (*shown, *left))) == sorted(map(id, documents))
    if not fitted.text:
        return
    # What the pieces take, one by one: the measure by which the rule decides.
    frame = estimate_size("-----SUPPORTING DOCS-----\n\nE")
    used = sum(estimate_size(name + "\n\n") for name in fitted.sections)
    used += sum(estimate_size(d.to_text() + "\n\n") for found in fitted.sections.values() for d in found)
    for name, left in fitted.left_out.items():
        title = 0 if name in fitted.sections else estimate_size(name + "\n\n")
        assert all(frame + used + title + estimate_size(d.to_text() + "\n\n") > budget for d in left)


@given(stores, st.integers(0, 200))
def test_the_budget_holds_for_any_counter(sections: dict[str, list[str]], budget: int) -> None:
    """A counter that finds more in the whole than in its parts does not break the budget."""
    store = DocumentStore(lambda text: len(text) ** 2 // 50)
    for name, contents in sections.items():
        store.add(name, map(Document, contents))
    fitted = store.fit(budget)
    assert len(fitted.text) ** 2 // 50 == fitted.size <= budget


def _fit(budget: int, weights: dict[str, float] | None = None) -> FittedDocuments:
    store = DocumentStore(len)
    store.add("A", [Document("a" * 8), Document("b" * 8), Document("c" * 8)])
    store.add("B", [Document("d" * 8), Document("e" * 8)])
    return store.fit(budget, weights=weights, start="", end="")


def test_shares_follow_the_weights() -> None:
    """With 45 tokens for documents of 10 and titles of 3, thirds give two documents to A and one to B."""
    assert _texts(_fit(47, {"A": 2, "B": 1}).sections) == {"A": ["a" * 8, "b" * 8], "B": ["d" * 8]}


def test_the_rest_goes_to_the_heaviest_first() -> None:
    """What B does not use is A's, if A weighs more; and a section of weight 0 gets what the others leave."""
    assert _texts(_fit(48, {"A": 2, "B": 1}).sections) == {"A": ["a" * 8, "b" * 8, "c" * 8], "B": ["d" * 8]}
    assert _texts(_fit(57, {"A": 0, "B": 9}).sections) == {"A": ["a" * 8, "b" * 8], "B": ["d" * 8, "e" * 8]}
    assert _texts(_fit(57, {"A": 0, "B": 0}).sections) == {"A": ["a" * 8, "b" * 8, "c" * 8], "B": ["d" * 8]}


def test_a_large_document_does_not_hide_a_small_one() -> None:
    """A document that does not fit is passed over, and told of."""
    store = DocumentStore(len)
    store.add("A", [Document("x" * 1000), Document("small")])
    fitted = store.fit(100, start="", end="")
    assert fitted.text == "\nA\n\nsmall\n\n"
    assert _texts(fitted.left_out) == {"A": ["x" * 1000]}


def test_what_looks_the_same_is_kept_once() -> None:
    """The section that had a document first keeps it, in its place."""
    store = _store({"A": ["one", "two", "one"], "B": ["two", "three"]})
    assert _texts(store.sections) == {"A": ["one", "two"], "B": ["three"]}


def test_too_small_a_budget_shows_nothing() -> None:
    """Where not even the frame fits, the text is empty and everything left out."""
    fitted = _store({"A": ["one"]}).fit(3)
    assert (fitted.text, fitted.size, fitted.sections) == ("", 0, {})
    assert DocumentStore().fit(100).sections == {}


@pytest.mark.parametrize(
    ("budget", "weights"), [(-1, {}), (9, {"A": -1.0}), (9, {"A": math.nan}), (9, {"A": math.inf}), (9, {"gone": 1.0})]
)
def test_senseless_numbers_are_refused(budget: int, weights: dict[str, float]) -> None:
    """A negative budget, a weight that is none, and a weight of no section are errors that name the value."""
    with pytest.raises(ConfigurationError, match=r"budget=-1|weights"):
        _store({"A": ["one"]}).fit(budget, weights=weights)
