"""The vectors of a file in memory, brought up to date with the file at each search."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from tinyllm_actors.integrations.sqlite.vector_statements import numbers
from tinyllm_actors.retrieval.flat_index import FlatIndex

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from tinyllm_actors.integrations.sqlite.vector_statements import Place
    from tinyllm_actors.retrieval import Filter, Metric

__all__ = ["VectorCache"]

_BLOCK: Final = 4096


class _Kept:
    __slots__ = ("index", "lock", "version")

    def __init__(self, dimensions: int) -> None:
        self.index = FlatIndex(dimensions)
        self.version = 0
        self.lock = threading.Lock()


class VectorCache:
    """Searches the vectors of collections; those that were used last stay in memory, as far as there is room.

    It is used by threads, each with a connection of its own.

    Args:
        max_bytes: memory for all collections together, roughly. A collection that alone takes more is read from the
            file for each search.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
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
        if needed > self._max_bytes:
            return _scan(database, place, query, k, metric, filter)
        kept = self._room_for(place, needed)
        with kept.lock:
            if kept.version < place.version:
                _follow(database, place, kept)
                kept.version = place.version
            elif kept.version > place.version:  # this connection sees the file as it was before others went on
                return _scan(database, place, query, k, metric, filter)
            among = None if filter is None else numbers(database, place, filter)
            return kept.index.search(query, k, metric, among)

    def _room_for(self, place: Place, needed: int) -> _Kept:
        with self._lock:
            kept = self._kept.get(place.id)
            if kept is None:
                kept = self._kept[place.id] = _Kept(place.dimensions)
            self._kept.move_to_end(place.id)
            room = self._max_bytes - needed
            for id in [*self._kept][-2::-1]:  # the latest first, after this one
                room -= self._kept[id].index.nbytes
                if room < 0:
                    del self._kept[id]
            return kept

    def forget(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._kept.clear()


def _follow(database: sqlite3.Connection, place: Place, kept: _Kept) -> None:
    """Add what is new, and remove what is gone."""
    index = kept.index
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
