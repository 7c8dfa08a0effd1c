"""A vector store that lasts as long as its object: for tests, and for what is made anew at each start."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import anyio.to_thread

from tinyllm_actors.errors import StoreUnavailable, UnknownCollection
from tinyllm_actors.retrieval.bm25 import BM25Index
from tinyllm_actors.retrieval.checks import (
    check_same,
    checked_ids,
    checked_k,
    checked_metric,
    checked_name,
    checked_shape,
    checked_vector,
    opened,
    sealed,
    words_of,
)
from tinyllm_actors.retrieval.filters import checked_choice, checked_filter, matcher
from tinyllm_actors.retrieval.flat_index import FlatIndex, load_numpy
from tinyllm_actors.retrieval.rows import Collection, Hit, Row
from tinyllm_actors.retrieval.vector_store import VectorStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tinyllm_actors.retrieval.filters import Filter
    from tinyllm_actors.retrieval.rows import Metadata, Metric, Sealed

__all__ = ["MemoryVectorStore"]

T = TypeVar("T")

_QUICK: Final = 64
"""Calls about at most so many rows are done at once, others in a thread, so that the event loop goes on."""


class _Texts:
    """One collection."""

    def __init__(self, name: str, dimensions: int, metric: Metric) -> None:
        self.name = name
        self.dimensions = dimensions
        self.metric: Metric = metric
        self.lock = anyio.Lock(fast_acquire=True)
        self._rows: dict[int, tuple[Sealed, Metadata]] = {}
        self._by_id: dict[str, int] = {}
        self._by_text: dict[bytes, int] = {}
        self._index = FlatIndex(dimensions)
        self._words = BM25Index()
        self._last = 0

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, rows: list[Sealed]) -> int:
        old = {self._by_id.get(row.id) for row in rows} | {self._by_text.get(row.digest) for row in rows}
        self._forget([number for number in old if number is not None])
        numbers = range(self._last + 1, self._last + len(rows) + 1)
        for number, row in zip(numbers, rows, strict=True):
            self._rows[number] = row, opened(row.metadata)
            self._by_id[row.id] = self._by_text[row.digest] = number
            self._words.add(number, row.text)
        self._index.add(numbers, [row.vector.tobytes() for row in rows])
        self._last += len(rows)
        return len(rows)

    def _forget(self, numbers: list[int]) -> int:
        for number in numbers:
            row, _ = self._rows.pop(number)
            del self._by_id[row.id], self._by_text[row.digest]
            self._words.remove(number, row.text)
        self._index.remove(numbers)
        return len(numbers)

    def numbers(self, filter: Filter | None, ids: Sequence[str] | None = None) -> list[int]:
        some = self._rows if ids is None else [self._by_id[id] for id in dict.fromkeys(ids) if id in self._by_id]
        if filter is None:
            return [*some]
        holds, rows = matcher(filter), self._rows
        return [number for number in some if holds(rows[number][1])]

    def delete(self, filter: Filter | None, ids: Sequence[str] | None) -> int:
        return self._forget(self.numbers(filter, ids))

    def get(self, ids: Sequence[str]) -> list[Row]:
        found = [self._rows[number] for number in self.numbers(None, ids)]
        return [Row(row.text, row.vector, metadata, row.id) for row, metadata in found]

    def count(self, filter: Filter | None) -> int:
        return len(self._rows) if filter is None else len(self.numbers(filter))

    def search(self, query: bytes, k: int, metric: Metric, filter: Filter | None, vectors: bool) -> list[Hit]:
        among = None if filter is None else self.numbers(filter)
        return self._hits(self._index.search(query, k, metric, among), vectors)

    def search_text(self, words: list[str], k: int, filter: Filter | None, vectors: bool) -> list[Hit]:
        among = None if filter is None else set(self.numbers(filter))
        return self._hits(self._words.search(words, k, among), vectors)

    def _hits(self, found: list[tuple[int, float]], vectors: bool) -> list[Hit]:
        rows = [(*self._rows[number], score) for number, score in found]
        return [Hit(row.id, row.text, data, score, row.vector[:] if vectors else None) for row, data, score in rows]


class MemoryVectorStore(VectorStore):
    """Keeps texts and vectors in this process. Search is exact, full text is BM25 without stems.

    What it holds survives `aclose()` and `open()`, and ends with the object. Needs numpy (extra `retrieval`).

    ```python
    >>> import anyio
    >>> async def main() -> None:
    ...     async with MemoryVectorStore() as store:
    ...         await store.create("notes", dimensions=2, metric="l2")
    ...         await store.upsert("notes", [Row("near", [1.0, 1.0]), Row("far", [9.0, 9.0])])
    ...         print([(hit.text, hit.score) for hit in await store.search("notes", [1.0, 2.0], k=1)])
    >>> anyio.run(main)
    [('near', -1.0)]

    ```

    Args:
        url: `"memory:"`; only there so that the class can stand for that URL.
    """

    def __init__(self, url: str = "memory:") -> None:
        self.name = url
        self._open = False
        self._collections: dict[str, _Texts] = {}

    def __repr__(self) -> str:
        return f"MemoryVectorStore({self.name!r})"

    async def open(self) -> None:
        """Get ready for calls."""
        load_numpy()
        self._open = True

    async def aclose(self) -> None:
        """Take no more calls."""
        self._open = False

    def _check_open(self) -> None:
        if not self._open:
            raise StoreUnavailable(f"store {self.name!r} is not open; use it inside `async with`", retryable=False)

    def _texts(self, name: str) -> _Texts:
        self._check_open()
        texts = self._collections.get(checked_name(name))
        if texts is None:
            raise UnknownCollection(name, self.name)
        return texts

    async def _run(self, texts: _Texts, work: Callable[[], T], size: int) -> T:
        async with texts.lock:
            if self._collections.get(texts.name) is not texts:
                raise UnknownCollection(texts.name, self.name)  # dropped while this waited
            if size <= _QUICK:
                return work()
            return await anyio.to_thread.run_sync(work)

    async def create(self, name: str, *, dimensions: int, metric: Metric = "cosine") -> bool:
        """Make a collection."""
        self._check_open()
        checked_shape(name, dimensions, metric)
        if (known := self._collections.get(name)) is None:
            self._collections[name] = _Texts(name, dimensions, metric)
            return True
        check_same(name, (known.dimensions, known.metric), (dimensions, metric))
        return False

    async def drop(self, name: str) -> bool:
        """Remove a collection."""
        self._check_open()
        return self._collections.pop(checked_name(name), None) is not None

    async def list(self) -> list[Collection]:
        """Return all collections."""
        self._check_open()
        found = sorted(self._collections.items())
        return [Collection(name, texts.dimensions, texts.metric, len(texts)) for name, texts in found]

    async def upsert(self, collection: str, rows: Iterable[Row]) -> int:
        """Store rows."""
        texts = self._texts(collection)
        given = [*rows]
        work = partial(_seal_and_put, texts, given)
        return await self._run(texts, work, len(given))

    async def delete(self, collection: str, *, ids: Iterable[str] | None = None, filter: Filter | None = None) -> int:
        """Remove rows."""
        texts = self._texts(collection)
        wanted = checked_choice(ids, filter)
        return await self._run(texts, partial(texts.delete, filter, wanted), len(texts))

    async def get(self, collection: str, ids: Iterable[str]) -> list[Row]:
        """Return rows."""
        texts = self._texts(collection)
        return await self._run(texts, partial(texts.get, checked_ids(ids)), 0)

    async def count(self, collection: str, filter: Filter | None = None) -> int:
        """Return how many rows there are."""
        texts = self._texts(collection)
        size = 0 if filter is None else len(texts)
        return await self._run(texts, partial(texts.count, checked_filter(filter)), size)

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
        """Return the rows whose vectors are nearest."""
        texts = self._texts(collection)
        metric = texts.metric if metric is None else checked_metric(metric)
        query = checked_vector(vector, texts.dimensions, metric).tobytes()
        work = partial(texts.search, query, checked_k(k), metric, checked_filter(filter), with_vectors)
        return await self._run(texts, work, len(texts))

    async def search_text(
        self, collection: str, query: str, k: int = 10, *, filter: Filter | None = None, with_vectors: bool = False
    ) -> list[Hit]:
        """Return the rows whose texts fit best."""
        texts = self._texts(collection)
        work = partial(texts.search_text, words_of(query), checked_k(k), checked_filter(filter), with_vectors)
        return await self._run(texts, work, len(texts))


def _seal_and_put(texts: _Texts, rows: list[Row]) -> int:
    return texts.put(sealed(rows, texts.dimensions, texts.metric))
