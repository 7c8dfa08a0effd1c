"""The port to what chunks are written to, and the one that embeds them into a vector store."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import msgspec

from tinyllm_actors.function import unwrap
from tinyllm_actors.retrieval.rows import Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.retrieval.chunking import Chunk
    from tinyllm_actors.retrieval.vector_store import VectorStore

__all__ = ["ChunkIndex", "VectorIndex", "chunk_metadata"]

_MAX_VALUE = 1_000
"""Characters of one value of the metadata; the index is no place for texts."""


def chunk_metadata(chunk: Chunk) -> dict[str, Any]:
    """Return the metadata of a chunk as stores keep it: flat, with `source`, `start`, `end` and `headings`.

    ```python
    >>> from tinyllm_actors.retrieval import Chunk
    >>> chunk_metadata(Chunk(id="1", text="x", source="a.pdf", end=1, metadata={"page": 3, "by": {"name": "Ada"}}))
    {'page': 3, 'by': '{"name":"Ada"}', 'source': 'a.pdf', 'start': 0, 'end': 1, 'headings': []}

    ```
    """
    flat = {key.replace("\0", ""): _flat(value) for key, value in chunk.metadata.items() if key}
    return {
        **flat,
        "source": chunk.source,
        "start": chunk.start,
        "end": chunk.end,
        "headings": [_flat(heading) for heading in chunk.headings],
    }


def _flat(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    return text.replace("\0", "")[:_MAX_VALUE]


class ChunkIndex(abc.ABC):
    """Where `Ingest` writes chunks: one call at a time; after a crash a call comes again and must do no harm."""

    @abc.abstractmethod
    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        """Write chunks; those that are there already are replaced."""

    @abc.abstractmethod
    async def relabel(self, metadata: Mapping[str, dict[str, Any]]) -> None:
        """Change the metadata of chunks, by id, and leave their texts and vectors; unknown ids are left out."""

    @abc.abstractmethod
    async def delete(self, ids: Sequence[str]) -> None:
        """Remove chunks; unknown ids are left out."""


class VectorIndex(ChunkIndex):
    """Embeds chunks and keeps them in one collection of a vector store, which is made with the first of them.

    What is embedded is the text under its headings, so that a chunk is found by what its section is about.

    Args:
        store: an open store.
        embedder: an `Embedder`, or a Function that answers `texts` with `{"embeddings": …}` that has `vectors`. One
            with `cache=SQLiteEmbeddingCache(…)` asks for no text twice, also when the index is made anew.
        collection: its name.
    """

    def __init__(self, store: VectorStore, embedder: FunctionRef, collection: str = "chunks") -> None:
        self._store = store
        self._embedder = embedder
        self._collection = collection
        self._made = False

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        """Embed chunks and write them."""
        if not chunks:
            return
        output: Any = unwrap(await self._embedder(texts=[_embedded(chunk) for chunk in chunks]))
        vectors: Sequence[Sequence[float]] = output["embeddings"].vectors
        if not self._made:
            await self._store.create(self._collection, dimensions=len(vectors[0]))
            self._made = True
        rows = [
            Row(_kept(chunk.text), vector, chunk_metadata(chunk), chunk.id)
            for chunk, vector in zip(chunks, vectors, strict=True)
        ]
        await self._store.upsert(self._collection, rows)

    async def relabel(self, metadata: Mapping[str, dict[str, Any]]) -> None:
        """Write the rows again with other metadata."""
        if metadata:
            rows = await self._store.get(self._collection, list(metadata))
            await self._store.upsert(
                self._collection, [Row(row.text, row.vector, metadata[row.id], row.id) for row in rows]
            )

    async def delete(self, ids: Sequence[str]) -> None:
        """Remove rows."""
        if ids:
            await self._store.delete(self._collection, ids=ids)


def _embedded(chunk: Chunk) -> str:
    missing = [heading for heading in chunk.headings if heading and heading not in chunk.text[:200]]
    return "\n".join([*missing, chunk.text])


def _kept(text: str) -> str:
    # No database keeps these; a reader of PDF documents may still make them.
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
