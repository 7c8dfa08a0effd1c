"""What the vector store does on a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.integrations.postgres import vector_index
from tinyllm_actors.integrations.postgres.vector_filters import condition
from tinyllm_actors.integrations.postgres.vector_schema import OPERATORS, Place
from tinyllm_actors.retrieval import Collection, Hit, Row
from tinyllm_actors.retrieval.checks import check_same, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tinyllm_actors.integrations.postgres.connection import Connection
    from tinyllm_actors.integrations.postgres.vector_index import Hnsw
    from tinyllm_actors.integrations.postgres.vector_schema import Precision
    from tinyllm_actors.retrieval import Filter, Metric

__all__ = [
    "PLACE",
    "count",
    "create",
    "delete",
    "drop",
    "find",
    "get",
    "list_all",
    "nearest",
    "search",
    "search_text",
    "upsert",
]

PLACE: Final = "SELECT id, name, dimensions, metric, precision, language FROM tinyllm_actors_vector_collections"

_TEXT_LIMIT: Final = 250_000
"""Characters of a text whose words are found; PostgreSQL's vectors of words have a limit of a megabyte."""

_STAGING: Final = "tinyllm_actors_vector_staging"


async def find(connection: Connection, name: str) -> Place | None:
    """Return where a collection is."""
    row = await connection.fetchrow(f"{PLACE} WHERE name = $1", name)
    return None if row is None else Place(*row.values())


async def create(
    connection: Connection,
    name: str,
    dimensions: int,
    metric: Metric,
    precision: Precision,
    language: str,
    index: Hnsw | None,
) -> bool:
    """Make a collection that is not there.

    Raises:
        ConfigurationError: the server does not know the language, or the vectors are too long for an index.
    """
    async with connection.transaction():
        number = await connection.fetchval(
            "INSERT INTO tinyllm_actors_vector_collections (name, dimensions, metric, precision, language)"
            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING RETURNING id",
            name,
            dimensions,
            metric,
            precision,
            language,
        )
        if number is not None:
            if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_ts_config WHERE cfgname = $1)", language):
                raise ConfigurationError(f"the server has no text search configuration {language!r}; take 'simple'")
            place = Place(number, name, dimensions, metric, precision, language)
            await connection.execute(
                f"CREATE TABLE {place.table} ("
                ' id text COLLATE "C" PRIMARY KEY,'
                " digest bytea NOT NULL UNIQUE,"
                " metadata jsonb NOT NULL,"
                f" vector {place.type}({dimensions:d}) NOT NULL,"
                " text text NOT NULL,"
                # The name of the language has letters and underscores only.
                f" words tsvector GENERATED ALWAYS AS (to_tsvector('{language}', left(text, {_TEXT_LIMIT}))) STORED)"
            )
            # A vector is read whole or not at all, and does not get smaller: neither compress it, nor keep it apart.
            await connection.execute(f"ALTER TABLE {place.table} ALTER COLUMN vector SET STORAGE PLAIN")
            await connection.execute(f"CREATE INDEX ON {place.table} USING gin (words)")
            if index is not None:
                await connection.execute(vector_index.statement(place, index))
            return True
    known = await find(connection, name)
    if known is not None:
        check_same(name, (known.dimensions, known.metric), (dimensions, metric))
    return False


async def drop(connection: Connection, name: str) -> bool:
    """Remove a collection."""
    async with connection.transaction():
        row = await connection.fetchrow(
            "DELETE FROM tinyllm_actors_vector_collections WHERE name = $1"
            " RETURNING id, name, dimensions, metric, precision, language",
            name,
        )
        if row is not None:
            await connection.execute(f"DROP TABLE {Place(*row.values()).table}")
        return row is not None


async def list_all(connection: Connection) -> list[Collection]:
    """Return all collections."""
    async with connection.transaction():
        rows = await connection.fetch(f"{PLACE} ORDER BY name FOR SHARE")  # so that none is dropped meanwhile
        found: list[Collection] = []
        for place in (Place(*row.values()) for row in rows):
            size = await connection.fetchval(f"SELECT count(*) FROM {place.table}")
            found.append(Collection(place.name, place.dimensions, place.metric, size))
        return found


async def upsert(connection: Connection, place: Place, data: Sequence[bytes], timeout: float) -> None:
    """Store rows, from what COPY reads."""

    async def source() -> AsyncIterator[bytes]:
        for block in data:
            yield block

    async with connection.transaction():
        await connection.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS {_STAGING} (id text, digest bytea, metadata jsonb, vector vector,"
            " text text) ON COMMIT DELETE ROWS"
        )
        await connection.copy_to_table(
            _STAGING, schema_name="pg_temp", source=source(), format="binary", timeout=timeout
        )
        # Of lists that it cannot see into the planner expects few entries, and looks them up; joined with the staging
        # table, of which it knows nothing, it would read all of the collection for each batch.
        await connection.execute(
            f"DELETE FROM {place.table} WHERE id = ANY (ARRAY (SELECT id FROM pg_temp.{_STAGING}))"
            f" OR digest = ANY (ARRAY (SELECT digest FROM pg_temp.{_STAGING}))",
            timeout=timeout,
        )
        await connection.execute(
            f"INSERT INTO {place.table} (id, digest, metadata, vector, text)"
            f" SELECT id, digest, metadata, vector::{place.type}({place.dimensions:d}), text"
            f" FROM pg_temp.{_STAGING} ORDER BY id",
            timeout=timeout,
        )


def _chosen(ids: Sequence[str] | None, filter: Filter | None) -> tuple[str, list[object]]:
    bound: list[object] = []
    where = condition(filter, bound)
    if ids is not None:
        bound.append(ids)
        where = f"r.id = ANY(${len(bound)}::text[]) AND {where}"
    return where, bound


async def delete(connection: Connection, place: Place, ids: Sequence[str] | None, filter: Filter | None) -> int:
    """Remove rows."""
    where, bound = _chosen(ids, filter)
    tag = await connection.execute(f"DELETE FROM {place.table} r WHERE {where}", *bound)
    return int(tag.rpartition(" ")[2])


async def get(connection: Connection, place: Place, ids: Sequence[str]) -> list[Row]:
    """Return rows, in the order of the ids."""
    where, bound = _chosen(ids, None)
    rows = await connection.fetch(f"SELECT id, text, metadata, vector FROM {place.table} r WHERE {where}", *bound)
    found = {id: Row(text, vector, opened(metadata), id) for id, text, metadata, vector in rows}
    return [found[id] for id in ids if id in found]


async def count(connection: Connection, place: Place, filter: Filter | None) -> int:
    """Return how many rows there are."""
    where, bound = _chosen(None, filter)
    return await connection.fetchval(f"SELECT count(*) FROM {place.table} r WHERE {where}", *bound)


def nearest(place: Place, metric: Metric, k: int, filter: Filter | None, vectors: bool) -> tuple[str, list[object]]:
    """Return the statement that finds the nearest rows, and what is bound behind the vector."""
    # k is a whole number that was checked, and written out: for a bound one the planner would expect a tenth of the
    # table and not take the index.
    bound: list[object] = [None]
    where = condition(filter, bound)
    if metric == "cosine" and place.metric != "cosine":
        where += (
            " AND l2_norm(r.vector::halfvec) > 0" if place.precision == "half" else " AND vector_norm(r.vector) > 0"
        )
    column = ", r.vector" if vectors else ""
    operator, _ = OPERATORS[metric]
    far = f"r.vector {operator} $1::{place.type}({place.dimensions:d})"
    return (
        f"SELECT r.id, r.text, r.metadata, {far} AS far{column} FROM {place.table} r WHERE {where}"
        f" ORDER BY {far} LIMIT {k:d}",
        bound[1:],
    )


async def search(
    connection: Connection,
    place: Place,
    query: Sequence[float],
    k: int,
    metric: Metric,
    filter: Filter | None,
    vectors: bool,
) -> list[Hit]:
    """Return the rows whose vectors are nearest."""
    statement, bound = nearest(place, metric, k, filter, vectors)
    rows = await connection.fetch(statement, query, *bound)
    hits = [_hit(row, 1.0 - row[3] if metric == "cosine" else -row[3]) for row in rows]
    hits.sort(key=lambda hit: -hit.score)  # an index may give them in an order that is only nearly right
    return hits


def _hit(row: Any, score: float) -> Hit:
    id, text, metadata, _, *vector = row
    return Hit(id, text, opened(metadata), score, vector[0] if vector else None)


async def search_text(
    connection: Connection, place: Place, words: Sequence[str], k: int, filter: Filter | None, vectors: bool
) -> list[Hit]:
    """Return the rows whose texts fit best.

    PostgreSQL's own rank knows nothing of rare words. Here each word of the query counts as much as BM25 would let it,
    by how many texts have it, times the rank of the text for that word alone, which grows ever slower with how often
    the text has it, and falls with the text's length.
    """
    bound: list[object] = [" ".join(words), place.language]
    where = condition(filter, bound)
    column = ", r.vector" if vectors else ""
    rows = await connection.fetch(
        "WITH terms AS MATERIALIZED ("
        "  SELECT quote_literal(lexeme)::tsquery AS term FROM unnest(to_tsvector($2::text::regconfig, $1::text))"
        "), found AS MATERIALIZED ("
        f"  SELECT term, (SELECT count(*) FROM {place.table} r WHERE r.words @@ term) AS texts FROM terms"
        "), weights AS MATERIALIZED ("
        "  SELECT term, ln(1 + (greatest(total, texts) - texts + 0.5) / (texts + 0.5)) AS weight FROM found, ("
        "    SELECT CASE WHEN reltuples < 10000"
        f"      THEN (SELECT count(*) FROM {place.table}) ELSE reltuples::bigint END AS total"
        f"    FROM pg_class WHERE oid = '{place.table}'::regclass"
        "  ) size WHERE texts > 0"
        "), best AS ("
        "  SELECT r.id, sum(w.weight * ts_rank(r.words, w.term, 1)) AS score"
        f"  FROM weights w JOIN {place.table} r ON r.words @@ w.term WHERE {where}"
        f"  GROUP BY r.id ORDER BY score DESC, r.id LIMIT {k:d}"
        f") SELECT r.id, r.text, r.metadata, best.score{column} FROM best JOIN {place.table} r USING (id)"
        " ORDER BY best.score DESC, r.id",
        *bound,
    )
    return [_hit(row, row[3]) for row in rows]
