"""Values of some keys of the metadata in a table of their own, so that a filter on them need not read the rest.

The table of a collection holds `(key, listed, value, row)`: the place of the key among those that are indexed, then
whether the value is the whole one (0), an element of a list (1), or there because a list has none (2). Values are
numbers and texts as they are, `x'00'` and `x'01'` for booleans, `x'02'` for None in a list; None is not there. Numbers,
texts and blobs are never equal in SQLite, and stand in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tinyllm_actors.retrieval.checks import opened

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from tinyllm_actors.retrieval import Scalar
    from tinyllm_actors.retrieval.filters import Comparison

__all__ = ["KeyTable"]

_SIGNS: Final = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_BLOCK: Final = 1000


@dataclass(frozen=True, slots=True)
class KeyTable:
    """The table of a collection.

    Attributes:
        name: of the table.
        keys: that it holds, each by its place.
    """

    name: str
    keys: tuple[str, ...]

    def create(self, database: sqlite3.Connection) -> None:
        """Make the table, in place of the one that is there."""
        self.drop(database)
        database.execute(
            f"CREATE TABLE {self.name} (key INTEGER NOT NULL, listed INTEGER NOT NULL, value NOT NULL,"
            " row INTEGER NOT NULL, PRIMARY KEY (key, listed, value, row)) WITHOUT ROWID"
        )

    def drop(self, database: sqlite3.Connection) -> None:
        """Remove the table if it is there."""
        database.execute(f"DROP TABLE IF EXISTS {self.name}")

    def fill(self, database: sqlite3.Connection, rows: str) -> None:
        """Take in all that a table of rows has."""
        found = database.execute(f"SELECT row, metadata FROM {rows} ORDER BY row")
        while block := found.fetchmany(_BLOCK):
            self.add(database, block)

    def add(self, database: sqlite3.Connection, rows: Iterable[tuple[int, bytes | str]]) -> None:
        """Take in rows, each a number and metadata as JSON."""
        if self.keys:
            database.executemany(f"INSERT OR IGNORE INTO {self.name} VALUES (?, ?, ?, ?)", self._entries(rows))

    def remove(self, database: sqlite3.Connection, rows: Iterable[tuple[int, bytes | str]]) -> None:
        """Let go of rows, each a number and the metadata with which it was added."""
        if self.keys:
            database.executemany(
                f"DELETE FROM {self.name} WHERE key = ? AND listed = ? AND value = ? AND row = ?", self._entries(rows)
            )

    def _entries(self, rows: Iterable[tuple[int, bytes | str]]) -> Iterable[tuple[int, int, object, int]]:
        for row, metadata in rows:
            values = opened(metadata)
            for place, key in enumerate(self.keys):
                value = values.get(key)
                if isinstance(value, list):
                    for element in value:
                        yield place, 1, _kept(element), row
                    if not value:
                        yield place, 2, b"", row
                elif value is not None:
                    yield place, 0, _kept(value), row

    def compared(self, key: str, operator: Comparison, values: Sequence[Scalar], bound: list[object]) -> str:
        """Return the condition that the value at a key compares with one of some values; only `"eq"` takes several."""
        if values == [None]:
            bound.append(self.keys.index(key))
            return f"(r.row NOT IN (SELECT row FROM {self.name} WHERE key = ?))"
        bound += [self.keys.index(key), *map(_kept, values)]
        if operator == "eq":
            return self._where(f"listed = 0 AND value IN ({', '.join('?' * len(values))})")
        kind = "value < ''" if not isinstance(values[0], str) else "value >= '' AND value < x''"
        return self._where(f"listed = 0 AND value {_SIGNS[operator]} ? AND {kind}")

    def contains(self, key: str, value: Scalar, bound: list[object]) -> str:
        """Return the condition that a list has an element, or a text a part."""
        place = self.keys.index(key)
        bound += [place, _kept(value)]
        found = self._where("listed = 1 AND value = ?")
        if not isinstance(value, str):
            return found
        bound += [place, value]
        part = self._where("listed = 0 AND value >= '' AND value < x'' AND instr(value, ?) > 0")
        return f"({found} OR {part})"

    def _where(self, condition: str) -> str:
        return f"(r.row IN (SELECT row FROM {self.name} WHERE key = ? AND {condition}))"


def _kept(value: object) -> object:
    if value is None:
        return b"\x02"
    return bytes([value]) if isinstance(value, bool) else value
