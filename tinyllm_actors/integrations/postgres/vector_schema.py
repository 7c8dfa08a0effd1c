"""The tables of the vector store: one for the collections, and one for the rows of each, named by its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.integrations.postgres.schema import migrate
from tinyllm_actors.integrations.postgres.vector_codec import teach

if TYPE_CHECKING:
    from tinyllm_actors.integrations.postgres.connection import Connection
    from tinyllm_actors.retrieval import Metric

__all__ = ["OPERATORS", "Place", "Precision", "prepare"]

Precision: TypeAlias = Literal["single", "half"]

MIGRATIONS: Final = (
    """
    CREATE EXTENSION IF NOT EXISTS vector;
    CREATE TABLE tinyllm_actors_vector_collections (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text COLLATE "C" NOT NULL UNIQUE,
        dimensions integer NOT NULL,
        metric text NOT NULL,
        precision text NOT NULL,
        language text NOT NULL
    );
    """,
)

OPERATORS: Final[dict[Metric, tuple[str, str]]] = {
    "cosine": ("<=>", "cosine_ops"),
    "dot": ("<#>", "ip_ops"),
    "l2": ("<->", "l2_ops"),
}
"""How far two vectors are from each other by each metric, and the end of the name of its operator class."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a collection is; it never changes while there is one.

    Attributes:
        id: its number, which no other one ever has.
        name: its name.
        dimensions: of its vectors.
        metric: of its vectors.
        precision: of its vectors.
        language: whose words and stems it knows, a text search configuration.
    """

    id: int
    name: str
    dimensions: int
    metric: Metric
    precision: Precision
    language: str

    @property
    def table(self) -> str:
        """The table of its rows."""
        return f"tinyllm_actors_vectors_{self.id:d}"

    @property
    def index(self) -> str:
        """The name of its index of vectors."""
        return f"{self.table}_nearest"

    @property
    def type(self) -> str:
        """The type of its vectors."""
        return "halfvec" if self.precision == "half" else "vector"


async def prepare(connection: Connection, name: str) -> None:
    """Bring the tables up to date, and let the connection know pgvector's types.

    Raises:
        ConfigurationError: they are newer than this library, or the server has no pgvector, or an old one.
    """
    try:
        await migrate(connection, name, MIGRATIONS, "tinyllm_actors_vector_schema")
    except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError) as error:
        raise ConfigurationError(f"the server of {name!r} has no pgvector; install it there ({error})") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(
            f"the user of {name!r} may not set it up: let an administrator run CREATE EXTENSION vector, and grant"
            f" CREATE on the schema ({error})"
        ) from error
    await teach(connection)  # which could not know the types if they were made only now
