"""The port to a vector store: collections of texts with their vectors, found by nearness, by words and by metadata.

What holds for every store:

1. **Nothing twice.** A collection holds no id and no text twice. A row replaces those that have its id or its text, in
   the batch too: the last one wins.
2. **All or nothing.** A call that fails has changed nothing, except where it says `OutcomeUnknown`; then the same call
   again is safe.
3. **Exact where nothing else is said.** `search` compares with every row, unless the collection has an approximate
   index (see each store).
4. **Stated scores.** Of `search`: the cosine (−1 to 1), the inner product, or minus the Euclidean distance (0 is the
   same), so that higher is always nearer. Of `search_text`: what the store's full text says; only its order means
   something, so compare ranks (see `reciprocal_rank_fusion`).
5. **Filters mean what `filters.matches` says**, in every store, and are applied before the `k` best are chosen.
6. **Data is data.** Names of collections, ids, texts, metadata keys and values are bound, never part of a statement.
   What no database can keep (NUL, half a surrogate pair, numbers that are none, keys of 1 MB) is refused by name
   before anything is sent.
7. **Typed.** What goes wrong is a `StoreError`.
8. Nothing blocks the event loop, and nothing waits for ever: see the time-outs of each store.

Vectors are kept with single precision, in some stores with half, if asked. A vector of zeros is refused where the
metric is `"cosine"`; where a search asks for the cosine in a collection of another metric, rows without a direction
are not found.

One store serves any number of tasks at once, all in the event loop in which it was opened.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from tinyllm_actors.retrieval.filters import Filter
    from tinyllm_actors.retrieval.rows import Collection, Hit, Metric, Row

__all__ = ["VectorStore"]


class VectorStore(abc.ABC):
    """Keeps texts by their vectors; see the module for what it promises.

    Whoever uses a store opens it before the first call and closes it after the last; `async with store:` does both.

    ```python
    >>> import anyio
    >>> from tinyllm_actors.retrieval import Row, field, vector_store_from_url
    >>> async def main() -> None:
    ...     async with vector_store_from_url("memory:") as store:
    ...         await store.create("animals", dimensions=2)
    ...         await store.upsert("animals", [
    ...             Row("A cat.", [0.9, 0.1], {"legs": 4}),
    ...             Row("A kitten.", [0.8, 0.2], {"legs": 4}),
    ...             Row("A hen.", [0.1, 0.9], {"legs": 2}),
    ...         ])
    ...         for hit in await store.search("animals", [1.0, 0.0], k=2):
    ...             print(f"{hit.score:.2f} {hit.text}")
    ...         print([hit.text for hit in await store.search("animals", [1.0, 0.0], filter=field("legs") < 4)])
    ...         print([hit.text for hit in await store.search_text("animals", "a kitten or a hen", k=2)])
    >>> anyio.run(main)
    0.99 A cat.
    0.97 A kitten.
    ['A hen.']
    ['A kitten.', 'A hen.']

    ```

    Attributes:
        name: what is logged and written into errors, such as `"sqlite:///vectors.db"`; it holds no password.
    """

    name: str

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @abc.abstractmethod
    async def open(self) -> None:
        """Get ready for calls. Idempotent; a closed store can be opened again.

        Raises:
            StoreUnavailable: it cannot be reached.
            MissingDependency: an optional package is not installed.
        """

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Release what `open()` and the calls hold, once the calls that have begun are done. Idempotent."""

    @abc.abstractmethod
    async def create(self, name: str, *, dimensions: int, metric: Metric = "cosine") -> bool:
        """Make a collection, and return whether it was not there.

        Args:
            name: any text of at most 256 bytes.
            dimensions: the length of its vectors, from 1 to 16,000.
            metric: `"cosine"`, `"dot"` or `"l2"`. If in doubt, `"cosine"`; of vectors of length 1 all three give the
                same order.

        Raises:
            CollectionConflict: there is one of other dimensions or another metric.
            InputRejected: it cannot be made like this.
        """

    @abc.abstractmethod
    async def drop(self, name: str) -> bool:
        """Remove a collection with all that is in it, and return whether it was there."""

    @abc.abstractmethod
    async def list(self) -> list[Collection]:
        """Return all collections, in the order of their names."""

    @abc.abstractmethod
    async def upsert(self, collection: str, rows: Iterable[Row]) -> int:
        """Store rows, in place of those with the same id or the same text, and return how many.

        Several thousand in one call cost much less than one by one.

        Raises:
            UnknownCollection: there is no such collection.
            InputRejected: a row cannot be stored (`VectorRejected`, `DimensionMismatch` for its vector).
        """

    @abc.abstractmethod
    async def delete(self, collection: str, *, ids: Iterable[str] | None = None, filter: Filter | None = None) -> int:
        """Remove the rows that have one of the ids and for which the filter holds, and return how many.

        Raises:
            UnknownCollection: there is no such collection.
            InputRejected: neither is given: to remove all, `drop` the collection.
        """

    @abc.abstractmethod
    async def get(self, collection: str, ids: Iterable[str]) -> list[Row]:
        """Return rows in the order of the ids; those that are not there are left out.

        Raises:
            UnknownCollection: there is no such collection.
        """

    @abc.abstractmethod
    async def count(self, collection: str, filter: Filter | None = None) -> int:
        """Return how many rows there are, or for how many the filter holds.

        Raises:
            UnknownCollection: there is no such collection.
        """

    @abc.abstractmethod
    async def search(
        self,
        collection: str,
        vector: Sequence[float],
        k: int = 10,
        *,
        filter: Filter | None = None,
        metric: Metric | None = None,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """Return the rows whose vectors are nearest, the nearest first; the score is that of the metric.

        Args:
            collection: where to look.
            vector: what to look for.
            k: at most so many, up to 10,000.
            filter: only rows for which it holds.
            metric: what near means; None for the collection's. Another one than the collection's uses no index.
            with_vectors: fill in `Hit.vector`, as `maximal_marginal_relevance` needs.

        Raises:
            UnknownCollection: there is no such collection.
            InputRejected: the vector (`VectorRejected`, `DimensionMismatch`), `k` or the filter cannot be used.
        """

    @abc.abstractmethod
    async def search_text(
        self, collection: str, query: str, k: int = 10, *, filter: Filter | None = None, with_vectors: bool = False
    ) -> list[Hit]:
        """Return the rows whose texts have words of the query, those that fit best first.

        Words are what is between blanks and signs; there is no query language. Rare words count more than common ones,
        and in short texts more than in long ones.

        Raises:
            UnknownCollection: there is no such collection.
            InputRejected: the query, `k` or the filter cannot be used.
        """
