"""How good a ranking is, where somebody said which texts are relevant."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["ndcg_at", "recall_at", "reciprocal_rank"]


def recall_at(k: int, found: Sequence[str], relevant: AbstractSet[str]) -> float:
    """Return which part of the relevant ids is among the first `k` that were found; 1 where none is relevant.

    ```python
    >>> recall_at(2, ["a", "x", "b"], {"a", "b"})
    0.5

    ```
    """
    return len(relevant & {*found[:k]}) / len(relevant) if relevant else 1.0


def reciprocal_rank(found: Sequence[str], relevant: AbstractSet[str]) -> float:
    """Return 1 over the place of the first relevant id, from 1; 0 where there is none.

    ```python
    >>> reciprocal_rank(["x", "a"], {"a", "b"})
    0.5

    ```
    """
    return next((1 / place for place, id in enumerate(found, 1) if id in relevant), 0.0)


def ndcg_at(k: int, found: Sequence[str], gains: Mapping[str, float]) -> float:
    """Return the normalised discounted cumulative gain of the first `k`: 1 is the best order that there is.

    The gain at place i, from 1, counts `1 / log2(i + 1)`: 1, 0.63, 0.5, 0.43.

    ```python
    >>> round(ndcg_at(3, ["x", "a", "b"], {"a": 1.0, "b": 1.0}), 2)
    0.69

    ```

    Args:
        k: how many places count.
        found: ids, the best first.
        gains: what each relevant id is worth; others are worth 0.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    best = sum(gain / math.log2(place + 1) for place, gain in enumerate(sorted(gains.values(), reverse=True)[:k], 1))
    real = sum(gains.get(id, 0.0) / math.log2(place + 1) for place, id in enumerate(found[:k], 1))
    return real / best if best else 1.0
