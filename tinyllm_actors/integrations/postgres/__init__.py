"""Conversations and vectors in PostgreSQL, for services of more than one machine. Needs the extra `postgres`.

Vectors need pgvector in the server, and nothing of it here: they go there as arrays and COPY, and numpy is not needed.
"""

from tinyllm_actors.integrations.postgres.address import from_url
from tinyllm_actors.integrations.postgres.store import PostgresStore
from tinyllm_actors.integrations.postgres.vector_index import Hnsw, IvfFlat
from tinyllm_actors.integrations.postgres.vectors import PostgresVectorStore

__all__ = ["Hnsw", "IvfFlat", "PostgresStore", "PostgresVectorStore", "from_url"]
