"""Reads tables in text: comma, semicolon or tab between the values."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from tinyllm_actors.errors import DocumentMalformed
from tinyllm_actors.retrieval.loading.formats.rows import tables
from tinyllm_actors.retrieval.loading.formats.text import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinyllm_actors.retrieval.loading.reading import Item, Reading

__all__ = ["read"]

_SAMPLE = 10_000


def read(reading: Reading) -> Iterator[Item]:
    """Return the table, some hundred rows in each document, all with the names of the first line."""
    text = decoded(reading.file.read(), reading.source)
    first = text[:_SAMPLE].partition("\n")[0]
    separator = "\t" if reading.suffix == ".tsv" else max(",;\t|", key=first.count)
    csv.field_size_limit(reading.limits.max_characters)
    try:
        yield from tables(reading, csv.reader(io.StringIO(text), delimiter=separator), {"source": reading.source})
    except csv.Error as error:
        raise DocumentMalformed(reading.source, f"is no table: {error}") from None
