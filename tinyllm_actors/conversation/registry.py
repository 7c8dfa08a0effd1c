"""Which adapter keeps the conversations of a store URL.

Adapters announce themselves as entry points of the group `tinyllm_actors.stores`; the entry point's name is the
scheme of the URLs that it takes, and its object a factory `(url) -> ConversationStore`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, cast

from tinyllm_actors.kernel.adapters import Adapters

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.conversation.store import ConversationStore

    StoreFactory: TypeAlias = Callable[[str], ConversationStore]

__all__ = ["STORES", "StoreFactory", "store_from_url"]

STORES: Final = Adapters(
    "tinyllm_actors.stores",
    {
        "memory": "tinyllm_actors.conversation:MemoryStore",
        "postgres": "tinyllm_actors.integrations.postgres:from_url",
        "postgresql": "tinyllm_actors.integrations.postgres:from_url",
        "sqlite": "tinyllm_actors.integrations.sqlite:from_url",
    },
)


def store_from_url(url: str) -> ConversationStore:
    """Return the store that a URL stands for. It is not opened yet.

    `"sqlite:///chats.db"` is a file beside the program, `"sqlite:////var/lib/chats.db"` one anywhere,
    `"postgresql://user@host/database"` a server, `"memory:"` nothing that lasts.

    Raises:
        UnknownStore: no adapter takes the URL.
        MissingDependency: its adapter's package is not installed.
        ConfigurationError: the URL does not say where.
    """
    return cast("StoreFactory", STORES.load_for_url(url, "sqlite:///chats.db"))(url)
