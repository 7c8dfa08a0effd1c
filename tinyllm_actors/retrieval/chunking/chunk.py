"""A chunk, its id, and what changed between two lists of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

__all__ = ["Chunk", "ChunkChanges", "chunk_changes", "chunk_id"]


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document.

    Attributes:
        id: 32 hexadecimal digits, a digest of the text: the same text has the same id wherever it stands.
        text: what is embedded, found and cited.
        source: where its document comes from, such as a path.
        start: where it begins in the rendered document, in characters; in a table, where its first row does.
        end: where it ends there.
        headings: those above it, outermost first.
        metadata: that of its document.
    """

    id: str
    text: str
    source: str
    start: int = 0
    end: int = 0
    headings: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}


def chunk_id(text: str) -> str:
    """Return the id of a chunk: a digest of its text.

    ```python
    >>> chunk_id("Actors keep state.")
    'dba7689582fd2dc850f6da9955d3252e'

    ```
    """
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class ChunkChanges:
    """What an index has to do for a source that was read again.

    Attributes:
        added: chunks that it does not have yet.
        removed: ids of those that are no more.
        kept: how many stay as they are, and are neither embedded nor written.
    """

    added: tuple[Chunk, ...]
    removed: tuple[str, ...]
    kept: int


def chunk_changes(before: Collection[str], after: Iterable[Chunk]) -> ChunkChanges:
    """Return what changed between the ids that are indexed and the chunks that should be.

    ```python
    >>> one, two = (Chunk(id=name, text=name, source="s") for name in ("one", "two"))
    >>> chunk_changes(["one", "gone"], [one, two])
    ChunkChanges(added=(Chunk(id='two', ...),), removed=('gone',), kept=1)

    ```
    """
    known = set(before)
    wanted: dict[str, Chunk] = {chunk.id: chunk for chunk in after}
    added = tuple(chunk for name, chunk in wanted.items() if name not in known)
    removed = tuple(name for name in dict.fromkeys(before) if name not in wanted)
    return ChunkChanges(added, removed, len(wanted) - len(added))
