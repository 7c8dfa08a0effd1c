"""How alike vectors are, and which few of many to take: pure."""

from __future__ import annotations

import math
from operator import mul
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["cosine", "most_similar"]


def cosine(one: Sequence[float], two: Sequence[float]) -> float:
    """Return the cosine of the angle between two vectors: 1 for the same direction, 0 if one of them has none.

    ```python
    >>> cosine([1.0, 0.0], [2.0, 0.0]), cosine([1.0, 0.0], [0.0, 3.0]), cosine([0.0, 0.0], [1.0, 0.0])
    (1.0, 0.0, 0.0)

    ```

    Raises:
        ValueError: they have not the same length.
    """
    return _cosine(one, math.hypot(*one), two)


def _cosine(one: Sequence[float], length: float, two: Sequence[float]) -> float:
    """Return the cosine, given the length of the first."""
    if len(one) != len(two):
        raise ValueError(f"vectors of {len(one)} and {len(two)} dimensions cannot be compared")
    length *= math.hypot(*two)  # a quarter of the time of the sum of squares
    return max(-1.0, min(1.0, sum(map(mul, one, two)) / length)) if length else 0.0


def most_similar(
    query: Sequence[float],
    vectors: Sequence[Sequence[float]],
    k: int,
    *,
    threshold: float | None = None,
    diversity: float = 0.0,
) -> list[tuple[int, float]]:
    """Return which vectors are the most like `query`, the best first, each with its cosine.

    With a diversity, what is like one that was taken already counts for less (maximal marginal relevance): each time
    the one is taken whose `(1 - diversity) × likeness to the query - diversity × greatest likeness to those taken` is
    the greatest. Of equals the first is taken.

    ```python
    >>> near, same, other = [1.0, 0.1], [1.0, 0.12], [0.6, 0.8]
    >>> [index for index, _ in most_similar([1.0, 0.0], [near, same, other], 2)]
    [0, 1]
    >>> [index for index, _ in most_similar([1.0, 0.0], [near, same, other], 2, diversity=0.7)]
    [0, 2]

    ```

    Args:
        query: a vector.
        vectors: of the same length.
        k: how many to take at most.
        threshold: the cosine below which none is taken.
        diversity: 0 to 1; 0 looks at the query alone.

    Source: Carbonell and Goldstein, The use of MMR, diversity-based reranking, SIGIR 1998.
    """
    length = math.hypot(*query)
    likeness = [_cosine(query, length, vector) for vector in vectors]
    rest = [index for index, value in enumerate(likeness) if threshold is None or value >= threshold]
    rest.sort(key=lambda index: -likeness[index])  # stable: of equals the first
    if not diversity:
        return [(index, likeness[index]) for index in rest[:k]]
    taken: list[int] = []
    overlap = dict.fromkeys(rest, 0.0)
    while rest and len(taken) < k:
        best = max(rest, key=lambda index: (1 - diversity) * likeness[index] - diversity * overlap[index])
        rest.remove(best)
        taken.append(best)
        for index in rest:
            alike = cosine(vectors[best], vectors[index])
            overlap[index] = alike if len(taken) == 1 else max(overlap[index], alike)
    return [(index, likeness[index]) for index in taken]
