"""The vector store in a PostgreSQL database with pgvector."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import anyio
import anyio.to_thread

from tinyllm_actors.errors import (
    ConfigurationError,
    MissingDependency,
    OutcomeUnknown,
    StoreUnavailable,
    UnknownCollection,
    VectorRejected,
)
from tinyllm_actors.integrations._asyncio_bridge import acquire_bridge
from tinyllm_actors.integrations.postgres.store import MAX_CONNECTIONS, RETRY_FOR, PostgresStore
from tinyllm_actors.retrieval.checks import (
    checked_ids,
    checked_k,
    checked_metric,
    checked_name,
    checked_shape,
    checked_vector,
    words_of,
)
from tinyllm_actors.retrieval.filters import checked_choice, checked_filter
from tinyllm_actors.retrieval.vector_store import VectorStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from tinyllm_actors.integrations._asyncio_bridge import Bridge
    from tinyllm_actors.integrations.postgres.connection import Connection
    from tinyllm_actors.integrations.postgres.pool import Connections
    from tinyllm_actors.retrieval import Collection, Filter, Hit, Metric, Row

try:
    from tinyllm_actors.integrations.postgres import pool, vector_codec, vector_index, vector_schema
    from tinyllm_actors.integrations.postgres import vector_statements as statements
    from tinyllm_actors.integrations.postgres.failures import MovedError, unless_moved
    from tinyllm_actors.integrations.postgres.vector_copy import check_half, encode_rows
    from tinyllm_actors.integrations.postgres.vector_index import Hnsw, IvfFlat
    from tinyllm_actors.integrations.postgres.vector_schema import Place, Precision
except ImportError as error:
    raise MissingDependency("PostgreSQL needs asyncpg: pip install 'tinyllm_actors[postgres]'") from error

__all__ = ["Hnsw", "IvfFlat", "PostgresVectorStore", "from_url"]

T = TypeVar("T")

_LANGUAGE: Final = re.compile(r"[a-z_]{1,63}")
_ROWS_PER_SECOND: Final = 100
"""What an upsert reaches at least, into an index, on a slow machine: its time-out grows with its rows."""


class PostgresVectorStore(VectorStore):
    """Keeps texts and vectors in a PostgreSQL database with pgvector 0.8, shared by any number of processes.

    Each collection is a table of its own. A search compares with every row, until `build_index` makes an approximate
    index; then it looks at `ef_search` candidates, and with a filter goes on until it has found enough (iterative
    scan). Rows are sent with `COPY`: several thousand in one call reach more than 5,000 a second without an index, some
    hundreds with one, so fill a large collection first and build the index then.

    Full text is a `tsvector` of the first 250,000 characters in one language; words are weighted by how rare they are,
    as BM25 does. Words that the language counts for nothing ("the") find nothing.

    While the server restarts or cannot be reached, calls are tried again with back-off. A call whose connection broke
    is sent again too, which is safe: it replaces the same rows by the same.

    ```python
    import anyio
    from tinyllm_actors.retrieval import Row, vector_store_from_url


    async def main() -> None:
        async with vector_store_from_url("postgresql://ada@db.example/texts") as store:
            await store.create("animals", dimensions=2)
            await store.upsert("animals", [Row("A cat.", [0.9, 0.1])])
            print(await store.search("animals", [1.0, 0.0]))


    anyio.run(main)
    ```

    Args:
        dsn: where, in libpq's form.
        precision: of collections that it makes: `"half"` takes half the room and bandwidth, and finds nearly the same.
        hnsw: whether collections that it makes have an `Hnsw` index from the start.
        language: of texts in collections that it makes: a text search configuration of the server, such as
            `"german"`; `"simple"` knows no stems and leaves no word out.
        ef_search: candidates of a search in an `Hnsw` index, 1 to 1000. If in doubt, 100; more is better and slower.
        probes: groups that a search in an `IvfFlat` index looks at.
        max_connections: at most so many; calls beyond wait.
        retry_for: seconds to go on trying while the server is away, before a call fails.

    Raises:
        ConfigurationError: an option has no meaning.
    """

    def __init__(
        self,
        dsn: str,
        *,
        precision: Precision = "single",
        hnsw: bool = False,
        language: str = "english",
        ef_search: int = 100,
        probes: int = 10,
        max_connections: int = MAX_CONNECTIONS,
        retry_for: float = RETRY_FOR,
    ) -> None:
        if precision not in {"single", "half"} or not _LANGUAGE.fullmatch(language):
            raise ConfigurationError(
                f"need precision 'single' or 'half' and the name of a language, got {precision!r} and {language[:80]!r}"
            )
        if not 1 <= ef_search <= 1000 or not 1 <= probes <= 32_768:
            raise ConfigurationError(
                f"need ef_search from 1 to 1000 and probes from 1 to 32768, got {ef_search!r} and {probes!r}"
            )
        if max_connections < 1 or not 0 <= retry_for <= 3600:
            raise ConfigurationError(
                f"need max_connections >= 1 and retry_for from 0 to 3600 seconds, got {max_connections!r} and"
                f" {retry_for!r}"
            )
        self.name = PostgresStore.shown(dsn)
        self._dsn = dsn
        self._precision: Precision = precision
        self._hnsw = hnsw
        self._language = language
        self._max_connections = max_connections
        self._retry_for = retry_for
        self._settings = {
            "hnsw.ef_search": f"{ef_search:d}",
            "hnsw.iterative_scan": "strict_order",
            "ivfflat.probes": f"{probes:d}",
            "ivfflat.iterative_scan": "relaxed_order",
            # A search is over before code for it would be compiled.
            "jit": "off",
        }
        self._bridge: Bridge | None = None
        self._connections: Connections | None = None
        self._places: dict[str, Place] = {}

    def __repr__(self) -> str:
        return f"PostgresVectorStore({self.name!r})"

    async def open(self) -> None:
        """Connect, and make the tables or bring them up to date.

        Raises:
            ConfigurationError: the server has no pgvector, or the user may not use it, or the tables are newer.
        """
        first = self._bridge is None
        if self._bridge is None:
            self._bridge = acquire_bridge()
            self._connections = pool.Connections(
                self._dsn, self.name, self._max_connections, self._retry_for, self._settings, vector_codec.teach
            )
        assert self._connections is not None
        try:
            await self._bridge.call(self._connections.open)
            # Each who opens it does this, as its connection may be older than what another one makes.
            await self._run(partial(vector_schema.prepare, name=self.name), writes=False)
        except BaseException:
            if first:  # else somebody else is using it
                await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the connections; calls that are under way have a few seconds to end."""
        bridge, connections = self._bridge, self._connections
        self._bridge = self._connections = None
        self._places.clear()
        if bridge is not None and connections is not None:
            with anyio.CancelScope(shield=True):
                try:
                    await bridge.call(connections.aclose)
                finally:
                    await bridge.aclose()

    async def _run(self, work: Callable[[Connection], Awaitable[T]], *, writes: bool) -> T:
        if self._bridge is None or self._connections is None:
            raise StoreUnavailable(f"store {self.name!r} is not open; use it inside `async with`", retryable=False)
        try:
            return await self._bridge.call(partial(self._connections.run, work, writes=writes))
        except anyio.ClosedResourceError as error:
            message = f"store {self.name!r} was closed during the call"
            raise (OutcomeUnknown(message) if writes else StoreUnavailable(message, retryable=False)) from error

    async def _about(
        self, collection: str, call: Callable[[Place], Awaitable[Callable[[Connection], Awaitable[T]]]], *, writes: bool
    ) -> T:
        """Return what `call(place)` says to do with a connection; it is asked again if the collection moved."""
        name = checked_name(collection)
        for known in (True, False):
            place = self._places.get(name) if known else None
            fresh = place is None
            if place is None:
                place = await self._run(partial(statements.find, name=name), writes=False)
                if place is None:
                    raise UnknownCollection(name, self.name)
            try:
                work = await call(place)
            except VectorRejected:
                if fresh:
                    raise
                self._places.pop(name, None)
                continue  # perhaps somebody made it anew, with another shape
            self._places[name] = place
            try:
                return await self._run(partial(unless_moved, work), writes=writes)
            except MovedError:
                self._places.pop(name, None)
        raise UnknownCollection(name, self.name)

    async def create(self, name: str, *, dimensions: int, metric: Metric = "cosine") -> bool:
        """Make a collection, with the options of this store.

        Raises:
            ConfigurationError: the server does not know the language, or vectors are too long for an index.
        """
        checked_shape(name, dimensions, metric)
        work = partial(
            statements.create,
            name=name,
            dimensions=dimensions,
            metric=metric,
            precision=self._precision,
            language=self._language,
            index=Hnsw() if self._hnsw else None,
        )
        return await self._run(work, writes=True)

    async def build_index(self, collection: str, index: Hnsw | IvfFlat | None, *, memory: int = 256) -> None:
        """Build an approximate index in place of the one that is there; None leaves none. Writers wait meanwhile.

        Args:
            collection: of which.
            index: which; if in doubt, `Hnsw()`.
            memory: MiB that the server may use for it. An `Hnsw` graph that fits is built many times faster: 100,000
                vectors of 384 dimensions take some 200 MiB.

        Raises:
            UnknownCollection: there is no such collection.
            ConfigurationError: the vectors are too long for an index, or `memory` is none.
        """
        if not 1 <= memory <= 1024 * 1024:
            raise ConfigurationError(f"need memory from 1 to 1048576 MiB, got {memory!r}")

        async def call(place: Place) -> Callable[[Connection], Awaitable[None]]:
            if index is not None:
                vector_index.statement(place, index)
            return partial(vector_index.build, place=place, index=index, memory=memory)

        await self._about(collection, call, writes=True)

    async def drop(self, name: str) -> bool:
        """Remove a collection."""
        return await self._run(partial(statements.drop, name=checked_name(name)), writes=True)

    async def list(self) -> list[Collection]:
        """Return all collections."""
        return await self._run(statements.list_all, writes=False)

    async def upsert(self, collection: str, rows: Iterable[Row]) -> int:
        """Store rows."""
        given = [*rows]
        size = 0

        async def call(place: Place) -> Callable[[Connection], Awaitable[None]]:
            nonlocal size
            size, data = await anyio.to_thread.run_sync(encode_rows, given, place)
            return partial(statements.upsert, place=place, data=data, timeout=30.0 + size / _ROWS_PER_SECOND)

        await self._about(collection, call, writes=True)
        return size

    async def delete(self, collection: str, *, ids: Iterable[str] | None = None, filter: Filter | None = None) -> int:
        """Remove rows."""
        chosen = checked_choice(ids, filter)

        async def call(place: Place) -> Callable[[Connection], Awaitable[int]]:
            return partial(statements.delete, place=place, ids=chosen, filter=filter)

        return await self._about(collection, call, writes=True)

    async def get(self, collection: str, ids: Iterable[str]) -> list[Row]:
        """Return rows."""
        wanted = checked_ids(ids)

        async def call(place: Place) -> Callable[[Connection], Awaitable[list[Row]]]:
            return partial(statements.get, place=place, ids=wanted)

        return await self._about(collection, call, writes=False)

    async def count(self, collection: str, filter: Filter | None = None) -> int:
        """Return how many rows there are."""
        checked_filter(filter)

        async def call(place: Place) -> Callable[[Connection], Awaitable[int]]:
            return partial(statements.count, place=place, filter=filter)

        return await self._about(collection, call, writes=False)

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

        async def call(place: Place) -> Callable[[Connection], Awaitable[list[Hit]]]:
            how = metric or place.metric
            query = checked_vector(vector, place.dimensions, how)
            if place.precision == "half":
                check_half(query, "the vector", direction=how == "cosine")
            return partial(
                statements.search, place=place, query=query, k=k, metric=how, filter=filter, vectors=with_vectors
            )

        return await self._about(collection, call, writes=False)

    async def search_text(
        self, collection: str, query: str, k: int = 10, *, filter: Filter | None = None, with_vectors: bool = False
    ) -> list[Hit]:
        """Return the rows whose texts fit best."""
        words = words_of(query)
        checked_k(k)
        checked_filter(filter)

        async def call(place: Place) -> Callable[[Connection], Awaitable[list[Hit]]]:
            return partial(statements.search_text, place=place, words=words, k=k, filter=filter, vectors=with_vectors)

        return await self._about(collection, call, writes=False)


_OPTIONS: Final = frozenset({"ef_search", "hnsw", "language", "max_connections", "precision", "probes", "retry_for"})


def from_url(url: str) -> PostgresVectorStore:
    """Return the vector store of a URL in libpq's form.

    Options of the store, see `PostgresVectorStore`: `precision=single|half`, `hnsw=true|false`, `language=`,
    `ef_search=`, `probes=`, `max_connections=` and `retry_for=` in seconds. All others go to the driver (`host`,
    `sslmode`, …).

    ```python
    >>> from_url("postgresql://ada:secret@db.example/texts?hnsw=true&precision=half&sslmode=require")
    PostgresVectorStore('postgresql://ada@db.example/texts')

    ```

    Raises:
        ConfigurationError: an option has no meaning.
        MissingDependency: asyncpg is not installed.
    """
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    ours = {name: value for name, value in options if name in _OPTIONS}
    theirs = urlencode([(name, value) for name, value in options if name not in _OPTIONS])
    try:
        hnsw = {"true": True, "false": False}[ours.get("hnsw", "false").lower()]
        return PostgresVectorStore(
            urlunsplit(parts._replace(query=theirs)),
            precision=cast("Literal['single', 'half']", ours.get("precision", "single")),
            hnsw=hnsw,
            language=ours.get("language", "english"),
            ef_search=int(ours.get("ef_search", 100)),
            probes=int(ours.get("probes", 10)),
            max_connections=int(ours.get("max_connections", MAX_CONNECTIONS)),
            retry_for=float(ours.get("retry_for", RETRY_FOR)),
        )
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"an option of the store URL {PostgresStore.shown(url)!r} is wrong: {error}"
        ) from error
