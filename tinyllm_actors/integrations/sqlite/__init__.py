"""Conversations and vectors in SQLite files: the embedded default, nothing to install and nothing to run."""

from tinyllm_actors.integrations.sqlite.address import from_url
from tinyllm_actors.integrations.sqlite.store import SQLiteStore
from tinyllm_actors.integrations.sqlite.vectors import SQLiteVectorStore

__all__ = ["SQLiteStore", "SQLiteVectorStore", "from_url"]
