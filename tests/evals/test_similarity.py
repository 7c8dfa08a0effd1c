"""Evaluators that compare by meaning: with the embedded model, against pairs that people labelled."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from tinyllm_actors import run
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.evals import RetrievalEvaluator, SemanticMatch
from tinyllm_actors.evals import similarity as module
from tinyllm_actors.testing import HashEmbeddings

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("wordllama") is None, reason="the weights of the embedded model are not installed"
)

SAME = [
    ("The invoice is sent by mail every month.", "Every month an invoice goes out by mail."),
    ("You can reset your password in the settings.", "Passwords are reset under settings."),
    ("The office is closed on public holidays.", "On public holidays our office is closed."),
]
OTHER = [
    ("The invoice is sent by mail every month.", "The cat sleeps on the sofa."),
    ("You can reset your password in the settings.", "Bake the bread for forty minutes."),
    ("The office is closed on public holidays.", "Quantum computers use qubits."),
]


def scored(spec: Any, output: Any) -> dict[str, Any]:
    """Return the result of an evaluator."""
    return dict(run(spec, input={}, output=output, error=None))


@needs_weights
def test_the_embedded_model_tells_labelled_pairs_apart() -> None:
    """Every pair that says the same is nearer than every pair that does not, and a threshold of 0.6 parts them."""
    same = [scored(SemanticMatch.spec("local", expected=a, threshold=0.6), b)["output"]["evals"] for a, b in SAME]
    other = [scored(SemanticMatch.spec("local", expected=a, threshold=0.6), b)["output"]["evals"] for a, b in OTHER]
    assert [evals["semantic_match"] for evals in (*same, *other)] == [1.0] * 3 + [0.0] * 3
    nearest = max(evals["semantic_similarity"] for evals in other)
    assert min(evals["semantic_similarity"] for evals in same) > nearest + 0.2


@needs_weights
def test_retrieval_with_the_embedded_model() -> None:
    """Of a labelled set the precision, recall and rank are those counted by hand, for other words too."""
    truth = [SAME[0][0], SAME[1][0]]
    retrieved = ["The cat sleeps on the sofa.", SAME[0][1], "Quantum computers use qubits.", SAME[0][0]]
    evals = scored(RetrievalEvaluator.spec("local", truth=truth, threshold=0.6), {"contexts": retrieved})["output"][
        "evals"
    ]
    assert evals["retrieval_precision"] == 0.5
    assert evals["retrieval_recall"] == 0.5
    assert evals["reciprocal_rank"] == 0.5
    assert 0.5 < evals["truth_similarity"] < 0.8  # one is there word by word, the other is not


def test_the_nearest_of_several_counts() -> None:
    """Of several right texts the nearest is compared; no answer is like none of them."""
    spec = SemanticMatch.spec(HashEmbeddings(256), expected=["a red fox", "a tax form"])
    assert scored(spec, "the tax form")["output"]["evals"]["semantic_similarity"] > 0.5
    assert scored(spec, " ")["output"]["evals"] == {"semantic_similarity": 0.0, "semantic_match": 0.0}


@pytest.mark.parametrize(
    ("truth", "retrieved", "scores"),
    [
        ([{"id": "n1", "text": "a"}], [{"id": "n1", "text": "b"}], (1.0, 1.0, 1.0)),
        (["the sky is blue"], ["By day the  sky is blue."], (1.0, 1.0, 1.0)),
        (["By day the sky is blue."], ["sky is", "fox"], (0.5, 1.0, 1.0)),
        (["fox"], [""], (0.0, 0.0, 0.0)),
        (["fox", "box"], [], (0.0, 0.0, 0.0)),
        (["fox"], ["tax", "rat", "fox"], (1 / 3, 1.0, 1 / 3)),
    ],
    ids=["id", "inside", "around", "empty", "nothing", "rank"],
)
def test_retrieval_counted_by_hand(truth: Any, retrieved: Any, scores: Any) -> None:
    """Passages are the same by id, by text, or by meaning."""
    spec = RetrievalEvaluator.spec(HashEmbeddings(1024), truth=truth, threshold=0.95)
    evals = scored(spec, {"contexts": retrieved})["output"]["evals"]
    found = (evals["retrieval_precision"], evals["retrieval_recall"], evals["reciprocal_rank"])
    assert found == pytest.approx(scores)


def test_retrieval_that_cannot_be_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without truth, without passages, or with too many, there is no score; a threshold is a cosine."""
    monkeypatch.setattr(module, "MAX_PASSAGES", 2)
    assert "no true passages" in scored(RetrievalEvaluator.spec(HashEmbeddings()), {"contexts": []})["message"]
    spec = RetrievalEvaluator.spec(HashEmbeddings(), truth=["a"])
    assert "no list" in scored(spec, "text")["message"]
    assert "more than the 2" in scored(spec, {"contexts": ["a", "b", "c"]})["message"]
    with pytest.raises(ConfigurationError, match="cosine"):
        SemanticMatch(threshold=2.0)
