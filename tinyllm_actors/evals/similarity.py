"""Evaluators that compare by meaning, with vectors of an embedding model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.errors import ConfigurationError, EvaluationFailed
from tinyllm_actors.evals.evaluator import Evaluator
from tinyllm_actors.evals.matching import expected_of
from tinyllm_actors.evals.reading import Passage, answer_of, passages_of, text_of
from tinyllm_actors.function import unwrap
from tinyllm_actors.llm import Embedder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.llm import EmbeddingModel, Vector

__all__ = ["RetrievalEvaluator", "SemanticMatch"]

MAX_PASSAGES = 1000


class _Embedding(Evaluator):
    """An evaluator with an embedding model of its own."""

    def __init__(self, embedding: str | EmbeddingModel, threshold: float, **options: Any) -> None:
        super().__init__(**options)
        if not -1 <= threshold <= 1:
            raise ConfigurationError(f"threshold is a cosine from -1 to 1, not {threshold!r}")
        self._threshold = threshold
        self._embedding = embedding
        self._embedder: FunctionRef | None = None

    async def started(self) -> None:
        """Start the embedding model's Function."""
        self._embedder = await self.context.spawn(Embedder.spec(self._embedding, normalize=True), name="embedder")
        await super().started()

    async def vectors(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return a vector of length 1 for each text."""
        assert self._embedder is not None
        return unwrap(await self._embedder.within(None)(texts=list(texts)))["embeddings"].vectors


def _cosine(one: Vector, other: Vector) -> float:
    return max(-1.0, min(1.0, math.fsum(x * y for x, y in zip(one, other, strict=True))))


class SemanticMatch(_Embedding):
    """Scores `semantic_similarity`, the cosine of answer and expected text, and `semantic_match`, if that is enough.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.evals import SemanticMatch
    >>> from tinyllm_actors.testing import HashEmbeddings
    >>> spec = SemanticMatch.spec(HashEmbeddings(), expected="a red fox")
    >>> run(spec, input={}, output="a RED fox", error=None)["output"]["evals"]["semantic_match"]
    1.0

    ```

    Args:
        embedding: a model, or a name such as `"local"` or `"openai/text-embedding-3-small"`.
        expected: the text, or several of which the nearest counts; left out, that of the example.
        threshold: the cosine from which it matches. It depends on the model: look at scores of known pairs first.
        **options: of `Evaluator`.
    """

    def __init__(
        self, embedding: str | EmbeddingModel = "local", *, expected: Any = None, threshold: float = 0.8, **options: Any
    ) -> None:
        super().__init__(embedding, threshold, **options)
        self._expected = expected

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Compare."""
        answer = answer_of(output)
        expected = expected_of(self, self._expected)
        right = cast("list[Any]", expected) if isinstance(expected, list) else [expected]
        if not answer.strip():
            return {"evals": {"semantic_similarity": 0.0, "semantic_match": 0.0}, "comment": "there is no answer"}
        found, *wanted = await self.vectors([answer, *map(text_of, right)])
        similarity = max(_cosine(found, vector) for vector in wanted)
        return {
            "evals": {"semantic_similarity": similarity, "semantic_match": float(similarity >= self._threshold)},
        }


class RetrievalEvaluator(_Embedding):
    """Scores what was retrieved against what should have been.

    A passage is relevant if it has the id of a true one, if one of the two texts holds the other, or if their cosine
    reaches the threshold.

    | score | what it is |
    |---|---|
    | `retrieval_precision` | the share of the retrieved passages that are relevant |
    | `retrieval_recall` | the share of the true passages that were found |
    | `reciprocal_rank` | 1 / the place of the first relevant passage; 0 if there is none |
    | `truth_similarity` | for each true passage the cosine of the nearest retrieved one, on average |

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.evals import RetrievalEvaluator
    >>> from tinyllm_actors.testing import HashEmbeddings
    >>> spec = RetrievalEvaluator.spec(HashEmbeddings(256), truth=["The sky is blue.", "Grass is green."])
    >>> output = {"contexts": ["Cats purr loudly.", "The sky is blue."]}
    >>> evals = run(spec, input={}, output=output, error=None)["output"]["evals"]
    >>> {name: evals[name] for name in ("retrieval_precision", "retrieval_recall", "reciprocal_rank")}
    {'retrieval_precision': 0.5, 'retrieval_recall': 0.5, 'reciprocal_rank': 0.5}

    ```

    Args:
        embedding: a model, or a name such as `"local"` or `"openai/text-embedding-3-small"`.
        truth: the true passages: texts, or dictionaries with `id` and `text`; left out, the `contexts` of the example.
        threshold: the cosine from which two passages say the same.
        **options: of `Evaluator`.
    """

    def __init__(
        self,
        embedding: str | EmbeddingModel = "local",
        *,
        truth: Sequence[Any] | None = None,
        threshold: float = 0.8,
        **options: Any,
    ) -> None:
        super().__init__(embedding, threshold, **options)
        self._truth = truth

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Compare."""
        truth = self._truth
        if truth is None and self.trial is not None:
            truth = self.trial.example.contexts
        if not truth:
            raise EvaluationFailed(f"{self.name} has no true passages: give truth=, or contexts of the example")
        true = passages_of({"contexts": list(truth)})
        found = passages_of(output)
        if len(found) > MAX_PASSAGES or len(true) > MAX_PASSAGES:
            raise EvaluationFailed(f"{max(len(found), len(true))} passages are more than the {MAX_PASSAGES} compared")
        evals = {"retrieval_precision": 0.0, "retrieval_recall": 0.0, "reciprocal_rank": 0.0, "truth_similarity": 0.0}
        if not found:
            return {"evals": evals, "comment": "nothing was retrieved"}
        vectors = await self.vectors([passage.text or " " for passage in (*true, *found)])
        near = [[_cosine(one, other) for other in vectors[len(true) :]] for one in vectors[: len(true)]]
        same = [
            [_is(one, other) or near[row][column] >= self._threshold for column, other in enumerate(found)]
            for row, one in enumerate(true)
        ]
        relevant = [any(row[column] for row in same) for column in range(len(found))]
        evals["retrieval_precision"] = sum(relevant) / len(found)
        evals["retrieval_recall"] = sum(map(any, same)) / len(true)
        evals["reciprocal_rank"] = 1 / (relevant.index(True) + 1) if True in relevant else 0.0
        evals["truth_similarity"] = sum(map(max, near)) / len(true)
        return {"evals": evals}


def _is(one: Passage, other: Passage) -> bool:
    if one.id and one.id == other.id:
        return True
    first, second = " ".join(one.text.split()), " ".join(other.text.split())
    return bool(first and second) and (first in second or second in first)
