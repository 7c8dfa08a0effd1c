"""Ingest: bring an index in step with a folder, and keep it so."""

from tinyllm_actors.retrieval.ingest.index import ChunkIndex, VectorIndex, chunk_metadata
from tinyllm_actors.retrieval.ingest.ingest import Ingest
from tinyllm_actors.retrieval.ingest.ledger import IngestLedger
from tinyllm_actors.retrieval.ingest.progress import IngestProgress

__all__ = ["ChunkIndex", "Ingest", "IngestLedger", "IngestProgress", "VectorIndex", "chunk_metadata"]
