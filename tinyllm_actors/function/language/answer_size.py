"""How long an answer may be: pure arithmetic."""

from __future__ import annotations

import math

__all__ = ["answer_tokens"]


def answer_tokens(
    rule: str, prompt: int, *, context_window: int | None, max_output: int | None, expected_io_ratio: float
) -> int | None:
    """Return how many tokens an answer may have; None where that is not known.

    ```python
    >>> answer_tokens("max", 5_000, context_window=8_192, max_output=4_096, expected_io_ratio=1.0)
    3192
    >>> answer_tokens("expected_ratio", 5_000, context_window=8_192, max_output=4_096, expected_io_ratio=0.5)
    2500

    ```

    Args:
        rule: `"max"` for everything that the context leaves, `"expected_ratio"` for a ratio of the prompt's length.
        prompt: its tokens; fewer than the context has.
        context_window: tokens of prompt and answer together; None if unknown.
        max_output: tokens that one answer may have; likewise.
        expected_io_ratio: tokens of answer for each token of prompt.
    """
    left = None if context_window is None else context_window - prompt
    if rule == "expected_ratio":
        wanted = math.ceil(prompt * expected_io_ratio)
    elif left is None:
        return None
    else:
        wanted = left
    return max(1, min(size for size in (wanted, left, max_output) if size is not None))
