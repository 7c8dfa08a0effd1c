"""Another order for what was found: by a better judge, or for variety."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from tinyllm_actors.errors import FunctionFailed, InputRejected, MalformedResponse
from tinyllm_actors.retrieval.checks import checked_k
from tinyllm_actors.retrieval.flat_index import load_numpy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from tinyllm_actors.retrieval.rows import Hit

__all__ = ["Scorer", "maximal_marginal_relevance", "rerank"]


@runtime_checkable
class Scorer(Protocol):
    """Whoever says how well texts answer a query: a cross-encoder, a service, a model that is asked.

    A reference to a Function that takes `query` and `texts` and answers with `{"scores": [...]}` is one too.

    ```python
    >>> class Overlap:
    ...     async def score(self, query, texts):
    ...         words = set(query.lower().split())
    ...         return [len(words & set(text.lower().split())) for text in texts]
    >>> isinstance(Overlap(), Scorer)
    True

    ```
    """

    async def score(self, query: str, texts: list[str]) -> Sequence[float]:
        """Return one number for each text, in their order; higher is better."""
        ...


class ScoringFunction(Protocol):
    """A reference to a Function that scores."""

    def __call__(self, *, query: str, texts: list[str]) -> Awaitable[Mapping[str, object]]:
        """Answer with the Function's dictionary."""
        ...


async def rerank(
    query: str,
    hits: Sequence[Hit],
    scorer: Scorer | ScoringFunction,
    k: int | None = None,
    *,
    max_characters: int = 8000,
) -> list[Hit]:
    """Return hits in the order of a scorer, the best first, with its scores.

    ```python
    >>> import anyio
    >>> from tinyllm_actors.retrieval import Hit
    >>> class Shortest:
    ...     async def score(self, query, texts):
    ...         return [-len(text) for text in texts]
    >>> hits = [Hit("1", "a long answer", {}, 0.9), Hit("2", "short", {}, 0.8)]
    >>> [hit.text for hit in anyio.run(rerank, "?", hits, Shortest())]
    ['short', 'a long answer']

    ```

    Args:
        query: what was asked.
        hits: what was found; some dozens, as scorers are slow.
        scorer: who judges.
        k: keep so many; None keeps all.
        max_characters: of each text, the scorer sees so many.

    Raises:
        MalformedResponse: the scorer gave another number of scores than texts, or something that is no finite number.
        FunctionFailed: the Function answered with an error.
    """
    if k is not None:
        checked_k(k)
    if not hits:
        return []
    texts = [hit.text[:max_characters] for hit in hits]
    if isinstance(scorer, Scorer):
        scores = await scorer.score(query, texts)
    else:
        scores = _scores_of(await scorer(query=query, texts=texts))
    if len(scores) != len(hits):
        raise MalformedResponse(f"the scorer gave {len(scores)} scores for {len(hits)} texts", retryable=False)
    numbers = [float(score) for score in scores]
    if not all(map(math.isfinite, numbers)):
        raise MalformedResponse(
            f"the scorer gave scores that are no finite numbers: {numbers!r}"[:300], retryable=False
        )
    judged = (replace(hit, score=score) for hit, score in zip(hits, numbers, strict=True))
    return sorted(judged, key=lambda hit: -hit.score)[:k]


def _scores_of(result: Mapping[str, object]) -> Sequence[float]:
    if result.get("status") != "success":
        raise FunctionFailed(result)
    output = cast("Mapping[str, object]", result["output"])
    return cast("Sequence[float]", output["scores"])


def maximal_marginal_relevance(
    vector: Sequence[float], hits: Sequence[Hit], k: int = 10, *, diversity: float = 0.5
) -> list[Hit]:
    """Return `k` hits that are near the query and unlike one another, in the order in which they were chosen.

    Each time the one is taken whose `(1 - diversity) * nearness to the query - diversity * nearness to the most alike
    that was taken already` is greatest; near is the cosine. The scores of the hits stay what they were.

    ```python
    >>> from tinyllm_actors.retrieval import Hit
    >>> vectors = {"a": [1.0, 0.0], "a again": [1.0, 0.1], "b": [0.7, 0.7]}
    >>> hits = [Hit(id, "", {}, 0.0, vector) for id, vector in vectors.items()]
    >>> [hit.id for hit in maximal_marginal_relevance([1.0, 0.0], hits, k=2, diversity=0.6)]
    ['a', 'b']

    ```

    Args:
        vector: of the query.
        hits: what was found, with `Hit.vector`; some times `k` of them.
        k: at most so many.
        diversity: 0 is the order of nearness, 1 looks at variety alone. If in doubt, 0.3 to 0.5.

    Raises:
        InputRejected: a hit has no vector, or a number is out of range.

    Source: Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking", SIGIR 1998.
    """
    checked_k(k)
    if not 0 <= diversity <= 1:
        raise InputRejected(f"diversity must be from 0 to 1, not {diversity!r}")
    if any(hit.vector is None or len(hit.vector) != len(vector) for hit in hits):
        raise InputRejected(f"each hit needs its vector of {len(vector)} dimensions; search with with_vectors=True")
    if not hits:
        return []
    numpy = load_numpy()
    rows = numpy.asarray([vector, *(hit.vector for hit in hits)], dtype=numpy.float64)
    lengths = numpy.linalg.norm(rows, axis=1, keepdims=True)
    rows = numpy.divide(rows, lengths, out=numpy.zeros_like(rows), where=lengths > 0)
    relevance = rows[1:] @ rows[0]
    alike = numpy.zeros(len(hits))
    free = numpy.ones(len(hits), dtype=bool)
    chosen: list[Hit] = []
    for number in range(min(k, len(hits))):
        worth = (1 - diversity) * relevance - diversity * alike
        best = int(numpy.argmax(numpy.where(free, worth, -numpy.inf)))
        free[best] = False
        chosen.append(hits[best])
        near = rows[1:] @ rows[1 + best]
        alike = near if number == 0 else numpy.maximum(alike, near)
    return chosen
