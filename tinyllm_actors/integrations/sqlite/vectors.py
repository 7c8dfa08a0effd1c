"""The vector store in a SQLite file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio
import anyio.to_thread

from tinyllm_actors.errors import ConfigurationError, InputRejected, StoreUnavailable
from tinyllm_actors.integrations.sqlite import vector_statements as statements
from tinyllm_actors.integrations.sqlite.database import Database
from tinyllm_actors.integrations.sqlite.vector_cache import VectorCache
from tinyllm_actors.integrations.sqlite.vector_graph import Graph
from tinyllm_actors.retrieval.checks import (
    MAX_NAME_BYTES,
    checked_ids,
    checked_k,
    checked_metric,
    checked_name,
    checked_shape,
    checked_text,
    checked_vector,
    words_of,
)
from tinyllm_actors.retrieval.filters import checked_choice, checked_filter
from tinyllm_actors.retrieval.flat_index import load_numpy
from tinyllm_actors.retrieval.vector_store import VectorStore

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeVar

    from tinyllm_actors.retrieval import Collection, Filter, Hit, Hnsw, Metric, Row

    T = TypeVar("T")

__all__ = ["SQLiteVectorStore", "from_url"]

BUSY_TIMEOUT: Final = 5.0
CACHE_BYTES: Final = 2 * 1024**3
MAX_INDEXED: Final = 32
EF_SEARCH: Final = 100
_BLOCK: Final = 256
"""Rows that go into a graph before a build looks whether it is still wanted."""


class SQLiteVectorStore(VectorStore):
    """Keeps texts and vectors in a SQLite file (WAL), which several processes of one machine may share.

    Search is exact: vectors are compared in memory, with numpy (extra `retrieval`), one by one. Some 100,000 of 384
    dimensions take 154 MB and 8 ms a search; the first search reads them from the file. Beyond a million rows, or
    where several machines share them, take PostgreSQL. `build_index` makes an approximate index (extra `hnsw`), which
    finds nearly the same many times faster. Full text is FTS5: BM25 with English stems.

    What `upsert` returned from survives the end of the process in any way; after a loss of power the newest
    transactions may be missing, in order and as a whole, as with `synchronous=normal` of the conversation store.

    ```python
    >>> import anyio, tempfile
    >>> from tinyllm_actors.retrieval import Row
    >>> async def main(folder: str) -> None:
    ...     async with SQLiteVectorStore(f"{folder}/vectors.db") as store:
    ...         await store.create("animals", dimensions=2)
    ...         await store.upsert("animals", [Row("A cat.", [0.9, 0.1]), Row("A hen.", [0.1, 0.9])])
    ...     async with SQLiteVectorStore(f"{folder}/vectors.db") as store:
    ...         print([hit.text for hit in await store.search("animals", [1.0, 0.0], k=1)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     anyio.run(main, folder)
    ['A cat.']

    ```

    Args:
        path: of the file, made if it is not there; its folder must be. It may be that of a conversation store.
        busy_timeout: seconds that a call waits while another process writes, then it fails with `StoreBusy`.
        cache_bytes: memory for vectors, of all collections together. A collection that takes more is read from the
            file for each search, which is some ten times slower. If in doubt, leave it.
        indexed: keys of the metadata that have an index in collections that it makes, at most 32. A search among the
            1 % of 100,000 rows that a filter on them keeps takes 1.5 ms of CPU, without an index 37; each costs an
            upsert some 5 µs a row. Those of a collection that is there are changed with `index_metadata`.
        ef_search: candidates of a search in an approximate index, 1 to 1000; more is better and slower.

    Raises:
        ValueError: a limit has no meaning.
        InputRejected: a key cannot be one.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        busy_timeout: float = BUSY_TIMEOUT,
        cache_bytes: int = CACHE_BYTES,
        indexed: Iterable[str] = (),
        ef_search: int = EF_SEARCH,
    ) -> None:
        if not 0 <= busy_timeout <= 3600 or cache_bytes < 0 or not 1 <= ef_search <= 1000:
            raise ValueError(
                "need busy_timeout from 0 to 3600 seconds, cache_bytes >= 0 and ef_search from 1 to 1000, got"
                f" {busy_timeout!r}, {cache_bytes!r} and {ef_search!r}"
            )
        self.path = Path(path)
        self.name = f"sqlite:///{self.path}"
        self._busy_timeout = busy_timeout
        self._indexed = _checked_keys(indexed)
        self._cache = VectorCache(cache_bytes, ef_search)
        self._database: Database | None = None

    def __repr__(self) -> str:
        return f"SQLiteVectorStore({str(self.path)!r})"

    async def open(self) -> None:
        """Open the file, make it if it is not there, and bring its tables up to date."""
        await anyio.to_thread.run_sync(load_numpy)
        if self._database is None:
            # Made when it is opened, as its locks belong to an event loop.
            database = Database(self.path, self.name, "normal", self._busy_timeout, statements.prepare)
            await database.open()
            self._database = database

    async def aclose(self) -> None:
        """Close the file when the calls that have begun are done."""
        database, self._database = self._database, None
        if database is not None:
            await database.aclose()
            self._cache.forget()

    @property
    def _file(self) -> Database:
        if self._database is None:
            raise StoreUnavailable(f"store {self.name!r} is not open; use it inside `async with`", retryable=False)
        return self._database

    async def create(self, name: str, *, dimensions: int, metric: Metric = "cosine") -> bool:
        """Make a collection."""
        checked_shape(name, dimensions, metric)
        return await self._file.write(
            partial(statements.create, name=name, dimensions=dimensions, metric=metric, indexed=self._indexed)
        )

    async def index_metadata(self, collection: str, keys: Iterable[str]) -> None:
        """Have an index on these keys of a collection's metadata, and on no others; writers wait meanwhile.

        ```python
        >>> import anyio, tempfile
        >>> from tinyllm_actors.retrieval import Row, field
        >>> async def main(folder: str) -> None:
        ...     async with SQLiteVectorStore(f"{folder}/vectors.db") as store:
        ...         await store.create("notes", dimensions=1)
        ...         await store.upsert("notes", [Row(f"Note {n}", [1.0], {"by": n % 100}) for n in range(1000)])
        ...         await store.index_metadata("notes", ["by"])
        ...         print(len(await store.search("notes", [1.0], k=50, filter=field("by") == 7)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     anyio.run(main, folder)
        10

        ```

        Raises:
            UnknownCollection: there is no such collection.
            InputRejected: a key cannot be one, or there are more than 32.
        """
        await self._file.write(self._about(statements.index_keys, collection, _checked_keys(keys)))

    async def build_index(self, collection: str, index: Hnsw | None) -> None:
        """Build an approximate index in place of the one that is there; None leaves none.

        It is of the rows that there are now, takes about a millisecond for each, holds up nobody meanwhile, and is kept
        in the file: half as large as the vectors. Searches without a filter and by the collection's metric use it;
        each process reads it once. Rows that come later are compared one by one, so build it again when there are
        many. Scores are exact; without usearch a search compares with all rows, as it does with a filter.

        Args:
            collection: of which.
            index: which; if in doubt, `Hnsw()`.

        Raises:
            UnknownCollection: there is no such collection.
            MissingDependency: usearch is not installed (extra `hnsw`).
        """
        place = await self._file.read(self._about(statements.place_of, collection))
        data: bytes | None = None
        if index is not None:
            graph = await anyio.to_thread.run_sync(Graph, place.dimensions, place.metric, index)
            last = 0
            following = partial(self._about, statements.vectors_after, collection, place)
            while block := await self._file.read(following(last, _BLOCK)):
                await anyio.to_thread.run_sync(graph.add, block)
                last = block[-1][0]
            data = await anyio.to_thread.run_sync(getattr, graph, "data") if last else None
        await self._file.write(self._about(statements.keep_graph, collection, place, data))

    async def drop(self, name: str) -> bool:
        """Remove a collection; what it held is overwritten."""
        return await self._file.write(partial(statements.drop, name=checked_name(name)))

    async def list(self) -> list[Collection]:
        """Return all collections."""
        return await self._file.read(statements.list_all)

    def _about(
        self, function: Callable[..., T], collection: str, *arguments: object
    ) -> Callable[[sqlite3.Connection], T]:
        name = checked_name(collection)

        def work(database: sqlite3.Connection) -> T:
            return function(database, name, self.name, *arguments)

        return work

    async def upsert(self, collection: str, rows: Iterable[Row]) -> int:
        """Store rows."""
        return await self._file.write(self._about(statements.upsert, collection, [*rows]))

    async def delete(self, collection: str, *, ids: Iterable[str] | None = None, filter: Filter | None = None) -> int:
        """Remove rows; what they held is overwritten."""
        chosen = checked_choice(ids, filter)
        return await self._file.write(self._about(statements.delete, collection, chosen, filter))

    async def get(self, collection: str, ids: Iterable[str]) -> list[Row]:
        """Return rows."""
        return await self._file.read(self._about(statements.get, collection, checked_ids(ids)))

    async def count(self, collection: str, filter: Filter | None = None) -> int:
        """Return how many rows there are."""
        return await self._file.read(self._about(statements.count, collection, checked_filter(filter)))

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
        checked_k(k)
        checked_filter(filter)
        if metric is not None:
            checked_metric(metric)

        def work(database: sqlite3.Connection, name: str, store: str) -> list[Hit]:
            place = statements.place_of(database, name, store)
            how = metric or place.metric
            query = checked_vector(vector, place.dimensions, how).tobytes()
            found = self._cache.search(database, place, query, k, how, filter)
            return statements.hits(database, place, found, vectors=with_vectors)

        return await self._file.read(self._about(work, collection))

    async def search_text(
        self, collection: str, query: str, k: int = 10, *, filter: Filter | None = None, with_vectors: bool = False
    ) -> list[Hit]:
        """Return the rows whose texts fit best."""
        words = words_of(query)
        work = self._about(
            statements.search_text, collection, words, checked_k(k), checked_filter(filter), with_vectors
        )
        return await self._file.read(work)


def _checked_keys(keys: Iterable[str]) -> tuple[str, ...]:
    if isinstance(keys, str):
        raise InputRejected(f"keys must be several, not the text {keys[:80]!r}; write [{keys[:80]!r}]")
    chosen = tuple(dict.fromkeys(checked_text(key, "a key to index", MAX_NAME_BYTES) for key in keys))
    if len(chosen) > MAX_INDEXED:
        raise InputRejected(f"{len(chosen)} keys are to be indexed; at most {MAX_INDEXED} can be")
    return chosen


_OPTIONS: Final = frozenset({"busy_timeout", "cache_bytes", "ef_search", "indexed"})


def from_url(url: str) -> SQLiteVectorStore:
    """Return the vector store of a URL: `sqlite:///relative.db` or `sqlite:////absolute.db`.

    Options: `busy_timeout=` in seconds, `cache_bytes=`, `ef_search=` and `indexed=`, with commas between keys; see
    `SQLiteVectorStore`.

    ```python
    >>> from_url("sqlite:///vectors.db?cache_bytes=100000000")
    SQLiteVectorStore('vectors.db')

    ```

    Raises:
        ConfigurationError: it names no file, or an option that there is not.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)[1:]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.netloc or not path or path == ":memory:":
        raise ConfigurationError(
            f"{url!r} names no file; write 'sqlite:///vectors.db' for one beside the program,"
            " 'sqlite:////var/vectors.db' for one anywhere, or 'memory:' to keep nothing"
        )
    if unknown := options.keys() - _OPTIONS:
        raise ConfigurationError(f"no option {sorted(unknown)!r} for SQLite; there are {sorted(_OPTIONS)!r}")
    try:
        return SQLiteVectorStore(
            path,
            busy_timeout=float(options.get("busy_timeout", BUSY_TIMEOUT)),
            cache_bytes=int(options.get("cache_bytes", CACHE_BYTES)),
            indexed=[key for key in options.get("indexed", "").split(",") if key],
            ef_search=int(options.get("ef_search", EF_SEARCH)),
        )
    except (ValueError, InputRejected) as error:
        raise ConfigurationError(f"{url!r}: {error}") from error
