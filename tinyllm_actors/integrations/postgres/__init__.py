"""Conversations in a PostgreSQL database: for services of more than one machine. Needs the extra `postgres`."""

from tinyllm_actors.integrations.postgres.address import from_url
from tinyllm_actors.integrations.postgres.store import PostgresStore

__all__ = ["PostgresStore", "from_url"]
