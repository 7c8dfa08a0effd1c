"""One list of hits out of several, whose scores mean different things."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tinyllm_actors.errors import InputRejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.retrieval.rows import Hit

__all__ = ["normalised", "reciprocal_rank_fusion"]


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[Hit]], *, weights: Sequence[float] | None = None, constant: float = 60.0
) -> list[Hit]:
    """Return all hits of some rankings, best first, by their places in them.

    A hit gets `weight / (constant + place)` from each ranking that has it, with places from 1; its score is the sum.
    With the constant 60 the first of one ranking gets 1/61 = 0.0164, the tenth 0.0143; one that is second in both of
    two gets 0.0323, twice as much as the first of one alone.

    ```python
    >>> from tinyllm_actors.retrieval import Hit
    >>> near = [Hit("a", "A", {}, 0.9), Hit("b", "B", {}, 0.8)]
    >>> worded = [Hit("b", "B", {}, 12.0), Hit("c", "C", {}, 3.0)]
    >>> [(hit.id, round(hit.score, 4)) for hit in reciprocal_rank_fusion([near, worded])]
    [('b', 0.0325), ('a', 0.0164), ('c', 0.0161)]

    ```

    Args:
        rankings: each best first, and no id twice in one.
        weights: how much each counts, at least 0; None for 1 each.
        constant: how little the first places stand out. If in doubt, 60.

    Raises:
        InputRejected: there are not as many weights as rankings, or a number is out of range.

    Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR 2009.
    """
    each = [1.0] * len(rankings) if weights is None else [*weights]
    if len(each) != len(rankings) or not all(weight >= 0 for weight in each) or not constant >= 0:
        raise InputRejected(
            f"need {len(rankings)} weights of at least 0 and a constant of at least 0, got {weights!r} and {constant!r}"
        )
    scores: dict[str, float] = {}
    hits: dict[str, Hit] = {}
    for ranking, weight in zip(rankings, each, strict=True):
        for place, hit in enumerate(ranking, 1):
            scores[hit.id] = scores.get(hit.id, 0.0) + weight / (constant + place)
            known = hits.get(hit.id)
            if known is None or known.vector is None:
                hits[hit.id] = hit
    # Of equal ones, the one that came first: `sorted` keeps their order.
    return sorted((replace(hit, score=scores[id]) for id, hit in hits.items()), key=lambda hit: -hit.score)


def normalised(hits: Sequence[Hit]) -> list[Hit]:
    """Return hits with their scores stretched so that the best has 1 and the worst 0; all equal ones have 1.

    ```python
    >>> from tinyllm_actors.retrieval import Hit
    >>> [hit.score for hit in normalised([Hit("a", "", {}, 9.0), Hit("b", "", {}, 6.0), Hit("c", "", {}, 5.0)])]
    [1.0, 0.25, 0.0]

    ```
    """
    if not hits:
        return []
    low, high = min(hit.score for hit in hits), max(hit.score for hit in hits)
    width = high - low
    return [replace(hit, score=(hit.score - low) / width if width else 1.0) for hit in hits]
