"""The readers, by the suffix of a file's name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tinyllm_actors.retrieval.loading.reading import Reader

__all__ = ["FORMATS", "find_reader"]

_CODE: Final = (
    ".py .pyi .js .mjs .ts .tsx .jsx .java .kt .go .rs .c .h .cc .cpp .hpp .cs .rb .php .swift .scala .sh .sql .css .r "
    ".jl .lua .pl .ex .exs .erl .hs .ml"
)
_TEXT: Final = ".txt .text .md .markdown .mdx .rst .log .json .jsonl .yaml .yml .toml .ini .cfg .xml .tex " + _CODE

FORMATS: Final[dict[str, str]] = {
    **dict.fromkeys(_TEXT.split(), "text"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    **dict.fromkeys((".csv", ".tsv"), "csv_table"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".webp"), "image"),
    **dict.fromkeys((".xlsx", ".xlsm"), "excel"),
    ".pdf": "pdf",
    ".docx": "word",
}
"""The module of the reader for each suffix."""


def find_reader(suffix: str) -> Reader:
    """Return the reader for a suffix that `FORMATS` has; what it needs is imported when it runs."""
    return importlib.import_module(f"{__name__}.{FORMATS[suffix]}").read
