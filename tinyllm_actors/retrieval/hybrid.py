"""Search by meaning and by words at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from tinyllm_actors.errors import InputRejected
from tinyllm_actors.retrieval.checks import checked_k
from tinyllm_actors.retrieval.fusion import reciprocal_rank_fusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.retrieval.filters import Filter
    from tinyllm_actors.retrieval.rows import Hit
    from tinyllm_actors.retrieval.vector_store import VectorStore

__all__ = ["hybrid_search"]


async def hybrid_search(
    store: VectorStore,
    collection: str,
    query: str,
    vector: Sequence[float],
    k: int = 10,
    *,
    filter: Filter | None = None,
    candidates: int | None = None,
    vector_weight: float = 1.0,
    text_weight: float = 1.0,
    constant: float = 60.0,
    with_vectors: bool = False,
) -> list[Hit]:
    """Return the rows that are near the vector, have words of the query, or both; the best by their two ranks first.

    Both searches run at once. Names, numbers and rare words, which embeddings blur, are found by the one, other words
    for the same by the other. The score is that of `reciprocal_rank_fusion`.

    ```python
    >>> import anyio
    >>> from tinyllm_actors.retrieval import MemoryVectorStore, Row
    >>> async def main() -> None:
    ...     async with MemoryVectorStore() as store:
    ...         await store.create("parts", dimensions=2)
    ...         await store.upsert("parts", [
    ...             Row("bolt M8", [0.9, 0.1]), Row("screw M10", [0.8, 0.3]), Row("washer M8", [0.0, 1.0]),
    ...         ])
    ...         hits = await hybrid_search(store, "parts", "M8", [1.0, 0.0], k=2)
    ...         print([hit.text for hit in hits])
    >>> anyio.run(main)
    ['bolt M8', 'washer M8']

    ```

    Args:
        store: where.
        collection: of which collection.
        query: whose words are looked for.
        vector: what to be near to: most often the query's embedding.
        k: at most so many.
        filter: only rows for which it holds.
        candidates: how many of each search to fuse; None for the larger of 4 * k and 20.
        vector_weight: how much nearness counts.
        text_weight: how much words count.
        constant: see `reciprocal_rank_fusion`.
        with_vectors: fill in `Hit.vector`.

    Raises:
        StoreError: as `VectorStore.search` and `search_text`.
    """
    checked_k(k)
    several = min(10_000, max(4 * k, 20)) if candidates is None else checked_k(candidates)
    if several < k:
        raise InputRejected(f"candidates must be at least k={k!r}, not {candidates!r}")
    near: list[Hit] = []
    worded: list[Hit] = []
    failures: list[Exception] = []

    async def look(by_words: bool) -> None:
        try:
            if by_words:
                worded.extend(
                    await store.search_text(collection, query, several, filter=filter, with_vectors=with_vectors)
                )
            else:
                near.extend(await store.search(collection, vector, several, filter=filter, with_vectors=with_vectors))
        except Exception as error:
            failures.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look, True)
        tasks.start_soon(look, False)
    if failures:
        raise failures[0]
    return reciprocal_rank_fusion([near, worded], weights=[vector_weight, text_weight], constant=constant)[:k]
