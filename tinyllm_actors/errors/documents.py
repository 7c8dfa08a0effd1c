"""Documents that cannot be read. See the package for the whole tree."""

from __future__ import annotations

from tinyllm_actors.errors.base import TinyLLMError

__all__ = ["DocumentMalformed", "DocumentRefused", "DocumentTooLarge", "LoadError", "LoadTimeout"]


class LoadError(TinyLLMError):
    """A document cannot be read; trying again brings nothing, unless it changes.

    Attributes:
        source: where it comes from, as it was asked for.
    """

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"{source!r} {message}")
        self.source = source
        self.reason = message


class DocumentMalformed(LoadError):
    """It is not what its name or its first bytes say, is damaged, or broke what reads it."""


class DocumentTooLarge(LoadError):
    """It has more bytes, pages, rows, parts or depth than `LoadLimits` allow."""


class DocumentRefused(LoadError):
    """It may not be read (outside of the root, a symbolic link, encrypted), or nothing here reads its kind."""


class LoadTimeout(LoadError, TimeoutError):
    """Reading it took too long; the process that did was killed."""
