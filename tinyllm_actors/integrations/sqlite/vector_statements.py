"""What the vector store does inside a transaction, as functions of a connection.

Each collection has four tables, named by its number: rows, vectors (so that a filter need not read past them), words
(FTS5, which reads the texts from the rows), and the values of indexed keys of the metadata. A row is never changed:
what replaces it has a higher number, and no number is used twice. So whoever has seen the rows up to a number needs
only those above it, and what was removed.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from tinyllm_actors.errors import UnknownCollection
from tinyllm_actors.integrations.sqlite import vector_graph
from tinyllm_actors.integrations.sqlite.schema import migrate
from tinyllm_actors.integrations.sqlite.vector_filters import condition
from tinyllm_actors.integrations.sqlite.vector_keys import KeyTable
from tinyllm_actors.retrieval import Collection, Hit, Row
from tinyllm_actors.retrieval.checks import check_same, opened, sealed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from tinyllm_actors.retrieval import Filter, Metric
    from tinyllm_actors.retrieval.rows import Sealed

__all__ = [
    "Place",
    "count",
    "create",
    "delete",
    "drop",
    "get",
    "hits",
    "index_keys",
    "keep_graph",
    "list_all",
    "numbers",
    "place_of",
    "prepare",
    "search_text",
    "upsert",
    "vectors_after",
]

MIGRATIONS: Final = (
    """
    CREATE TABLE tinyllm_actors_vector_collections (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        dimensions INTEGER NOT NULL,
        metric TEXT NOT NULL,
        last INTEGER NOT NULL DEFAULT 0,
        size INTEGER NOT NULL DEFAULT 0,
        version INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    ALTER TABLE tinyllm_actors_vector_collections ADD COLUMN indexed TEXT NOT NULL DEFAULT '[]'
    """,
    """
    ALTER TABLE tinyllm_actors_vector_collections ADD COLUMN covered INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tinyllm_actors_vector_collections ADD COLUMN built INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tinyllm_actors_vector_collections ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0
    """,
)

prepare = partial(migrate, migrations=MIGRATIONS, versions="tinyllm_actors_vector_schema")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a collection is.

    Attributes:
        id: its number, which no other one ever has.
        name: its name.
        dimensions: of its vectors.
        metric: of its vectors.
        last: the highest number of a row that it ever had.
        size: how many rows it has.
        version: how often it was changed.
        indexed: keys of the metadata that are indexed, as a JSON list.
        covered: the highest number of a row that its graph may hold; 0 if it has none.
        built: how often a graph was built or removed.
        checksum: of the graph.
    """

    id: int
    name: str
    dimensions: int
    metric: Metric
    last: int
    size: int
    version: int
    indexed: str
    covered: int
    built: int
    checksum: int

    @property
    def rows(self) -> str:
        """The table of its rows."""
        return f"tinyllm_actors_vector_rows_{self.id:d}"

    @property
    def vectors(self) -> str:
        """The table of its vectors."""
        return f"tinyllm_actors_vector_values_{self.id:d}"

    @property
    def words(self) -> str:
        """The table of its words."""
        return f"tinyllm_actors_vector_words_{self.id:d}"

    @property
    def graph(self) -> str:
        """The table of its graph, which is there if rows are covered."""
        return f"tinyllm_actors_vector_graph_{self.id:d}"

    @property
    def keys(self) -> KeyTable:
        """The table of the values of its indexed keys."""
        return KeyTable(f"tinyllm_actors_vector_keys_{self.id:d}", tuple(json.loads(self.indexed)))


_PLACE: Final = (
    "SELECT id, name, dimensions, metric, last, size, version, indexed, covered, built, checksum"
    " FROM tinyllm_actors_vector_collections"
)


def place_of(database: sqlite3.Connection, name: str, store: str) -> Place:
    """Return where a collection is.

    Raises:
        UnknownCollection: it is nowhere.
    """
    row = database.execute(f"{_PLACE} WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise UnknownCollection(name, store)
    return Place(*row)


def create(database: sqlite3.Connection, name: str, dimensions: int, metric: Metric, indexed: Sequence[str]) -> bool:
    """Make a collection that is not there."""
    row = database.execute(f"{_PLACE} WHERE name = ?", (name,)).fetchone()
    if row is not None:
        place = Place(*row)
        check_same(name, (place.dimensions, place.metric), (dimensions, metric))
        return False
    keys = json.dumps(indexed)
    number = database.execute(
        "INSERT INTO tinyllm_actors_vector_collections (name, dimensions, metric, indexed) VALUES (?, ?, ?, ?)",
        (name, dimensions, metric, keys),
    ).lastrowid
    place = Place(cast("int", number), name, dimensions, metric, 0, 0, 0, keys, 0, 0, 0)
    database.execute(
        f"CREATE TABLE {place.rows} (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, digest TEXT NOT NULL UNIQUE,"
        " metadata TEXT NOT NULL, text TEXT NOT NULL)"
    )
    database.execute(f"CREATE TABLE {place.vectors} (row INTEGER PRIMARY KEY, vector BLOB NOT NULL)")
    database.execute(
        f"CREATE VIRTUAL TABLE {place.words} USING fts5(text, content='{place.rows}', content_rowid='row',"
        " tokenize='porter unicode61 remove_diacritics 2')"
    )
    place.keys.create(database)
    return True


def index_keys(database: sqlite3.Connection, name: str, store: str, indexed: Sequence[str]) -> None:
    """Have an index on these keys of the metadata and no others."""
    place = replace(place_of(database, name, store), indexed=json.dumps(indexed))
    place.keys.create(database)
    place.keys.fill(database, place.rows)
    database.execute("UPDATE tinyllm_actors_vector_collections SET indexed = ? WHERE id = ?", (place.indexed, place.id))


def drop(database: sqlite3.Connection, name: str) -> bool:
    """Remove a collection."""
    row = database.execute(f"{_PLACE} WHERE name = ?", (name,)).fetchone()
    if row is None:
        return False
    place = Place(*row)
    for table in (place.words, place.rows, place.vectors):
        database.execute(f"DROP TABLE {table}")
    place.keys.drop(database)
    vector_graph.drop(database, place)
    database.execute("DELETE FROM tinyllm_actors_vector_collections WHERE id = ?", (place.id,))
    return True


def list_all(database: sqlite3.Connection) -> list[Collection]:
    """Return all collections."""
    places = [Place(*row) for row in database.execute(f"{_PLACE} ORDER BY name")]
    return [Collection(place.name, place.dimensions, place.metric, place.size) for place in places]


def upsert(database: sqlite3.Connection, name: str, store: str, rows: Iterable[Row]) -> int:
    """Store rows."""
    place = place_of(database, name, store)
    entries = sealed(rows, place.dimensions, place.metric)
    removed = _remove(database, place, _taken(database, place, entries)) if place.size else 0
    numbers = range(place.last + 1, place.last + 1 + len(entries))
    database.executemany(
        f"INSERT INTO {place.rows} VALUES (?, ?, ?, ?, ?)",
        (
            (number, entry.id, entry.digest.hex(), entry.metadata.decode(), entry.text)
            for number, entry in zip(numbers, entries, strict=True)
        ),
    )
    database.executemany(
        f"INSERT INTO {place.vectors} VALUES (?, ?)",
        ((number, entry.vector) for number, entry in zip(numbers, entries, strict=True)),
    )
    database.executemany(
        f"INSERT INTO {place.words} (rowid, text) VALUES (?, ?)",
        ((number, entry.text) for number, entry in zip(numbers, entries, strict=True)),
    )
    place.keys.add(database, zip(numbers, (entry.metadata for entry in entries), strict=True))
    _changed(database, place, last=place.last + len(entries), size=place.size - removed + len(entries))
    return len(entries)


def _taken(database: sqlite3.Connection, place: Place, entries: Sequence[Sealed]) -> set[int]:
    """Return the numbers of the rows that have an id or a text of these."""
    found: set[int] = set()
    for column, values in (
        ("id", [entry.id for entry in entries]),
        ("digest", [entry.digest.hex() for entry in entries]),
    ):
        found.update(_having(database, place, column, values).values())
    return found


def _having(database: sqlite3.Connection, place: Place, column: str, values: Sequence[str]) -> dict[str, int]:
    """Return the numbers of the rows that have one of some values in a column of texts, by value."""
    statement = f"SELECT {column}, row FROM {place.rows} WHERE {column} IN (SELECT value FROM json_each(?))"
    return dict(database.execute(statement, (json.dumps(values, ensure_ascii=False),)))


def _remove(database: sqlite3.Connection, place: Place, rows: Iterable[int]) -> int:
    keys = [(row,) for row in rows]
    for key in keys:  # the index of words forgets by the text that it was given
        if place.keys.keys:
            found = database.execute(f"SELECT row, metadata FROM {place.rows} WHERE row = ?", key)
            place.keys.remove(database, found.fetchall())
        database.execute(
            f"INSERT INTO {place.words} ({place.words}, rowid, text)"
            f" SELECT 'delete', row, text FROM {place.rows} WHERE row = ?",
            key,
        )
    database.executemany(f"DELETE FROM {place.rows} WHERE row = ?", keys)
    database.executemany(f"DELETE FROM {place.vectors} WHERE row = ?", keys)
    return len(keys)


def _changed(database: sqlite3.Connection, place: Place, *, last: int, size: int) -> None:
    database.execute(
        "UPDATE tinyllm_actors_vector_collections SET last = ?, size = ?, version = version + 1 WHERE id = ?",
        (last, size, place.id),
    )


def numbers(database: sqlite3.Connection, place: Place, filter: Filter | None) -> list[int]:
    """Return the numbers of the rows for which a filter holds, in order."""
    where, bound = condition(filter, place.keys)
    return [row for (row,) in database.execute(f"SELECT row FROM {place.rows} r WHERE {where} ORDER BY row", bound)]


def vectors_after(
    database: sqlite3.Connection, name: str, store: str, known: Place, row: int, most: int
) -> list[tuple[int, bytes]]:
    """Return numbers and vectors of the next rows, of those that there were when the collection was as it is known.

    Raises:
        UnknownCollection: it was dropped since.
    """
    return database.execute(
        f"SELECT row, vector FROM {_same(database, name, store, known).vectors}"
        " WHERE row > ? AND row <= ? ORDER BY row LIMIT ?",
        (row, known.last, most),
    ).fetchall()


def keep_graph(database: sqlite3.Connection, name: str, store: str, known: Place, data: bytes | None) -> None:
    """Keep the graph that was built of a collection as it was then.

    Raises:
        UnknownCollection: it was dropped since.
    """
    vector_graph.keep(database, _same(database, name, store, known), known.last, data)


def _same(database: sqlite3.Connection, name: str, store: str, known: Place) -> Place:
    place = place_of(database, name, store)
    if place.id != known.id:
        raise UnknownCollection(name, store)
    return place


def delete(
    database: sqlite3.Connection, name: str, store: str, ids: Sequence[str] | None, filter: Filter | None
) -> int:
    """Remove rows."""
    place = place_of(database, name, store)
    if ids is None:
        rows = numbers(database, place, filter)
    else:
        rows = [*_having(database, place, "id", ids).values()]
        if filter is not None:
            rows = sorted(set(rows) & set(numbers(database, place, filter)))
    _remove(database, place, rows)
    _changed(database, place, last=place.last, size=place.size - len(rows))
    return len(rows)


def count(database: sqlite3.Connection, name: str, store: str, filter: Filter | None) -> int:
    """Return how many rows there are."""
    place = place_of(database, name, store)
    if filter is None:
        return place.size
    where, bound = condition(filter, place.keys)
    return database.execute(f"SELECT count(*) FROM {place.rows} r WHERE {where}", bound).fetchone()[0]


def get(database: sqlite3.Connection, name: str, store: str, ids: Sequence[str]) -> list[Row]:
    """Return rows."""
    place = place_of(database, name, store)
    known = _having(database, place, "id", ids)
    found = hits(database, place, [(known[id], 0.0) for id in ids if id in known], vectors=True)
    return [Row(hit.text, hit.vector or (), hit.metadata, hit.id) for hit in found]


def hits(database: sqlite3.Connection, place: Place, found: Iterable[tuple[int, float]], *, vectors: bool) -> list[Hit]:
    """Return rows by number, with their scores."""
    statement = f"SELECT id, text, metadata FROM {place.rows} WHERE row = ?"
    if vectors:
        statement = (
            f"SELECT id, text, metadata, vector FROM {place.rows} JOIN {place.vectors} USING (row) WHERE row = ?"
        )
    answer: list[Hit] = []
    for number, score in found:
        id, text, metadata, *rest = database.execute(statement, (number,)).fetchone()
        answer.append(Hit(id, text, opened(metadata), score, array("f", rest[0]) if vectors else None))
    return answer


def search_text(
    database: sqlite3.Connection,
    name: str,
    store: str,
    words: Sequence[str],
    k: int,
    filter: Filter | None,
    vectors: bool,
) -> list[Hit]:
    """Return the rows whose texts fit best, by FTS5's BM25 with English stems."""
    place = place_of(database, name, store)
    if not words:
        return []
    query = " OR ".join(f'"{word}"' for word in words)  # letters and digits only
    where, bound = condition(filter, place.keys)
    kept = f"JOIN {place.rows} r ON r.row = w.rowid" if filter is not None else ""
    found = database.execute(
        f"SELECT w.rowid, -w.rank FROM {place.words} w {kept}"
        f" WHERE w.{place.words} MATCH ? AND {where} ORDER BY w.rank LIMIT ?",
        (query, *bound, k),
    ).fetchall()
    return hits(database, place, found, vectors=vectors)
