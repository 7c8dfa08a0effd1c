"""Checks a Word or Excel file, which is a ZIP archive of XML, before anything unpacks it."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import DocumentMalformed, DocumentRefused

if TYPE_CHECKING:
    from tinyllm_actors.retrieval.loading.reading import Reading

__all__ = ["check_archive"]

_PIECE: Final = 2**18
_DECLARATIONS: Final = ("<!DOCTYPE", "<!ENTITY")
# In each encoding that an XML parser finds out by itself; the files of Office have neither.
_FORBIDDEN: Final = tuple(word.encode(name) for word in _DECLARATIONS for name in ("ascii", "utf-16-le", "utf-16-be"))
_ENCRYPTED: Final = 0x1


def check_archive(reading: Reading) -> None:
    """Check that a file is an archive of bounded size without document type declarations, and rewind it.

    What a part says of its size is what can be read of it, as `zipfile` stops there.

    Raises:
        DocumentMalformed: it is no archive, or a damaged one.
        DocumentTooLarge: it has too many parts, or is too large unpacked.
        DocumentRefused: it is encrypted, or declares entities, which could grow without bound or name other files.
    """
    try:
        with zipfile.ZipFile(reading.file) as archive:
            parts = archive.infolist()
            reading.at_most(len(parts), "max_parts")
            reading.at_most(sum(part.file_size for part in parts), "max_unpacked")
            for part in parts:
                if part.flag_bits & _ENCRYPTED:
                    raise DocumentRefused(reading.source, "is encrypted; save it without a password")
                if part.filename.lower().endswith((".xml", ".rels", ".vml")):
                    _check_part(archive, part, reading.source)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, ValueError, OSError) as error:
        raise DocumentMalformed(reading.source, f"is damaged, or not of its kind: {error}") from None
    reading.file.seek(0)


def _check_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo, source: str) -> None:
    before = b""
    with archive.open(part) as content:
        while piece := content.read(_PIECE):
            joined = before + piece
            if any(word in joined for word in _FORBIDDEN):
                raise DocumentRefused(
                    source, f"declares a document type in {part.filename!r}, which no such file needs"
                )
            before = piece[-32:]
