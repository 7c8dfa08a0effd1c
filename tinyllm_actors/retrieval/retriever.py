"""`Retriever`: the Function that finds chunks for a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function import Function, unwrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.retrieval.filters import Filter
    from tinyllm_actors.retrieval.rows import Hit
    from tinyllm_actors.retrieval.vector_store import VectorStore

__all__ = ["Retriever", "interleaved"]


def interleaved(rankings: Sequence[Sequence[Hit]], k: int) -> list[Hit]:
    """Return the best of each ranking, then the second of each, and so on, each id once, at most `k`.

    ```python
    >>> from tinyllm_actors.retrieval import Hit
    >>> a, b, c = (Hit(name, name, {}, 1.0) for name in "abc")
    >>> [hit.id for hit in interleaved([[a, b], [c, a]], k=3)]
    ['a', 'c', 'b']

    ```
    """
    found: dict[str, Hit] = {}
    for place in range(max(map(len, rankings), default=0)):
        for ranking in rankings:
            if place < len(ranking):
                found.setdefault(ranking[place].id, ranking[place])
    return list(found.values())[:k]


class Retriever(Function):
    """Answers a query with `{"hits": [Hit, …]}`, best first: by meaning and by words, in turns.

    What is near in meaning comes first, third and so on, what has the words second, fourth and so on; what is both
    counts once. Any Function that takes `query` and `k` and answers `hits` can stand in its place.

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
        **options: of `Function`.

    Raises:
        ConfigurationError: `k` is below 1.
    """

    observation_kind = "retriever"

    def __init__(
        self, store: VectorStore, embedder: FunctionRef, collection: str = "chunks", *, k: int = 8, **options: Any
    ) -> None:
        super().__init__(**options)
        if k < 1:
            raise ConfigurationError(f"k={k!r} must be at least 1")
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
        near = await self._store.search(self._collection, vector, wanted, filter=filter)
        named = await self._store.search_text(self._collection, query, wanted, filter=filter)
        return {"hits": interleaved([near, named], wanted)}
