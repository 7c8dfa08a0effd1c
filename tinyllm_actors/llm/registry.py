"""Which adapter speaks for a model name.

Adapters announce themselves as entry points of the groups `tinyllm_actors.models` and `tinyllm_actors.embeddings`; the
entry point's name is the prefix of the model names that it takes, and its object a factory `(name, options)` that
returns a `ChatModel` or an `EmbeddingModel`. So this layer imports no vendor, and any package can add one.
"""

from __future__ import annotations

import difflib
import importlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from tinyllm_actors.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tinyllm_actors.llm.embedding import EmbeddingModel
    from tinyllm_actors.llm.model import ChatModel

__all__ = ["EmbeddingFactory", "ModelFactory", "embedding_from_name", "model_from_name"]

if TYPE_CHECKING:
    ModelFactory: TypeAlias = Callable[[str, Mapping[str, Any]], ChatModel]
    EmbeddingFactory: TypeAlias = Callable[[str, Mapping[str, Any]], EmbeddingModel]

CHAT: Final = "tinyllm_actors.models"
EMBEDDING: Final = "tinyllm_actors.embeddings"
FALLBACK: Final = "litellm"

# The adapters that come with the library, so that a source tree works without being installed.
_BUILT_IN: Final = {
    CHAT: {
        "litellm": "tinyllm_actors.integrations.litellm:from_name",
        "local": "tinyllm_actors.integrations.local_model:from_name",
        "openai": "tinyllm_actors.integrations.openai_compatible:from_name",
        "openai_compatible": "tinyllm_actors.integrations.openai_compatible:from_name",
    },
    EMBEDDING: {
        "litellm": "tinyllm_actors.integrations.litellm:embedding_from_name",
        "local": "tinyllm_actors.integrations.local_model:embedding_from_name",
        "openai": "tinyllm_actors.integrations.openai_compatible:embedding_from_name",
        "openai_compatible": "tinyllm_actors.integrations.openai_compatible:embedding_from_name",
    },
}
_EXAMPLES: Final = {CHAT: "openai/gpt-4o-mini", EMBEDDING: "openai/text-embedding-3-small"}


@lru_cache(maxsize=2)
def _adapters(group: str) -> dict[str, str]:
    """Return where the factory of each prefix is, as `module:attribute`."""
    from importlib.metadata import entry_points  # 40 ms that only string names need

    return _BUILT_IN[group] | {point.name: point.value for point in entry_points(group=group)}


def model_from_name(name: str, options: Mapping[str, Any] | None = None) -> ChatModel:
    """Return the model that a name such as `"openai/gpt-4o-mini"` stands for. It is not opened yet.

    A name whose prefix has an adapter goes there; every other `provider/model` goes to litellm, if installed.

    Raises:
        UnknownModel: no adapter takes the name.
        MissingDependency: its adapter's package is not installed.
        ConfigurationError: the adapter cannot be set up like this.
    """
    return cast("ModelFactory", _factory(CHAT, name))(name, options or {})


def embedding_from_name(name: str, options: Mapping[str, Any] | None = None) -> EmbeddingModel:
    """Return the embedding model that a name such as `"local"` stands for. It is not opened yet.

    A name whose prefix has an adapter goes there; every other `provider/model` goes to litellm, if installed.

    Raises:
        UnknownModel: no adapter takes the name.
        MissingDependency: its adapter's package is not installed.
        ConfigurationError: the adapter cannot be set up like this.
    """
    return cast("EmbeddingFactory", _factory(EMBEDDING, name))(name, options or {})


def _factory(group: str, name: str) -> object:
    adapters = _adapters(group)
    prefix, slash, rest = name.partition("/")
    if prefix not in adapters or (slash and not rest):
        known = ", ".join(f"'{adapter}/…'" for adapter in sorted(adapters))
        if not slash or not prefix or not rest:
            near = difflib.get_close_matches(prefix, adapters, n=1)
            hint = f"; did you mean {near[0] + '/…'!r}?" if near else ""
            raise UnknownModel(
                f"cannot tell the provider of model {name!r}{hint or '.'} Write 'provider/model', such as "
                f"{_EXAMPLES[group]!r} or 'local'; adapters: {known}"
            )
        prefix = FALLBACK
    module, _, attribute = adapters[prefix].partition(":")
    return getattr(importlib.import_module(module), attribute)
