"""What reading one document may take."""

from __future__ import annotations

import math

import msgspec

from tinyllm_actors.errors import ConfigurationError

__all__ = ["LoadLimits"]

_MIN_MEMORY = 2**28


class LoadLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What reading one document may take; more is `DocumentTooLarge` or `LoadTimeout`.

    The defaults read a book of 1,000 pages, and bound what a file made to do harm can do to half a minute of one core.

    Args:
        max_bytes: of the file.
        max_unpacked: bytes of all that a Word or Excel file has inside, unpacked.
        max_parts: how many parts it has inside.
        max_depth: elements inside of one another, in HTML.
        max_pages: of a PDF.
        max_cells: of a table or of all sheets of a workbook, empty ones included.
        max_characters: of all text that is read.
        timeout: seconds, without those in which the reader of the stream does something else.
        memory: bytes of address space of the process that reads it.

    Raises:
        ConfigurationError: a limit has no meaning.
    """

    max_bytes: int = 50_000_000
    max_unpacked: int = 300_000_000
    max_parts: int = 10_000
    max_depth: int = 500
    max_pages: int = 5_000
    max_cells: int = 5_000_000
    max_characters: int = 20_000_000
    timeout: float = 30.0
    memory: int = 2**30

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigurationError(f"{name}={value!r} must be above 0, and finite")
        if self.memory < _MIN_MEMORY:
            raise ConfigurationError(f"memory={self.memory!r} must be at least {_MIN_MEMORY} bytes (256 MiB)")
