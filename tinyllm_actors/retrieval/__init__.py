"""Retrieval: documents, how they are read, cut, indexed, found and cited."""

from tinyllm_actors.retrieval.bm25 import BM25Index
from tinyllm_actors.retrieval.chunking import Chunk, ChunkChanges, Chunker, chunk_changes, chunk_id
from tinyllm_actors.retrieval.citations import CitationReport, CitedSentence, QuoteCheck, check_citations
from tinyllm_actors.retrieval.document import AnyDocument, DictionaryDocument, Document, ImageDocument, TableDocument
from tinyllm_actors.retrieval.document_store import DocumentStore, FittedDocuments
from tinyllm_actors.retrieval.filters import AllOf, AnyOf, Compare, Contains, Field, Filter, NotFilter, field, matches
from tinyllm_actors.retrieval.fusion import normalised, reciprocal_rank_fusion
from tinyllm_actors.retrieval.hybrid import hybrid_search
from tinyllm_actors.retrieval.ingest import (
    ChunkIndex,
    Ingest,
    IngestLedger,
    IngestProgress,
    VectorIndex,
    chunk_metadata,
)
from tinyllm_actors.retrieval.loading import FORMATS, FoundFile, Loader, LoadLimits, LoadProgress, find_files
from tinyllm_actors.retrieval.memory_store import MemoryVectorStore
from tinyllm_actors.retrieval.quality import ndcg_at, recall_at, reciprocal_rank
from tinyllm_actors.retrieval.registry import vector_store_from_url
from tinyllm_actors.retrieval.rerank import Scorer, maximal_marginal_relevance, rerank
from tinyllm_actors.retrieval.retriever import Retriever
from tinyllm_actors.retrieval.rows import Collection, Hit, Metadata, MetadataValue, Metric, Row, Scalar
from tinyllm_actors.retrieval.sizing import estimate_size
from tinyllm_actors.retrieval.vector_store import VectorStore

__all__ = [
    "FORMATS",
    "AllOf",
    "AnyDocument",
    "AnyOf",
    "BM25Index",
    "Chunk",
    "ChunkChanges",
    "ChunkIndex",
    "Chunker",
    "CitationReport",
    "CitedSentence",
    "Collection",
    "Compare",
    "Contains",
    "DictionaryDocument",
    "Document",
    "DocumentStore",
    "Field",
    "Filter",
    "FittedDocuments",
    "FoundFile",
    "Hit",
    "ImageDocument",
    "Ingest",
    "IngestLedger",
    "IngestProgress",
    "LoadLimits",
    "LoadProgress",
    "Loader",
    "MemoryVectorStore",
    "Metadata",
    "MetadataValue",
    "Metric",
    "NotFilter",
    "QuoteCheck",
    "Retriever",
    "Row",
    "Scalar",
    "Scorer",
    "TableDocument",
    "VectorIndex",
    "VectorStore",
    "check_citations",
    "chunk_changes",
    "chunk_id",
    "chunk_metadata",
    "estimate_size",
    "field",
    "find_files",
    "hybrid_search",
    "matches",
    "maximal_marginal_relevance",
    "ndcg_at",
    "normalised",
    "recall_at",
    "reciprocal_rank",
    "reciprocal_rank_fusion",
    "rerank",
    "vector_store_from_url",
]
