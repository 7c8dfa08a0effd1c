"""Which adapter keeps the vectors of a store URL.

Adapters announce themselves as entry points of the group `tinyllm_actors.vector_stores`; the entry point's name is the
scheme of the URLs that it takes, and its object a factory `(url) -> VectorStore`.
"""

from __future__ import annotations

import difflib
import importlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from tinyllm_actors.errors import UnknownStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.retrieval.vector_store import VectorStore

__all__ = ["vector_store_from_url"]

if TYPE_CHECKING:
    VectorStoreFactory: TypeAlias = Callable[[str], VectorStore]

GROUP: Final = "tinyllm_actors.vector_stores"

# Those that come with the library, so that a source tree works without being installed.
_BUILT_IN: Final = {
    "memory": "tinyllm_actors.retrieval:MemoryVectorStore",
    "postgres": "tinyllm_actors.integrations.postgres.vectors:from_url",
    "postgresql": "tinyllm_actors.integrations.postgres.vectors:from_url",
    "sqlite": "tinyllm_actors.integrations.sqlite.vectors:from_url",
}


@lru_cache(maxsize=1)
def _adapters() -> dict[str, str]:
    """Return where the factory of each scheme is, as `module:attribute`."""
    from importlib.metadata import entry_points  # 40 ms that only URLs need

    return _BUILT_IN | {point.name: point.value for point in entry_points(group=GROUP)}


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
    adapters = _adapters()
    scheme, colon, _ = url.partition(":")
    if not colon or scheme not in adapters:
        near = difflib.get_close_matches(scheme, adapters, n=1)
        hint = f" Did you mean {near[0] + ':'!r}?" if near else ""
        shown = scheme[:40] if colon else url[:80]  # what follows the scheme may hold a password
        raise UnknownStore(
            f"no adapter for a vector store URL that begins with {shown!r}.{hint} Write 'sqlite:///vectors.db',"
            f" 'postgresql://user@host/database' or 'memory:'; adapters: {', '.join(map(repr, sorted(adapters)))}"
        )
    module, _, attribute = adapters[scheme].partition(":")
    factory = cast("VectorStoreFactory", getattr(importlib.import_module(module), attribute))
    return factory(url)
