"""Which adapter speaks for a model name.

Adapters announce themselves as entry points of the groups `tinyllm_actors.models` and `tinyllm_actors.embeddings`; the
entry point's name is the prefix of the model names that it takes, and its object a factory `(name, options)` that
returns a `ChatModel` or an `EmbeddingModel`. So this layer imports no vendor, and any package can add one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from tinyllm_actors.errors import UnknownModel
from tinyllm_actors.kernel.adapters import Adapters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tinyllm_actors.llm.embedding import EmbeddingModel
    from tinyllm_actors.llm.model import ChatModel

    ModelFactory: TypeAlias = Callable[[str, Mapping[str, Any]], ChatModel]
    EmbeddingFactory: TypeAlias = Callable[[str, Mapping[str, Any]], EmbeddingModel]

__all__ = ["EMBEDDING_MODELS", "MODELS", "EmbeddingFactory", "ModelFactory", "embedding_from_name", "model_from_name"]

FALLBACK: Final = "litellm"

MODELS: Final = Adapters(
    "tinyllm_actors.models",
    {
        "litellm": "tinyllm_actors.integrations.litellm:from_name",
        "local": "tinyllm_actors.integrations.local_model:from_name",
        "openai": "tinyllm_actors.integrations.openai_compatible:from_name",
        "openai_compatible": "tinyllm_actors.integrations.openai_compatible:from_name",
    },
)
EMBEDDING_MODELS: Final = Adapters(
    "tinyllm_actors.embeddings",
    {
        "litellm": "tinyllm_actors.integrations.litellm:embedding_from_name",
        "local": "tinyllm_actors.integrations.local_model:embedding_from_name",
        "openai": "tinyllm_actors.integrations.openai_compatible:embedding_from_name",
        "openai_compatible": "tinyllm_actors.integrations.openai_compatible:embedding_from_name",
    },
)


def model_from_name(name: str, options: Mapping[str, Any] | None = None) -> ChatModel:
    """Return the model that a name such as `"openai/gpt-4o-mini"` stands for. It is not opened yet.

    A name whose prefix has an adapter goes there; every other `provider/model` goes to litellm, if installed.

    Raises:
        UnknownModel: no adapter takes the name.
        MissingDependency: its adapter's package is not installed.
        ConfigurationError: the adapter cannot be set up like this.
    """
    factory = _factory(MODELS, name, "openai/gpt-4o-mini")
    return cast("ModelFactory", factory)(name, options or {})


def embedding_from_name(name: str, options: Mapping[str, Any] | None = None) -> EmbeddingModel:
    """Return the embedding model that a name such as `"local"` stands for. It is not opened yet.

    A name whose prefix has an adapter goes there; every other `provider/model` goes to litellm, if installed.

    Raises:
        UnknownModel: no adapter takes the name.
        MissingDependency: its adapter's package is not installed.
        ConfigurationError: the adapter cannot be set up like this.
    """
    return cast("EmbeddingFactory", _factory(EMBEDDING_MODELS, name, "openai/text-embedding-3-small"))(
        name, options or {}
    )


def _factory(adapters: Adapters, name: str, example: str) -> object:
    prefix, slash, rest = name.partition("/")
    if prefix in adapters and (rest or not slash):
        return adapters.load(prefix)
    if slash and prefix and rest:
        return adapters.load(FALLBACK)
    known = ", ".join(f"'{adapter}/…'" for adapter in sorted(adapters.known()))
    near = adapters.nearest(prefix)
    hint = "." if near is None else f"; did you mean {near + '/…'!r}?"
    raise UnknownModel(
        f"cannot tell the provider of model {name!r}{hint} Write 'provider/model', such as {example!r} or 'local';"
        f" adapters: {known}"
    )
