"""How long an answer may be, in tokens: what a request says, and how to say it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.llm.model import ChatRequest

__all__ = ["limited_to", "output_limit_of"]

_OPTIONS: Final = ("max_completion_tokens", "max_tokens")

_THINKS: Final = re.compile(r"(?:.*/)?(?:o\d|gpt-5)(?:\b|-)")
"""Models of OpenAI that refuse `max_tokens`, since thinking counts too."""


def output_limit_of(request: ChatRequest, options: Mapping[str, Any] | None = None) -> int | None:
    """Return how many tokens the answer may have, by the request or else the model's options; None if neither says."""
    for given in (request.options, options or {}):
        for name in _OPTIONS:
            value = given.get(name)
            if isinstance(value, int):
                return value
    return None


def limited_to(tokens: int, model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request's options with a limit for the answer, in the words of that model.

    ```python
    >>> limited_to(500, "openai/gpt-4o", {"seed": 1}), limited_to(500, "openai/o3-mini", {})
    ({'seed': 1, 'max_tokens': 500}, {'max_completion_tokens': 500})

    ```
    """
    return {**options, "max_completion_tokens" if _THINKS.match(model) else "max_tokens": tokens}
