"""What is known of a model offline: the size of its context, and its price. Unknown is None, never a guess."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tinyllm_actors.llm.price import Price

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ModelInfo", "known_model", "litellm_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What is known of a model; None is "unknown".

    ```python
    >>> from tinyllm_actors.llm import ModelInfo, Price
    >>> ModelInfo(context_window=32_768, max_output=4_096, price=Price(input=0.2, output=0.6)).context_window
    32768

    ```

    Attributes:
        context_window: tokens of prompt and answer together.
        max_output: tokens that one answer may have.
        price: dollars a million tokens.
        encoding: the tokenizer, by the name that tiktoken gives it.
    """

    context_window: int | None = None
    max_output: int | None = None
    price: Price | None = None
    encoding: str | None = None


_DATE: Final = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8})$|-latest$")


def names_of(model: str) -> Iterator[str]:
    """Yield what a model may be listed as, the most exact first: as it is, and without its date."""
    yield model
    undated = _DATE.sub("", model)
    if undated != model:
        yield undated


def known_model(model: str, given: Mapping[str, ModelInfo] | None = None) -> ModelInfo | None:
    """Return what the caller gave or the library's table says of a model; None for nothing.

    Sizes and tokenizers only: the table holds no prices, since they change.

    Args:
        model: as it is named to an agent, such as `"openai/gpt-4o-mini"`.
        given: what the caller knows, by the same names; it goes before the table.
    """
    from tinyllm_actors.llm.known_models import KNOWN_MODELS

    own = next((given[name] for name in names_of(model) if name in given), None) if given else None
    table = next((KNOWN_MODELS[name] for name in names_of(model) if name in KNOWN_MODELS), None)
    return _merged(own, table)


def _merged(first: ModelInfo | None, second: ModelInfo | None) -> ModelInfo | None:
    """Return what is known from either, the first before the second."""
    if first is None or second is None:
        return first or second
    return ModelInfo(
        context_window=first.context_window or second.context_window,
        max_output=first.max_output or second.max_output,
        price=first.price or second.price,
        encoding=first.encoding or second.encoding,
    )


def find_model(model: str, given: Mapping[str, ModelInfo] | None = None) -> ModelInfo:
    """Return everything that can be known of a model: given, in the library's table, and in litellm's if installed.

    Reads a file of 3 MB the first time: not on an event loop.
    """
    return _merged(known_model(model, given), litellm_model(model)) or ModelInfo()


def litellm_model(model: str) -> ModelInfo | None:
    """Return what litellm's bundled table says of a model; None if it does not, or litellm is not installed.

    litellm itself is not imported, and nothing is downloaded. Reads a file the first time: not on an event loop.
    """
    table = _litellm_table()
    provider, slash, rest = model.partition("/")
    if provider == "litellm" and slash:
        model = rest
        provider, slash, rest = model.partition("/")
    for name in names_of(model):
        if name in table:
            return _from_litellm(table[name])
    for name in names_of(rest) if slash else ():
        # `openai/gpt-4o` is listed as `gpt-4o`; the same model at another provider has another price.
        entry = table.get(name)
        if entry is not None and str(entry.get("litellm_provider", "")).startswith(provider):
            return _from_litellm(entry)
    return None


@lru_cache(maxsize=1)
def _litellm_table() -> dict[str, dict[str, Any]]:
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder, "model_prices_and_context_window_backup.json")
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
        except (OSError, msgspec.DecodeError):
            continue
    return {}


def _from_litellm(entry: Mapping[str, Any]) -> ModelInfo:
    prices = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    known = all(isinstance(price, int | float) for price in prices)
    # litellm lists models that it has no price for at 0; only a local one costs nothing.
    free = known and not any(prices)
    return ModelInfo(
        context_window=_size(entry.get("max_input_tokens")),
        max_output=_size(entry.get("max_output_tokens")),
        price=_price(*prices, entry.get("cache_read_input_token_cost")) if known and not free else None,
    )


def _price(inward: Any, outward: Any, cached: Any) -> Price:
    """Return litellm's dollars a token as ours a million, without the dust of the multiplication."""
    million = [
        round(float(each) * 1e6, 9) if isinstance(each, int | float) else None for each in (inward, outward, cached)
    ]
    return Price(million[0] or 0.0, million[1] or 0.0, million[2])


def _size(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and value > 0 else None
