"""Rows of a table, as documents of some hundred rows each, so that no table is in memory as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.retrieval.document import TableDocument

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from tinyllm_actors.retrieval.loading.reading import Item, Reading

__all__ = ["ROWS", "tables"]

ROWS = 500
"""Rows of one document."""


def tables(
    reading: Reading, rows: Iterable[Sequence[Any]], metadata: Mapping[str, Any], cells: int = 0
) -> Generator[Item, None, int]:
    """Yield the rows as documents under the values of the first row that is not empty; empty rows are left out.

    Returns how many cells there were, with those of `cells`.

    Raises:
        DocumentTooLarge: there are too many cells.
    """
    columns: tuple[str, ...] | None = None
    held: list[tuple[Any, ...]] = []
    done = 0
    for row in rows:
        cells += max(1, len(row))
        reading.at_most(cells, "max_cells")
        values = _trimmed(row)
        if not values:
            continue
        if columns is None:
            columns = tuple("" if value is None else str(value) for value in values)
            continue
        held.append(values)
        if len(held) == ROWS:
            yield TableDocument(columns, tuple(held), {**metadata, "first_row": done + 1})
            done += len(held)
            held.clear()
            yield reading.progress(done, None, "rows")
    if columns is not None and (held or not done):
        yield TableDocument(columns, tuple(held), {**metadata, "first_row": done + 1})
    return cells


def _trimmed(row: Sequence[Any]) -> tuple[Any, ...]:
    end = len(row)
    while end and row[end - 1] in (None, ""):
        end -= 1
    return tuple(row[:end])
