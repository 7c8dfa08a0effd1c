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
        id: 32 hexadecimal digits, made of the source and the text: the same text at the same source has the same id,
            wherever in it.
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


def chunk_id(source: str, text: str, occurrence: int = 0) -> str:
    """Return the id of a chunk.

    ```python
    >>> chunk_id("notes.md", "Actors keep state.")
    'd441295638a478fa8088f8a56a711055'

    ```

    Args:
        source: where its document comes from.
        text: of the chunk.
        occurrence: how many chunks of the same text this source has before it.
    """
    digest = blake2b(digest_size=16)
    for part in (source, text, str(occurrence)):
        data = part.encode("utf-8", "surrogatepass")
        # With its length, so that no two different pairs look the same.
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


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
