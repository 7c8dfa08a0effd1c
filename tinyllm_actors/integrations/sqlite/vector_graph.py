"""The approximate index of a collection: a graph of usearch over the rows that there were when it was built.

It is kept in the file, in pieces, and is never changed: rows that came later are compared one by one, and those that
are gone are left out of what it finds. Its candidates are only that; the scores of hits are measured on the vectors.
"""

from __future__ import annotations

import importlib
import zlib
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.errors import MissingDependency, StoreError
from tinyllm_actors.retrieval.flat_index import load_numpy

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from tinyllm_actors.integrations.sqlite.vector_statements import Place
    from tinyllm_actors.retrieval import Metric
    from tinyllm_actors.retrieval.hnsw import Hnsw

__all__ = ["Graph", "drop", "keep", "load_usearch", "read"]

_METRICS: Final[dict[Metric, str]] = {"cosine": "cos", "dot": "ip", "l2": "l2sq"}
_PIECE: Final = 4 * 1024 * 1024


def load_usearch() -> Any:
    """Return the module of indexes of usearch.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        return importlib.import_module("usearch.index")
    except ImportError as error:
        raise MissingDependency("an approximate index needs usearch: pip install 'tinyllm_actors[hnsw]'") from error


class Graph:
    """Rows as a graph of neighbours; it is not safe to use from two threads at once.

    Args:
        dimensions: of its vectors.
        metric: by which they are near.
        index: how it is built; None for one that is read.
        data: what `data` returned.

    Raises:
        MissingDependency: usearch is not installed.
        StoreError: the data are not those of a graph, or of another version of usearch.
    """

    def __init__(self, dimensions: int, metric: Metric, index: Hnsw | None = None, data: bytes | None = None) -> None:
        self._numpy = load_numpy()
        options: dict[str, Any] = {}
        if index is not None:
            options = {"connectivity": index.m, "expansion_add": index.ef_construction}
        # Half the room of single precision, and its range, other than that of the other half precision.
        self._index = load_usearch().Index(ndim=dimensions, metric=_METRICS[metric], dtype="bf16", **options)
        self._dimensions = dimensions
        if data is not None:
            try:
                self._index.load(data)
            except Exception as error:  # usearch raises what it likes
                raise StoreError(f"the approximate index cannot be read; build it again ({error})") from error

    def __len__(self) -> int:
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return int(self._index.memory_usage)

    @property
    def data(self) -> bytes:
        """All of it, to be kept."""
        return bytes(self._index.save())

    def add(self, rows: Sequence[tuple[int, bytes]]) -> None:
        """Add rows, each a number and a vector."""
        numpy = self._numpy
        vectors = numpy.frombuffer(b"".join(vector for _, vector in rows), dtype=numpy.float32)
        numbers = numpy.asarray([number for number, _ in rows], dtype=numpy.uint64)
        self._index.add(numbers, vectors.reshape(-1, self._dimensions), threads=1)

    def search(self, query: bytes, candidates: int) -> list[int]:
        """Return the numbers of rows that are probably the nearest."""
        self._index.expansion_search = candidates
        sought = self._numpy.frombuffer(query, dtype=self._numpy.float32)
        return self._index.search(sought, min(candidates, len(self._index)), threads=1).keys.tolist()


def keep(database: sqlite3.Connection, place: Place, covered: int, data: bytes | None) -> None:
    """Keep the graph of a collection in place of the one that is there; None removes that one.

    Args:
        database: the file, in a transaction.
        place: the collection.
        covered: the highest number of a row that it may hold.
        data: the graph.
    """
    drop(database, place)
    if data is None:
        covered = 0
    else:
        database.execute(f"CREATE TABLE {place.graph} (piece INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        pieces = range(0, len(data), _PIECE)
        database.executemany(
            f"INSERT INTO {place.graph} (data) VALUES (?)", ((data[start : start + _PIECE],) for start in pieces)
        )
    database.execute(
        "UPDATE tinyllm_actors_vector_collections SET covered = ?, built = built + 1, checksum = ? WHERE id = ?",
        (covered, zlib.crc32(data or b""), place.id),
    )


def drop(database: sqlite3.Connection, place: Place) -> None:
    """Remove the table of the graph if it is there."""
    database.execute(f"DROP TABLE IF EXISTS {place.graph}")


def read(database: sqlite3.Connection, place: Place) -> Graph:
    """Return the graph of a collection.

    Raises:
        MissingDependency: usearch is not installed.
        StoreError: it was damaged, or is one of another version of usearch.
    """
    data = b"".join(data for (data,) in database.execute(f"SELECT data FROM {place.graph} ORDER BY piece"))
    if zlib.crc32(data) != place.checksum:  # what is read by C++ must be what was written by it
        raise StoreError(f"the approximate index of {place.name!r} is damaged; build it again")
    return Graph(place.dimensions, place.metric, data=data)
