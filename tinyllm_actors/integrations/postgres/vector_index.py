"""Approximate indexes of pgvector, and what they say to PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.integrations.postgres.vector_schema import OPERATORS
from tinyllm_actors.retrieval import Hnsw

if TYPE_CHECKING:
    from tinyllm_actors.integrations.postgres.connection import Connection
    from tinyllm_actors.integrations.postgres.vector_schema import Place

__all__ = ["BUILD_TIMEOUT", "Hnsw", "IvfFlat", "build", "statement"]

BUILD_TIMEOUT: Final = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class IvfFlat:
    """Rows in groups around centres: quick to build, of what is there then, and less exact than `Hnsw`.

    ```python
    >>> IvfFlat(lists=300).lists
    300

    ```

    Args:
        lists: groups, 1 to 32,768. If in doubt, a thousandth of the rows, the square root of them beyond a million.
    """

    lists: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.lists <= 32_768:
            raise ConfigurationError(f"need lists from 1 to 32768, got {self.lists!r}")


def statement(place: Place, index: Hnsw | IvfFlat) -> str:
    """Return the statement that builds an index.

    Raises:
        ConfigurationError: the vectors are too long for one.
    """
    most = 4000 if place.precision == "half" else 2000
    if place.dimensions > most:
        raise ConfigurationError(
            f"an index holds vectors of at most {most} dimensions in {place.precision} precision, and those of"
            f" {place.name!r} have {place.dimensions}; "
            + ("search without one" if place.precision == "half" else "take precision='half', or search without one")
        )
    _, operators = OPERATORS[place.metric]
    if isinstance(index, Hnsw):
        method, options = "hnsw", f"m = {index.m:d}, ef_construction = {index.ef_construction:d}"
    else:
        method, options = "ivfflat", f"lists = {index.lists:d}"
    kind = f"{place.type}_{operators}"
    return f"CREATE INDEX {place.index} ON {place.table} USING {method} (vector {kind}) WITH ({options})"


async def build(connection: Connection, place: Place, index: Hnsw | IvfFlat | None, memory: int) -> None:
    """Build an index in place of the one that is there, or of none; `memory` is in MiB."""
    async with connection.transaction():
        await connection.execute(f"DROP INDEX IF EXISTS {place.index}")
        if index is not None:
            await connection.execute(f"SET LOCAL maintenance_work_mem = '{memory:d}MB'")
            await connection.execute(statement(place, index), timeout=BUILD_TIMEOUT)
