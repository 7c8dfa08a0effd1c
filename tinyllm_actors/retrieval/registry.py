"""Which adapter keeps the vectors of a store URL.

Adapters announce themselves as entry points of the group `tinyllm_actors.vector_stores`; the entry point's name is the
scheme of the URLs that it takes, and its object a factory `(url) -> VectorStore`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, cast

from tinyllm_actors.kernel.adapters import Adapters

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.retrieval.vector_store import VectorStore

    VectorStoreFactory: TypeAlias = Callable[[str], VectorStore]

__all__ = ["VECTOR_STORES", "vector_store_from_url"]

VECTOR_STORES: Final = Adapters(
    "tinyllm_actors.vector_stores",
    {
        "memory": "tinyllm_actors.retrieval:MemoryVectorStore",
        "postgres": "tinyllm_actors.integrations.postgres.vectors:from_url",
        "postgresql": "tinyllm_actors.integrations.postgres.vectors:from_url",
        "sqlite": "tinyllm_actors.integrations.sqlite.vectors:from_url",
    },
)


def vector_store_from_url(url: str) -> VectorStore:
    """Return the vector store that a URL stands for. It is not opened yet.

    `"sqlite:///vectors.db"` is a file beside the program, `"sqlite:////var/lib/vectors.db"` one anywhere,
    `"postgresql://user@host/database"` a server with pgvector, `"memory:"` nothing that lasts.

    ```python
    >>> vector_store_from_url("memory:")
    MemoryVectorStore('memory:')

    ```

    Raises:
        UnknownStore: no adapter takes the URL.
        MissingDependency: its adapter's package is not installed.
        ConfigurationError: the URL does not say where.
    """
    return cast("VectorStoreFactory", VECTOR_STORES.load_for_url(url, "sqlite:///vectors.db"))(url)
