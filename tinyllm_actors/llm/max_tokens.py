"""How long an answer may be, from how long the prompt is. Pure.

Worked numbers, for a context of 8,192 tokens, at most 4,096 of them for an answer, and a prompt of 5,000: `MAX` gives
min(4,096, 8,192 − 5,000) = 3,192, and `EXPECTED_RATIO` with a ratio of 0.5 gives 2,500.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinyllm_actors.errors import ConfigurationError, ContextWindowExceeded
from tinyllm_actors.function.language.answer_size import answer_tokens

if TYPE_CHECKING:
    from tinyllm_actors.llm.model_info import ModelInfo
    from tinyllm_actors.llm.tokens import TokenCount

__all__ = ["MaxTokensStrategy", "Sizing", "max_tokens_for"]


class MaxTokensStrategy(enum.StrEnum):
    """How the `max_tokens` of a call is chosen.

    ```python
    >>> from tinyllm_actors.llm import MaxTokensStrategy, ModelInfo, TokenCount, max_tokens_for
    >>> model = ModelInfo(context_window=8_192, max_output=4_096)
    >>> max_tokens_for(MaxTokensStrategy.MAX, TokenCount(5_000, exact=True), model)
    3192
    >>> max_tokens_for(MaxTokensStrategy.EXPECTED_RATIO, TokenCount(5_000, exact=True), model, expected_io_ratio=0.5)
    2500

    ```
    """

    MAX = "max"
    """Everything that the context leaves. If in doubt, use this, or none."""
    EXPECTED_RATIO = "expected_ratio"
    """The answer's length as a ratio of the prompt's, for translations and summaries: cheaper where that is short."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """How long the answers of an `LLM` may be.

    Attributes:
        rule: a number of tokens, or a strategy.
        expected_io_ratio: for `MaxTokensStrategy.EXPECTED_RATIO`.
    """

    rule: int | MaxTokensStrategy
    expected_io_ratio: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.rule, int) and self.rule < 1:
            raise ConfigurationError(f"max_tokens is 1 or more, or a MaxTokensStrategy; got {self.rule!r}")
        if not 0 < self.expected_io_ratio < math.inf:
            raise ConfigurationError(f"need expected_io_ratio > 0, got {self.expected_io_ratio!r}")


def max_tokens_for(
    strategy: MaxTokensStrategy,
    prompt: TokenCount,
    model: ModelInfo,
    *,
    expected_io_ratio: float = 1.0,
    name: str = "",
) -> int | None:
    """Return how many tokens the answer may have; None if that is not known, so that the provider decides.

    Unknown it is where the context's size is, and where the prompt is only estimated and seems to fill it.

    Args:
        strategy: how to choose.
        prompt: how many tokens the prompt has.
        model: the sizes that are known.
        expected_io_ratio: for `EXPECTED_RATIO`: tokens of answer for each token of prompt.
        name: of the model, for the error.

    Raises:
        ContextWindowExceeded: the prompt is known to leave no room.
    """
    window = model.context_window
    left = None if window is None else window - prompt.count
    if left is not None and left <= 0:
        if prompt.exact:
            raise ContextWindowExceeded(
                f"the prompt has {prompt.count} tokens and the context of {name!r} is {window}; shorten the history, "
                "or give a context_window_fallback",
                model=name,
            )
        return None
    return answer_tokens(
        strategy,
        prompt.count,
        context_window=window,
        max_output=model.max_output,
        expected_io_ratio=expected_io_ratio,
    )
