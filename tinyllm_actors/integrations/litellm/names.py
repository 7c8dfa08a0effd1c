"""What a model string means to litellm, found out without the network."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.config import file_setting
from tinyllm_actors.errors import MissingCredential, UnknownModel
from tinyllm_actors.llm.model import Capabilities

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["capabilities_of", "check_credential", "provider_of", "spare_lookups"]

_EXAMPLE = "write it as 'provider/model', such as 'openai/gpt-4o-mini'"
# These take other credentials than a key in a variable, or none, or ask for one in their own way.
_OTHER_CREDENTIALS = frozenset(
    {"azure", "azure_ai", "azure_text", "bedrock", "chatgpt", "databricks", "github_copilot", "ollama", "ollama_chat"}
    | {"sagemaker", "sagemaker_chat", "snowflake", "vertex_ai", "vertex_ai_beta", "watsonx"}
)
# Further names that litellm reads, beside those that it says are missing.
_ALSO = {"cohere": ("CO_API_KEY",), "huggingface": ("HF_TOKEN",), "openrouter": ("OR_API_KEY",)}


def provider_of(litellm: Any, name: str, options: Mapping[str, object]) -> str:
    """Return the provider that litellm would call for `name`.

    Raises:
        UnknownModel: it would call none; the message says what may have been meant.
    """
    known = _providers(litellm)
    given = options.get("custom_llm_provider")
    if given is not None:
        if given in known:
            return str(given)
        raise UnknownModel(
            f"litellm knows no provider {given!r} (custom_llm_provider of {name!r}){_guess(given, known)}"
        )
    prefix, slash, model = name.partition("/")
    if slash and prefix in known:
        if model:
            return prefix
        raise UnknownModel(f"{name!r} names a provider and no model; {_EXAMPLE}")
    try:
        # Only for names without a provider: for some providers it would log in.
        return str(litellm.get_llm_provider(model=name, api_base=options.get("api_base"))[1])
    except Exception:
        # litellm says this with its BadRequestError, and in a paragraph.
        if slash:
            near = _guess(prefix, known, then=f"/{model}") or f"; {_EXAMPLE}"
            raise UnknownModel(f"litellm knows no provider {prefix!r}, so not the model {name!r}{near}") from None
        near = _guess(name, litellm.model_cost) or f"; {_EXAMPLE}"
        raise UnknownModel(f"litellm does not know which provider has the model {name!r}{near}") from None


def check_credential(litellm: Any, name: str, provider: str, options: Mapping[str, object]) -> str | None:
    """Return the key of `tinyllm.yaml`, if that is the one to use; raise if a key is surely missing.

    In doubt the provider is left to say so. It looks at the disk if there is no key anywhere else.

    Raises:
        MissingCredential: neither the options, nor the environment, nor the file hold the key; the message names the
            variable.
        ConfigurationError: the file cannot be used.
    """
    if provider in _OTHER_CREDENTIALS or options.get("api_key") or _has_own_header(options):
        return None
    if options.get("mock_response") is not None or litellm.secret_manager_client is not None:
        return None
    if any(getattr(litellm, attribute, None) for attribute in ("api_key", f"{provider}_key")):
        return None
    model = name.removeprefix(f"{provider}/")
    missing: list[str] = litellm.validate_environment(f"{provider}/{model}")["missing_keys"]
    if not missing or not all(variable.endswith(("_API_KEY", "_API_TOKEN")) for variable in missing):
        return None
    stem = provider.partition("_")[0].upper()
    for variable, value in os.environ.items():
        if value and variable.startswith(stem) and variable.endswith(("KEY", "TOKEN")):
            return None
    also = _ALSO.get(provider, ())
    if any(os.environ.get(variable) for variable in also):
        return None
    if not options.get("api_base"):  # the file's key is for the provider itself, wherever it is
        written = next((key for variable in (*missing, *also) if (key := file_setting(variable))), None)
        if written is not None:
            return written
    raise MissingCredential(
        f"the model {name!r} needs a key: set {' or '.join(missing)}, or give the option api_key"
        " (any text, if the server at api_base wants none)"
    )


def capabilities_of(litellm: Any, name: str) -> Capabilities:
    """Return what litellm's table says of a model; what is not in it is taken to be able to do the usual."""
    entry = litellm.model_cost.get(name) or litellm.model_cost.get(name.partition("/")[2])
    if not entry:
        return Capabilities()
    return Capabilities(
        tools=entry.get("supports_function_calling") is not False,
        json_schema=bool(entry.get("supports_response_schema", False)),
        images=bool(entry.get("supports_vision", False)),
    )


def spare_lookups(litellm: Any, provider: str, name: str) -> None:
    """Enter a model of an Ollama server into litellm's table of prices, with the price 0 that litellm gives it anyway.

    Of one that is not in the table, litellm asks `localhost:11434` in the middle of each call: on the event loop, which
    stands still until there is an answer, and whatever the address of the server is.
    """
    if provider in ("ollama", "ollama_chat"):
        model = name.removeprefix(f"{provider}/")
        usual = Capabilities()
        litellm.model_cost.setdefault(
            f"{provider}/{model}",
            {
                "litellm_provider": provider,
                "mode": "chat",
                "input_cost_per_token": 0.0,
                "output_cost_per_token": 0.0,
                "supports_function_calling": usual.tools,
                "supports_response_schema": usual.json_schema,
                "supports_vision": usual.images,
            },
        )


def _providers(litellm: Any) -> set[str]:
    known = {str(getattr(provider, "value", provider)) for provider in litellm.provider_list}
    return known | {str(entry["provider"]) for entry in litellm.custom_provider_map or ()}


def _guess(word: object, known: Any, *, then: str = "") -> str:
    near = difflib.get_close_matches(str(word), [str(name) for name in known], n=1)
    return f"; did you mean {near[0] + then!r}?" if near else ""


def _has_own_header(options: Mapping[str, object]) -> bool:
    for option in ("extra_headers", "headers"):
        headers = options.get(option)
        if isinstance(headers, dict):
            names = {str(name).lower() for name in cast("dict[object, object]", headers)}
            if names & {"authorization", "api-key", "x-api-key"}:
                return True
    return False
