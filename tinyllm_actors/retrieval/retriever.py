"""`Retriever`: the Function that finds chunks for a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function import Function, unwrap
from tinyllm_actors.retrieval.hybrid import hybrid_search
from tinyllm_actors.retrieval.rerank import rerank

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.retrieval.filters import Filter
    from tinyllm_actors.retrieval.rerank import Scorer, ScoringFunction
    from tinyllm_actors.retrieval.rows import Hit
    from tinyllm_actors.retrieval.vector_store import VectorStore

__all__ = ["Retriever"]


class Retriever(Function):
    """Answers a query with `{"hits": [Hit, …]}`, best first: by meaning and by words (see `hybrid_search`).

    Any Function that takes `query` and `k` and answers `hits` can stand in its place.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.llm import Embedder
    >>> from tinyllm_actors.retrieval import Chunk, MemoryVectorStore, Retriever, VectorIndex
    >>> from tinyllm_actors.testing import HashEmbeddings
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system, MemoryVectorStore() as store:
    ...         embedder = await system.spawn(Embedder, HashEmbeddings())
    ...         chunk = Chunk(id="1", text="Actors keep state.", source="notes.md")
    ...         await VectorIndex(store, embedder).upsert([chunk])
    ...         retriever = await system.spawn(Retriever, store, embedder)
    ...         print((await retriever(query="who keeps state?"))["output"]["hits"][0].text)
    >>> anyio.run(main)
    Actors keep state.

    ```

    Args:
        store: an open store.
        embedder: what embedded the chunks.
        collection: where they are.
        k: how many to find, unless a call says otherwise.
        scorer: who puts them in a better order; see `rerank`.
        candidates: how many the scorer sees; a multiple of `k`, as it is there to correct what comes first.
        **options: of `Function`.

    Raises:
        ConfigurationError: `k` is below 1, or there are fewer candidates.
    """

    observation_kind = "retriever"

    def __init__(
        self,
        store: VectorStore,
        embedder: FunctionRef,
        collection: str = "chunks",
        *,
        k: int = 8,
        scorer: Scorer | ScoringFunction | None = None,
        candidates: int = 40,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 1 <= k <= candidates:
            raise ConfigurationError(f"k={k!r} must be at least 1, and at most candidates={candidates!r}")
        self._scorer = scorer
        self._candidates = candidates
        self._store = store
        self._embedder = embedder
        self._collection = collection
        self._k = k

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, query: str, k: int | None = None, filter: Filter | None = None
    ) -> Mapping[str, list[Hit]]:
        """Find chunks.

        Args:
            query: a question, or words.
            k: at most so many.
            filter: only chunks for which it holds.
        """
        wanted = self._k if k is None else k
        output: Any = unwrap(await self._embedder(texts=[query]))
        (vector,) = output["embeddings"].vectors
        if self._scorer is None:
            return {"hits": await hybrid_search(self._store, self._collection, query, vector, wanted, filter=filter)}
        several = max(wanted, self._candidates)
        hits = await hybrid_search(self._store, self._collection, query, vector, several, filter=filter)
        return {"hits": await rerank(query, hits, self._scorer, wanted)}
