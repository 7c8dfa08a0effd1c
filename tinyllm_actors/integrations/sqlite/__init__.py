"""Conversations, vectors and known embeddings in SQLite files: the default, nothing to install and nothing to run."""

from tinyllm_actors.integrations.sqlite.address import from_url
from tinyllm_actors.integrations.sqlite.embedding_cache import SQLiteEmbeddingCache
from tinyllm_actors.integrations.sqlite.store import SQLiteStore
from tinyllm_actors.integrations.sqlite.vectors import SQLiteVectorStore

__all__ = ["SQLiteEmbeddingCache", "SQLiteStore", "SQLiteVectorStore", "from_url"]
