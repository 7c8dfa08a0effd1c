"""The file that keeps the vectors of examples."""

from __future__ import annotations

import os
import sys
import tempfile
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["StoredVectors", "load_vectors", "save_vectors"]

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """Vectors of one model, by a key for each text."""

    model: str = ""
    vectors: dict[str, array[float]] = field(default_factory=dict[str, "array[float]"])

    @property
    def dimensions(self) -> int:
        """The length of each vector; 0 if there is none."""
        return len(next(iter(self.vectors.values()), ()))


class _File(msgspec.Struct, frozen=True):
    version: int
    byteorder: str
    model: str
    dimensions: int
    vectors: dict[str, bytes]


_decoder: Final = msgspec.msgpack.Decoder(_File)


def load_vectors(path: str | os.PathLike[str]) -> StoredVectors:
    """Return what a file keeps; nothing if there is none, or it is damaged or of another kind. It blocks."""
    try:
        kept = _decoder.decode(Path(path).read_bytes())
    except (OSError, ValueError, msgspec.MsgspecError):  # ValueError: a name that is no text
        return StoredVectors()
    size = kept.dimensions * array("f").itemsize
    if kept.version != VERSION or kept.byteorder != sys.byteorder or size < 1:
        return StoredVectors()
    if any(len(row) != size for row in kept.vectors.values()):
        return StoredVectors()
    return StoredVectors(kept.model, {key: array("f", row) for key, row in kept.vectors.items()})


def save_vectors(path: str | os.PathLike[str], vectors: StoredVectors) -> None:
    """Write the file in one step, so that whoever reads meanwhile finds the old or the new one. It blocks.

    Raises:
        OSError: it cannot be written.
    """
    target = Path(path)
    rows = {key: row.tobytes() for key, row in vectors.vectors.items()}
    body = msgspec.msgpack.encode(_File(VERSION, sys.byteorder, vectors.model, vectors.dimensions, rows))
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
