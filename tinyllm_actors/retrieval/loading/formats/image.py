"""Reads pictures: checks that they are some, and leaves what they show to a vision model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import DocumentMalformed
from tinyllm_actors.retrieval.document import ImageDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinyllm_actors.retrieval.loading.reading import Item, Reading

__all__ = ["read"]

_MARKS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def read(reading: Reading) -> Iterator[Item]:
    """Return the picture as it is; it is not unpacked here, so that a small file of a huge picture does no harm."""
    data = reading.file.read()
    kind = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if kind is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        raise DocumentMalformed(reading.source, "is no picture in PNG, JPEG, GIF or WebP")
    yield ImageDocument(data, kind, metadata={"source": reading.source})
