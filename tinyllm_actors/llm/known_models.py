"""Sizes and tokenizers of common models, as their providers document them. Prices change too often to be kept here.

Dates and `-latest` are left out of the names. A mapping of the same form, `known_models=…` of `LLM`, extends or
corrects the table; litellm's is asked too, where it is installed.
"""

from __future__ import annotations

from typing import Final

from tinyllm_actors.llm.model_info import ModelInfo
from tinyllm_actors.llm.price import Price

__all__ = ["KNOWN_MODELS"]


def _of(provider: str, encoding: str | None, sizes: dict[str, tuple[int, int]]) -> dict[str, ModelInfo]:
    return {
        f"{provider}/{name}": ModelInfo(context_window=window, max_output=output, encoding=encoding)
        for name, (window, output) in sizes.items()
    }


_GPT_4O: Final = {
    "gpt-4.1": (1_047_576, 32_768),
    "gpt-4.1-mini": (1_047_576, 32_768),
    "gpt-4.1-nano": (1_047_576, 32_768),
    "gpt-4o": (128_000, 16_384),
    "gpt-4o-mini": (128_000, 16_384),
    "gpt-5": (400_000, 128_000),
    "gpt-5-mini": (400_000, 128_000),
    "gpt-5-nano": (400_000, 128_000),
    "o1": (200_000, 100_000),
    "o3": (200_000, 100_000),
    "o3-mini": (200_000, 100_000),
    "o4-mini": (200_000, 100_000),
}

_GPT_4: Final = {
    "gpt-3.5-turbo": (16_385, 4_096),
    "gpt-4": (8_192, 8_192),
    "gpt-4-turbo": (128_000, 4_096),
}

_CLAUDE: Final = {
    "claude-3-5-haiku": (200_000, 8_192),
    "claude-3-5-sonnet": (200_000, 8_192),
    "claude-3-7-sonnet": (200_000, 64_000),
    "claude-haiku-4-5": (200_000, 64_000),
    "claude-opus-4-5": (200_000, 64_000),
    "claude-sonnet-4-5": (200_000, 64_000),
}

_GEMINI: Final = {
    "gemini-2.0-flash": (1_048_576, 8_192),
    "gemini-2.5-flash": (1_048_576, 65_536),
    "gemini-2.5-pro": (1_048_576, 65_536),
}

KNOWN_MODELS: Final[dict[str, ModelInfo]] = {
    **_of("openai", "o200k_base", _GPT_4O),
    **_of("openai", "cl100k_base", _GPT_4),
    **_of("anthropic", None, _CLAUDE),
    **_of("gemini", None, _GEMINI),
    "local": ModelInfo(price=Price(0.0, 0.0)),  # runs on this machine
}
