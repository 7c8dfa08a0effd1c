"""The vector store in PostgreSQL: what is its own beside the contract."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from tinyllm_actors.errors import ConfigurationError, StoreUnavailable, UnknownCollection, VectorRejected
from tinyllm_actors.retrieval import Row, field

asyncpg = pytest.importorskip("asyncpg")

from tinyllm_actors.integrations._asyncio_bridge import open_bridge  # noqa: E402
from tinyllm_actors.integrations.postgres import Hnsw, IvfFlat, PostgresVectorStore  # noqa: E402
from tinyllm_actors.integrations.postgres.vector_schema import Place  # noqa: E402
from tinyllm_actors.integrations.postgres.vector_statements import PLACE, nearest  # noqa: E402
from tinyllm_actors.integrations.postgres.vectors import from_url  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

pytestmark = pytest.mark.anyio

random_ = random.Random(3)
ROWS = [Row(f"text {n}", [random_.gauss(0, 1) for _ in range(8)], {"n": n, "rare": n % 100 == 0}) for n in range(1500)]
QUERY = [random_.gauss(0, 1) for _ in range(8)]
LISTS, PROBES = 20, 18
"""Groups of an IVFFlat index, and those that a search looks at.

The server makes the groups by chance, which cannot be seeded. In 10 of 20 groups up to four of the 20 nearest rows were
missing now and then; in 18 of them, over 600 indexes, none.
"""


async def ask(uri: str, statement: str, *arguments: object, settings: dict[str, str] | None = None) -> list[Any]:
    """Return the rows of a statement that does not go through the store."""

    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(uri, password="", server_settings=settings)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async with open_bridge() as bridge:
        return await bridge.call(fetch)


@pytest.fixture
async def store(postgres_uri: str) -> AsyncIterator[PostgresVectorStore]:
    """Return an open store without collections."""
    async with PostgresVectorStore(postgres_uri) as store:
        for collection in await store.list():
            await store.drop(collection.name)
        yield store


async def plan(uri: str, metric: Any) -> str:
    """Return how the server would search the collection `c`, and by which method its index of vectors works."""
    [row] = await ask(uri, f"{PLACE} WHERE name = 'c'")
    place = Place(*row.values())
    statement, _ = nearest(place, metric, 10, None, vectors=False)
    settings = {"ivfflat.probes": f"{PROBES}"}
    lines = [row[0] for row in await ask(uri, f"EXPLAIN {statement}", str(QUERY), settings=settings)]
    methods = await ask(uri, "SELECT indexdef FROM pg_indexes WHERE indexname = $1", place.index)
    assert any(f"Index Scan using {place.index}" in line for line in lines), lines
    return methods[0][0]


def common(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    """Return which part of what is wanted was found."""
    return len({hit.id for hit in found} & {hit.id for hit in wanted}) / len(wanted)


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
async def test_indexes_are_used_and_find_nearly_all(store: PostgresVectorStore, postgres_uri: str, metric: Any) -> None:
    """With an HNSW or IVFFlat index of each metric the server uses it, and finds what a full comparison finds."""
    await store.create("c", dimensions=8, metric=metric)
    await store.upsert("c", ROWS)
    exact = await store.search("c", QUERY, 20)
    async with PostgresVectorStore(postgres_uri, probes=PROBES) as indexed:
        for index, name in ((Hnsw(m=8, ef_construction=32), "hnsw"), (IvfFlat(lists=LISTS), "ivfflat")):
            await indexed.build_index("c", index)
            assert name in await plan(postgres_uri, metric)
            assert common(await indexed.search("c", QUERY, 20), exact) >= 0.9
            scores = [hit.score for hit in await indexed.search("c", QUERY, 50)]
            assert scores == sorted(scores, reverse=True)
        await indexed.build_index("c", None)
        assert [hit.id for hit in await indexed.search("c", QUERY, 20)] == [hit.id for hit in exact]


async def test_a_filter_that_few_pass_still_finds_k(postgres_uri: str, store: PostgresVectorStore) -> None:
    """An index goes on until enough rows passed the filter, far beyond the candidates that it looks at first."""
    async with PostgresVectorStore(f"{postgres_uri}", ef_search=10) as narrow:
        await narrow.create("c", dimensions=8)
        await narrow.upsert("c", ROWS)
        await narrow.build_index("c", Hnsw())
        for filter, size in ((field("rare") == True, 15), (field("n") < 300, 40)):  # noqa: E712 - makes a filter
            found = await narrow.search("c", QUERY, size, filter=filter)
            exact = await narrow.search("c", [2 * number for number in QUERY], size, filter=filter)
            assert len(found) == size
            assert common(found, exact) >= 0.9
        assert len(await narrow.search("c", QUERY, 500)) == 500


async def test_an_index_from_the_start_follows_changes(postgres_uri: str, store: PostgresVectorStore) -> None:
    """A collection made with an index keeps it up to date through upserts and deletes."""
    async with PostgresVectorStore(postgres_uri, hnsw=True) as indexed:
        await indexed.create("c", dimensions=8)
        await indexed.upsert("c", ROWS[:300])
        await indexed.delete("c", filter=field("n") < 100)
        await indexed.upsert("c", [Row("the very same", QUERY, id="same")])
        found = await indexed.search("c", QUERY, 5)
        assert found[0].id == "same"
        assert found[0].score == pytest.approx(1.0)
        assert all(hit.id == "same" or hit.metadata["n"] >= 100 for hit in found)  # type: ignore[operator]


async def test_half_precision_finds_the_same(postgres_uri: str, store: PostgresVectorStore) -> None:
    """Vectors of half precision take half the room, are found alike, and what does not fit into one is refused."""
    async with PostgresVectorStore(postgres_uri, precision="half") as half:
        for kept, name in ((store, "single"), (half, "half")):
            await kept.create(name, dimensions=8)
            await kept.upsert(name, ROWS)
        await half.build_index("half", Hnsw())
        single = await store.search("single", QUERY, 10)
        found = await half.search("half", QUERY, 10, with_vectors=True)
        assert common(found, single) >= 0.9
        assert found[0].score == pytest.approx(single[0].score, abs=1e-3)
        assert [*(found[0].vector or ())] == pytest.approx([*ROWS[int(found[0].text[5:])].vector], rel=1e-3)
        assert len(await half.search("half", QUERY, 3, metric="l2", filter=field("n") > 10)) == 3
        with pytest.raises(VectorRejected, match="half precision"):
            await half.upsert("half", [Row("large", [70_000.0] * 8)])
        with pytest.raises(VectorRejected, match="half precision"):
            await half.search("half", [1e-9] * 8)
        await half.create("zeros", dimensions=2, metric="l2")
        await half.upsert("zeros", [Row("zero", [0.0, 0.0]), Row("one", [1.0, 0.0])])
        assert [hit.text for hit in await half.search("zeros", [1.0, 0.0], metric="cosine")] == ["one"]


async def test_vectors_too_long_for_an_index_say_so(postgres_uri: str, store: PostgresVectorStore) -> None:
    """Beyond 2,000 dimensions, 4,000 of half precision, an index is refused, and searches work without one."""
    long = [1.0] * 2001
    await store.create("c", dimensions=2001)
    await store.upsert("c", [Row("long", long)])
    with pytest.raises(ConfigurationError, match=r"at most 2000 dimensions.*precision='half'"):
        await store.build_index("c", Hnsw())
    assert len(await store.search("c", long)) == 1
    async with PostgresVectorStore(postgres_uri, precision="half", hnsw=True) as half:
        assert await half.create("half", dimensions=2001)
        with pytest.raises(ConfigurationError, match=r"at most 4000 dimensions.*without one"):
            await half.create("longer", dimensions=4001)
    assert [collection.name for collection in await store.list()] == ["c", "half"]


async def test_languages_have_their_own_words(postgres_uri: str, store: PostgresVectorStore) -> None:
    """A collection keeps the language that it was made with; one that the server does not know is refused."""
    async with PostgresVectorStore(postgres_uri, language="german") as german:
        await german.create("de", dimensions=1)
        await german.upsert("de", [Row("Die Häuser am Fluss", [1.0])])
        for reader in (german, store):
            assert len(await reader.search_text("de", "Haus")) == 1
            assert await reader.search_text("de", "die") == []
    async with PostgresVectorStore(postgres_uri, language="klingon") as klingon:
        with pytest.raises(ConfigurationError, match="'klingon'"):
            await klingon.create("kl", dimensions=1)
    assert [collection.name for collection in await store.list()] == ["de"]


async def test_rare_words_count_more(store: PostgresVectorStore) -> None:
    """A text with the one rare word of a query comes before texts with the common ones."""
    await store.create("c", dimensions=1)
    rows = [Row(f"red apple number {n}", [1.0]) for n in range(50)]
    await store.upsert("c", [*rows, Row("a zebra", [1.0], id="zebra")])
    assert [hit.id for hit in await store.search_text("c", "red zebra", 1)] == ["zebra"]


async def test_a_server_that_restarts_is_waited_for(
    store: PostgresVectorStore, restart_postgres: Callable[[str], None]
) -> None:
    """Calls after a restart of the server succeed without being made again."""
    await store.create("c", dimensions=1)
    await store.upsert("c", [Row("before", [1.0])])
    await anyio.to_thread.run_sync(partial(restart_postgres, "fast"))
    assert await store.upsert("c", [Row("after", [1.0])]) == 1
    assert await store.count("c") == 2


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Opening without a server fails typed after the time to retry, and leaves nothing open."""
    store = PostgresVectorStore("postgresql:///x?host=/nowhere", retry_for=0)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await store.open()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.list()


async def test_a_server_without_rights_says_what_to_do(new_postgres_uri: str) -> None:
    """A user who may not create the extension is told who has to do what."""
    await ask(new_postgres_uri, "CREATE ROLE nobody_much LOGIN")
    try:
        uri = new_postgres_uri.replace("postgres:@", "nobody_much:@", 1)
        assert uri != new_postgres_uri
        with pytest.raises(ConfigurationError, match="CREATE EXTENSION vector"):
            await PostgresVectorStore(uri).open()
    finally:
        await ask(new_postgres_uri, "DROP ROLE nobody_much")


async def test_pgvector_may_be_in_a_schema_of_its_own(new_postgres_uri: str) -> None:
    """Wherever an administrator put the extension, every connection sends and reads vectors."""
    await ask(new_postgres_uri, "CREATE SCHEMA extensions")
    await ask(new_postgres_uri, "CREATE EXTENSION vector SCHEMA extensions")
    [[name]] = await ask(new_postgres_uri, "SELECT current_database()")
    await ask(new_postgres_uri, f"ALTER DATABASE {name} SET search_path TO public, extensions")
    found: list[Sequence[float]] = []

    async def search(store: PostgresVectorStore) -> None:
        [hit] = await store.search("c", [1.0, 0.5], with_vectors=True)
        found.append([*(hit.vector or ())])

    async with PostgresVectorStore(new_postgres_uri) as store, anyio.create_task_group() as group:
        await store.create("c", dimensions=2)
        await store.upsert("c", [Row("one", [0.25, -3.0])])
        for _ in range(3):
            group.start_soon(search, store)
    assert found == [[0.25, -3.0]] * 3


async def test_two_may_open_a_new_database_at_once(new_postgres_uri: str) -> None:
    """Both may use the store when their `open()` returns, over one pool, whose connections all know vectors."""
    store = PostgresVectorStore(new_postgres_uri)
    pools: set[int] = set()

    async def use(name: str) -> None:
        await store.open()
        pools.add(id(store._connections))  # pyright: ignore[reportPrivateUsage]
        await store.create(name, dimensions=2)
        await store.upsert(name, [Row("one", [0.25, -3.0])])
        [hit] = await store.search(name, [1.0, 0.5], with_vectors=True)
        assert [*(hit.vector or ())] == [0.25, -3.0]

    try:
        async with anyio.create_task_group() as group:
            for name in "abcd":
                group.start_soon(use, name)
    finally:
        await store.aclose()
    assert len(pools) == 1


async def test_building_an_index_needs_a_collection_and_memory(store: PostgresVectorStore) -> None:
    """An unknown collection and senseless limits are named."""
    with pytest.raises(UnknownCollection):
        await store.build_index("gone", Hnsw())
    with pytest.raises(ConfigurationError, match="memory"):
        await store.build_index("gone", Hnsw(), memory=0)


def test_options_without_meaning_are_refused() -> None:
    """Each number has its range, and an injected language is no language."""
    for wrong in (
        {"precision": "double"},
        {"language": "english'); DROP TABLE x; --"},
        {"ef_search": 0},
        {"ef_search": 1001},
        {"probes": 0},
        {"max_connections": 0},
        {"retry_for": -1},
    ):
        options: Any = wrong
        with pytest.raises(ConfigurationError):
            PostgresVectorStore("postgresql:///x", **options)
    for index, wrong in (
        (Hnsw, {"m": 1}),
        (Hnsw, {"m": 40}),
        (Hnsw, {"ef_construction": 1001}),
        (IvfFlat, {"lists": 0}),
    ):
        with pytest.raises(ConfigurationError):
            index(**wrong)


def test_urls_carry_options_and_keep_secrets() -> None:
    """Our options are taken out of the URL, others stay, and the password is not shown."""
    store = from_url("postgresql://ada:secret@h/db?hnsw=true&ef_search=40&sslmode=require&language=german")
    assert store._dsn == "postgresql://ada:secret@h/db?sslmode=require"  # pyright: ignore[reportPrivateUsage]
    assert "secret" not in repr(store) + store.name
    for query in ("ef_search=x", "hnsw=maybe", "precision=double"):
        with pytest.raises(ConfigurationError) as caught:
            from_url(f"postgresql://ada:secret@h/db?{query}")
        assert "secret" not in str(caught.value)
