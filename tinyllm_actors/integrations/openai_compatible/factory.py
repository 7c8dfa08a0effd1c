"""Make the adapter from a model string and options."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from tinyllm_actors.config import file_setting, setting
from tinyllm_actors.errors import ConfigurationError, MissingCredential, UnknownModel
from tinyllm_actors.integrations.openai_compatible.address import check_names
from tinyllm_actors.integrations.openai_compatible.client import Connection
from tinyllm_actors.integrations.openai_compatible.embedding import OpenAICompatibleEmbeddings
from tinyllm_actors.integrations.openai_compatible.model import OpenAICompatibleModel

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["embedding_from_name", "from_name"]

# What a model's name begins with, and where it is if nobody says: only OpenAI's own models have a home.
_HOMES = {"openai_compatible": None, "openai": "https://api.openai.com/v1"}


def _own(adapter: type) -> frozenset[str]:
    """Return which options are arguments of the adapter's own."""
    named = frozenset(inspect.signature(adapter.__init__).parameters) - {"self", "model", "options", "connection"}
    return named | Connection.__annotations__.keys()


_CHAT = _own(OpenAICompatibleModel)
_EMBEDDINGS = _own(OpenAICompatibleEmbeddings)


def from_name(name: str, options: Mapping[str, object]) -> OpenAICompatibleModel:
    """Return the model that `"openai_compatible/<model>"` or `"openai/<model>"` names.

    Args:
        name: the whole string; what follows the first `/` is the provider's name for the model.
        options: the adapter's own arguments (`api_base`, `api_key`, `idle_timeout`, …); the others are for the
            provider. Without `api_base`, `OPENAI_BASE_URL` is used, and for `"openai/…"` then OpenAI's own address.
            Without `api_key`, `OPENAI_API_KEY` is used, but only for OpenAI itself and for `OPENAI_BASE_URL`: no
            other endpoint is sent a key that was not given to it. Both are looked for in the environment, then in
            `tinyllm.yaml`; an address of that file is sent only the key of that file.

    Raises:
        UnknownModel: the string has another form.
        ConfigurationError: there is no address, or an option cannot be.
        MissingCredential: there is no key for an endpoint that will want one.
    """
    model, own = _arguments(name, options, _CHAT, "openai/gpt-4o-mini")
    made = OpenAICompatibleModel(model, **own)
    made.name = name  # as it was written, so that errors and logs show it like that
    return made


def embedding_from_name(name: str, options: Mapping[str, object]) -> OpenAICompatibleEmbeddings:
    """Return the embedding model that `"openai_compatible/<model>"` or `"openai/<model>"` names.

    Args:
        name: the whole string; what follows the first `/` is the provider's name for the model.
        options: as for `from_name`.

    Raises:
        UnknownModel: the string has another form.
        ConfigurationError: there is no address, or an option cannot be.
        MissingCredential: there is no key for an endpoint that will want one.
    """
    model, own = _arguments(name, options, _EMBEDDINGS, "openai/text-embedding-3-small")
    if own["api_base"] == _HOMES["openai"]:
        own.setdefault("unit_length", True)
        own["options"].setdefault("encoding_format", "base64")
    made = OpenAICompatibleEmbeddings(model, **own)
    made.name = name
    return made


def _arguments(
    name: str, options: Mapping[str, object], known: frozenset[str], example: str
) -> tuple[str, dict[str, Any]]:
    """Return the provider's name of the model and the arguments of its adapter."""
    prefix, _, model = name.partition("/")
    if prefix not in _HOMES or not model:
        raise UnknownModel(f"{name!r} must be like {example!r} or 'openai_compatible/<model>'")
    own: dict[str, Any] = {key: value for key, value in options.items() if key in known}
    own["options"] = {key: value for key, value in options.items() if key not in known}
    check_names(own["options"])
    given = own.get("api_base")
    found = os.environ.get("OPENAI_BASE_URL") if given is None else None
    written = file_setting("OPENAI_BASE_URL") if given is None and not found else None
    base = (found or written or _HOMES[prefix]) if given is None else given
    if not base:
        raise ConfigurationError(
            f"{name!r} needs the address of its endpoint: give the option api_base='https://host/v1', or set "
            "OPENAI_BASE_URL"
        )
    if not isinstance(base, str):
        raise ConfigurationError(f"api_base must be a string like 'https://host/v1', not {base!r}")
    own["api_base"] = base
    if own.get("api_key") is None:
        if written:
            # An address in a file of the working directory is not sent a key that only the environment holds.
            own["api_key"] = file_setting("OPENAI_API_KEY")
        if own.get("api_key") is None:
            own["api_key"] = _key_for(name, base, configured=given is None and not written, headers=own.get("headers"))
    elif not isinstance(own["api_key"], str):
        raise ConfigurationError(f"api_key must be a string, not a {type(own['api_key']).__name__}")
    return model, own


def _key_for(name: str, base: str, *, configured: bool, headers: object) -> str | None:
    url = urlsplit(base)
    if configured or (url.scheme == "https" and url.hostname == "api.openai.com"):
        key = setting("OPENAI_API_KEY")
        if key:
            return key
    if url.scheme == "http" or (isinstance(headers, dict) and cast("dict[str, str]", headers)):
        return None  # a server nearby, or the key is in a header
    if url.hostname == "api.openai.com":
        raise MissingCredential(
            f"the model {name!r} needs a key: set OPENAI_API_KEY in the environment or in tinyllm.yaml, or give the "
            "option api_key"
        )
    raise MissingCredential(
        f"the model {name!r} needs a key for {url.hostname}: give the option api_key, or set OPENAI_API_KEY together "
        "with OPENAI_BASE_URL; an endpoint that wants none takes api_key=''"
    )
