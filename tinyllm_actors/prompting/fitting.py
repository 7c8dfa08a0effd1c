"""How long a prompt may be, and what to leave out of one that is longer: pure.

Worked numbers, for a context of 8,192 tokens. To leave room for an answer of at least 1,024, a prompt may have
8,192 − 1,024 = 7,168. With an expected ratio of 0.5 it may have 8,192 / 1.5 = 5,461, and the answer 2,731; if the model
gives no answers above 2,000, the prompt may have 8,192 − 2,000 = 6,192.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ContextSizes", "leave_out", "prompt_limit"]

LEAST_ANSWER: Final = 1_024
"""Tokens of answer to leave room for, where nothing else is said; never more than a quarter of the context."""


@dataclass(frozen=True, slots=True)
class ContextSizes:
    """What is known of the models that a prompt is for, in tokens; None is unknown.

    Attributes:
        context_window: of prompt and answer together.
        max_output: that one answer may have.
        fallback_context_window: of the model for prompts that are too long.
    """

    context_window: int | None = None
    max_output: int | None = None
    fallback_context_window: int | None = None


def prompt_limit(
    rule: int | str | None, *, context_window: int, max_output: int | None, expected_io_ratio: float
) -> int:
    """Return how many tokens a prompt may have, so that its answer fits after it.

    ```python
    >>> prompt_limit("max", context_window=8_192, max_output=None, expected_io_ratio=1.0)
    7168
    >>> prompt_limit("expected_ratio", context_window=8_192, max_output=None, expected_io_ratio=0.5)
    5461
    >>> prompt_limit("expected_ratio", context_window=8_192, max_output=2_000, expected_io_ratio=0.5)
    6192

    ```

    Args:
        rule: the answer's tokens, `"expected_ratio"`, or `"max"` or None for what is left.
        context_window: tokens of prompt and answer together.
        max_output: tokens that one answer may have; None if unknown.
        expected_io_ratio: tokens of answer for each token of prompt.
    """
    if isinstance(rule, int):
        return max(0, context_window - rule)
    if rule == "expected_ratio":
        limit = int(context_window / (1 + expected_io_ratio))
        while limit > 0 and limit + math.ceil(limit * expected_io_ratio) > context_window:
            limit -= 1
        return limit if max_output is None else max(limit, context_window - max_output)
    least = min(LEAST_ANSWER, context_window // 4)
    return context_window - (least if max_output is None else min(least, max_output))


def leave_out(
    too_much: int,
    examples: Sequence[list[Any]],
    memories: Sequence[list[Any]],
    count: Callable[[Sequence[Any]], int],
) -> tuple[int, int]:
    """Return how many of the last examples and of the oldest memories to leave out of a prompt.

    Examples go first, the least alike first; then memories, the oldest first, in whole groups.

    Args:
        too_much: tokens that have to go.
        examples: the messages of each, the most alike first.
        memories: groups, oldest first.
        count: the tokens of some messages.
    """
    gone_examples = gone_memories = 0
    while too_much > 0 and gone_examples < len(examples):
        gone_examples += 1
        too_much -= count(examples[-gone_examples])
    while too_much > 0 and gone_memories < len(memories):
        too_much -= count(memories[gone_memories])
        gone_memories += 1
    return gone_examples, gone_memories
