"""What a budget tells: how much was used, and that a limit is near."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["BudgetNotice", "Spent"]


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used.

    Attributes:
        tokens: of prompts and answers.
        usd: dollars, of the calls whose price is known.
        calls: requests that were sent to a model, failed ones included.
        unpriced_calls: calls whose price is not known, so that `usd` lacks them.
    """

    tokens: int = 0
    usd: float = 0.0
    calls: int = 0
    unpriced_calls: int = 0


@dataclass(frozen=True, slots=True)
class BudgetNotice:
    """A budget's use reached its `warn_at`, or its limit. Published on the system's event stream, and logged.

    ```python
    >>> from tinyllm_actors.llm import BudgetNotice
    >>> print(BudgetNotice("day", "usd", used=8.5, maximum=10.0, exhausted=False))
    budget 'day' has used 85 % of max_usd=10 (8.5)

    ```

    Attributes:
        budget: the name of the budget.
        limit: `"tokens"`, `"usd"` or `"calls"`.
        used: how much is used.
        maximum: how much may be.
        exhausted: the whole limit is used.
    """

    budget: str
    limit: str
    used: float
    maximum: float
    exhausted: bool

    def __str__(self) -> str:
        share = math.inf if not self.maximum else self.used / self.maximum
        return (
            f"budget {self.budget!r} has used {share:.0%} of max_{self.limit}={self.maximum:g} ({self.used:g})".replace(
                "%", " %"
            )
        )
