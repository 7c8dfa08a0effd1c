"""Reads text, Markdown and code."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from tinyllm_actors.errors import DocumentMalformed
from tinyllm_actors.retrieval.document import Document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinyllm_actors.retrieval.loading.reading import Item, Reading

__all__ = ["decoded", "read"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read(reading: Reading) -> Iterator[Item]:
    """Return the text as one document."""
    yield Document(decoded(reading.file.read(), reading.source), {"source": reading.source})


def decoded(data: bytes, source: str) -> str:
    r"""Return the text of bytes in UTF-8, in what a byte order mark says, or else in Windows-1252.

    Line ends become `\n`.

    ```python
    >>> decoded("é\r\nü".encode("utf-16"), "a.txt"), decoded(b"caf\xe9", "b.txt")
    ('é\nü', 'café')

    ```

    Raises:
        DocumentMalformed: they are no text.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        # The only encoding without marks that is still met; it is a guess, so what it has no sign for is shown.
        text = data.decode("cp1252", "replace")
    if "\0" in text:
        raise DocumentMalformed(source, f"is no text: it has a zero byte at {text.index(chr(0))}")
    return text.replace("\r\n", "\n").replace("\r", "\n")
