"""Reads Excel workbooks: each sheet as a table, with values instead of formulas."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from tinyllm_actors.retrieval.loading.formats.archive import check_archive
from tinyllm_actors.retrieval.loading.formats.rows import tables
from tinyllm_actors.retrieval.loading.reading import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinyllm_actors.retrieval.loading.reading import Item, Reading

__all__ = ["read"]


def read(reading: Reading) -> Iterator[Item]:
    """Return the sheets that are shown and not empty."""
    check_archive(reading)
    try:
        import openpyxl
    except ImportError:
        raise missing("openpyxl", "an Excel workbook") from None
    workbook: Any = openpyxl.load_workbook(reading.file, read_only=True, data_only=True, keep_links=False)
    sheets = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
    cells = 0
    for place, sheet in enumerate(sheets):
        # What the file says of its size may be wrong either way; without it, what there is counts.
        sheet.reset_dimensions()
        rows = ([_plain(value) for value in row] for row in sheet.iter_rows(values_only=True))
        metadata = {"source": reading.source, "sheet": sheet.title}
        cells = yield from tables(reading, rows, metadata, cells)
        yield reading.progress(place + 1, len(sheets), "sheets")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return str(value) if isinstance(value, timedelta) else value
