"""Retrieval: documents, how they are read, cut, indexed, found and cited."""

from tinyllm_actors.retrieval.chunking import Chunk, ChunkChanges, Chunker, chunk_changes, chunk_id
from tinyllm_actors.retrieval.document import (
    AnyDocument,
    DictionaryDocument,
    Document,
    ImageDocument,
    TableDocument,
)
from tinyllm_actors.retrieval.document_store import DocumentStore, FittedDocuments
from tinyllm_actors.retrieval.sizing import estimate_size

__all__ = [
    "AnyDocument",
    "Chunk",
    "ChunkChanges",
    "Chunker",
    "DictionaryDocument",
    "Document",
    "DocumentStore",
    "FittedDocuments",
    "ImageDocument",
    "TableDocument",
    "chunk_changes",
    "chunk_id",
    "estimate_size",
]
