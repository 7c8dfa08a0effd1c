"""What every reader gets and gives. A reader is a generator that runs in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

import msgspec

from tinyllm_actors.errors import DocumentTooLarge, MissingDependency
from tinyllm_actors.retrieval.document import AnyDocument
from tinyllm_actors.retrieval.loading.limits import LoadLimits

__all__ = ["Item", "LoadProgress", "Reader", "Reading", "missing"]


class LoadProgress(msgspec.Struct, frozen=True, tag="progress", tag_field="kind"):
    """How far the reading of a document is.

    Attributes:
        source: which one.
        done: units that are read.
        total: how many there are; None where nobody knows before the end.
        unit: `"pages"`, `"sheets"`, `"rows"`, `"parts"` or `"files"`.
    """

    source: str
    done: int
    total: int | None
    unit: str


Item: TypeAlias = AnyDocument | LoadProgress


@dataclass(frozen=True, slots=True)
class Reading:
    """One document to read.

    Attributes:
        file: its bytes, at their beginning.
        size: how many there are.
        source: what errors call it.
        suffix: of its name, in small letters, such as `".pdf"`.
        limits: what it may take.
    """

    file: BinaryIO
    size: int
    source: str
    suffix: str
    limits: LoadLimits

    def progress(self, done: int, total: int | None, unit: str) -> LoadProgress:
        """Return a report."""
        return LoadProgress(self.source, done, total, unit)

    def at_most(self, number: int, name: str) -> None:
        """Check a number against the limit of that name.

        Raises:
            DocumentTooLarge: it is larger.
        """
        limit = getattr(self.limits, name)
        if number > limit:
            raise DocumentTooLarge(self.source, f"has more than {name}={limit}; raise it in LoadLimits, or split it")


Reader: TypeAlias = Callable[[Reading], Iterator[Item]]


def missing(package: str, what: str) -> MissingDependency:
    """Return the error for a package that is not installed."""
    return MissingDependency(f'{what} needs {package}: pip install "tinyllm_actors[documents]"')
