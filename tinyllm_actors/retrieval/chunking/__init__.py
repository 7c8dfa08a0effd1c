"""Chunks: pieces of documents, small enough to embed and to cite, with ids that stay while their text does."""

from tinyllm_actors.retrieval.chunking.chunk import Chunk, ChunkChanges, chunk_changes, chunk_id
from tinyllm_actors.retrieval.chunking.chunker import Chunker

__all__ = ["Chunk", "ChunkChanges", "Chunker", "chunk_changes", "chunk_id"]
