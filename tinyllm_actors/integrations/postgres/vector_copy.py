"""Rows as PostgreSQL's binary COPY reads them: made in a thread, and sent as they are."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import VectorRejected
from tinyllm_actors.integrations.postgres.vector_codec import pack
from tinyllm_actors.retrieval.checks import sealed

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from tinyllm_actors.integrations.postgres.vector_schema import Place
    from tinyllm_actors.retrieval import Row
    from tinyllm_actors.retrieval.rows import Sealed

__all__ = ["check_half", "encode_rows", "encoded"]

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_COUNT: Final = Struct(">h").pack(5)
_LENGTH: Final = Struct(">i").pack
_BLOCK: Final = 256 * 1024
_JSONB: Final = b"\x01"

LARGEST_HALF: Final = 65_504.0
LEAST_HALF: Final = 6e-8


def check_half(vector: array[float], what: str, *, direction: bool) -> None:
    """Check that a vector can be kept with half precision.

    Raises:
        VectorRejected: it holds numbers that are too large, or, where it needs a direction, only ones too small.
    """
    largest = max(max(vector), -min(vector))
    if largest > LARGEST_HALF or (direction and largest < LEAST_HALF):
        raise VectorRejected(
            f"{what} holds a number of size {largest!r}; half precision keeps {LEAST_HALF:g} to {LARGEST_HALF:g}"
        )


def encoded(rows: Sequence[Sealed]) -> list[bytes]:
    """Return blocks of some 256 KB: id, digest, metadata, vector and text of each row."""
    blocks: list[bytes] = []
    parts = [_HEADER]
    size = 0
    for row in rows:
        fields = (
            row.id.encode(),
            row.digest,
            _JSONB + row.metadata,
            pack(row.vector),
            row.text.encode(),
        )
        parts.append(_COUNT)
        for field in fields:
            parts.append(_LENGTH(len(field)))
            parts.append(field)
            size += len(field)
        if size > _BLOCK:
            blocks.append(b"".join(parts))
            parts, size = [], 0
    parts.append(_TRAILER)
    blocks.append(b"".join(parts))
    return blocks


def encode_rows(rows: Sequence[Row], place: Place) -> tuple[int, list[bytes]]:
    """Return how many rows there are, each text once, and their bytes in pieces.

    Raises:
        InputRejected: a row cannot be kept; the message names it.
    """
    entries = sealed(rows, place.dimensions, place.metric)
    if place.precision == "half":
        for entry in entries:
            check_half(entry.vector, f"the vector of row {entry.id[:80]!r}", direction=place.metric == "cosine")
    return len(entries), encoded(entries)
