"""The vectors of a file in memory, brought up to date with the file at each search."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import structlog

from tinyllm_actors.errors import MissingDependency, StoreError
from tinyllm_actors.integrations.sqlite.vector_graph import read
from tinyllm_actors.integrations.sqlite.vector_statements import numbers
from tinyllm_actors.retrieval.flat_index import FlatIndex

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from tinyllm_actors.integrations.sqlite.vector_graph import Graph
    from tinyllm_actors.integrations.sqlite.vector_statements import Place
    from tinyllm_actors.retrieval import Filter, Metric

__all__ = ["VectorCache"]

_BLOCK: Final = 4096


class _Kept:
    __slots__ = ("built", "graph", "index", "lock", "version")

    def __init__(self, dimensions: int) -> None:
        self.index = FlatIndex(dimensions)
        self.version = 0
        self.graph: Graph | None = None
        self.built = 0
        self.lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        return self.index.nbytes + (0 if self.graph is None else self.graph.nbytes)


class VectorCache:
    """Searches the vectors of collections; those that were used last stay in memory, as far as there is room.

    It is used by threads, each with a connection of its own.

    Args:
        max_bytes: memory for all collections together, roughly. A collection that alone takes more is read from the
            file for each search.
        candidates: rows that a graph proposes, of which the nearest are taken.
    """

    def __init__(self, max_bytes: int, candidates: int) -> None:
        self._max_bytes = max_bytes
        self._candidates = candidates
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def search(
        self,
        database: sqlite3.Connection,
        place: Place,
        query: bytes,
        k: int,
        metric: Metric,
        filter: Filter | None,
    ) -> list[tuple[int, float]]:
        """Return the numbers and scores of the nearest rows, as the file was when `place` was read."""
        needed = place.size * (place.dimensions * 4 + 13)
        if place.covered:
            needed += place.covered * (place.dimensions * 2 + 200)
        if needed > self._max_bytes:
            return _scan(database, place, query, k, metric, filter)
        kept = self._room_for(place, needed)
        with kept.lock:
            if kept.version < place.version:
                _follow(database, place, kept)
                kept.version = place.version
            elif kept.version > place.version:  # this connection sees the file as it was before others went on
                return _scan(database, place, query, k, metric, filter)
            if kept.built != place.built:
                kept.graph, kept.built = _graph(database, place), place.built
            if filter is not None:
                return kept.index.search(query, k, metric, numbers(database, place, filter))
            if kept.graph is not None and metric == place.metric:
                proposed = kept.graph.search(query, max(k, self._candidates))
                newer = range(place.covered + 1, place.last + 1)
                found = kept.index.search(query, k, metric, [*proposed, *newer])
                if len(found) == min(k, place.size):  # fewer, if most of what the graph proposed is gone
                    return found
            return kept.index.search(query, k, metric)

    def _room_for(self, place: Place, needed: int) -> _Kept:
        with self._lock:
            kept = self._kept.get(place.id)
            if kept is None:
                kept = self._kept[place.id] = _Kept(place.dimensions)
            self._kept.move_to_end(place.id)
            room = self._max_bytes - needed
            for id in [*self._kept][-2::-1]:  # the latest first, after this one
                room -= self._kept[id].nbytes
                if room < 0:
                    del self._kept[id]
            return kept

    def forget(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._kept.clear()


def _graph(database: sqlite3.Connection, place: Place) -> Graph | None:
    """Return the graph of a collection, None if there is none or it cannot be used."""
    if not place.covered:
        return None
    try:
        return read(database, place)
    except (MissingDependency, StoreError) as error:
        structlog.get_logger("tinyllm_actors.vectors").warning(
            "the approximate index is of no use here, each search compares with all rows",
            collection=place.name,
            error=str(error),
        )
        return None


def _follow(database: sqlite3.Connection, place: Place, kept: _Kept) -> None:
    """Add what is new, and remove what is gone."""
    index = kept.index
    index.reserve(place.size)
    rows = database.execute(f"SELECT row, vector FROM {place.vectors} WHERE row > ? ORDER BY row", (index.last,))
    while block := rows.fetchmany(_BLOCK):
        index.add([row for row, _ in block], [vector for _, vector in block])
    if len(index) != place.size:  # all that is new was added, so something that was there is not
        index.keep_only(row for (row,) in database.execute(f"SELECT row FROM {place.vectors} ORDER BY row"))


def _scan(
    database: sqlite3.Connection, place: Place, query: bytes, k: int, metric: Metric, filter: Filter | None
) -> list[tuple[int, float]]:
    """Search block by block, from the file."""
    among: Sequence[int] | None = None if filter is None else numbers(database, place, filter)
    best: list[tuple[int, float]] = []
    rows = database.execute(f"SELECT row, vector FROM {place.vectors} ORDER BY row")
    while block := rows.fetchmany(_BLOCK):
        index = FlatIndex(place.dimensions)
        index.add([row for row, _ in block], [vector for _, vector in block])
        best += index.search(query, k, metric, among)
        best = sorted(best, key=lambda entry: (-entry[1], entry[0]))[:k]
    return best
