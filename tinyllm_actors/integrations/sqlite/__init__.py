"""Conversations in a SQLite file: the embedded default, nothing to install and nothing to run."""

from tinyllm_actors.integrations.sqlite.address import from_url
from tinyllm_actors.integrations.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore", "from_url"]
