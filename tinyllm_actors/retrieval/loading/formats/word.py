"""Reads Word documents: headings as Markdown, text, and tables, in their order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tinyllm_actors.retrieval.document import Document, TableDocument
from tinyllm_actors.retrieval.loading.formats.archive import check_archive
from tinyllm_actors.retrieval.loading.reading import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinyllm_actors.retrieval.loading.reading import Item, Reading

__all__ = ["read"]

_HEADING = re.compile(r"Heading ([1-6])$")
_REPORT = 500


def read(reading: Reading) -> Iterator[Item]:
    """Return what stands between tables as texts, and the tables."""
    check_archive(reading)
    try:
        import docx
        from docx.table import Table
    except ImportError:
        raise missing("python-docx", "a Word document") from None
    word: Any = docx.Document(reading.file)
    metadata: dict[str, Any] = {"source": reading.source}
    if title := word.core_properties.title:
        metadata["title"] = title
    lines: list[str] = []
    for place, block in enumerate(word.iter_inner_content()):
        if isinstance(block, Table):
            yield from _text(lines, metadata)
            yield _table(block, reading, metadata)
        else:
            lines.append(_line(block))
        if place % _REPORT == _REPORT - 1:
            yield reading.progress(place + 1, None, "parts")
    yield from _text(lines, metadata)


def _line(paragraph: Any) -> str:
    style: str = getattr(paragraph.style, "name", None) or ""
    if style == "Title":
        return f"# {paragraph.text}\n"
    if found := _HEADING.match(style):
        return f"{'#' * int(found[1])} {paragraph.text}\n"
    return f"- {paragraph.text}" if style.startswith("List") else f"{paragraph.text}\n"


def _text(lines: list[str], metadata: dict[str, Any]) -> Iterator[Document]:
    text = "\n".join(lines).strip()
    lines.clear()
    if text:
        yield Document(text, metadata)


def _table(table: Any, reading: Reading, metadata: dict[str, Any]) -> TableDocument:
    rows: list[tuple[str, ...]] = []
    cells = 0
    for row in table.rows:
        # A cell that spans columns is met once for each of them.
        values = [cell.text for place, cell in enumerate(row.cells) if not place or cell is not row.cells[place - 1]]
        cells += len(values)
        reading.at_most(cells, "max_cells")
        rows.append(tuple(values))
    return TableDocument(rows[0] if rows else (), tuple(rows[1:]), metadata)
