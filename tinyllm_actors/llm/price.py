"""What tokens cost, in whole pico-dollars, so that sums are exact and a budget is never over- or undershot by rounding.

```python
>>> price = Price(input=0.15, output=0.60)  # dollars a million tokens
>>> price.cost(1_000, 500) / PICO
0.00045

```
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

__all__ = ["PICO", "Price", "to_pico"]

PICO: Final = 10**12
"""Pico-dollars in a dollar: fine enough for a tenth of a cent a million tokens."""


def to_pico(usd: float) -> int:
    """Return dollars as whole pico-dollars, rounded to the nearest."""
    return round(usd * PICO)


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs.

    ```python
    >>> Price(3.0, 15.0).usd(2_000, 1_000)  # 2,000 tokens in, 1,000 out
    0.021
    >>> Price(3.0, 15.0, cached_input=0.3).usd(2_000, 1_000, cached_tokens=1_000)
    0.0183

    ```

    Args:
        input: US dollars for a million tokens of the prompt.
        output: US dollars for a million tokens of the answer.
        cached_input: the same for tokens of the prompt that the provider had at hand; None for `input`.

    Raises:
        ValueError: a price is negative or not finite.
    """

    input: float
    output: float
    cached_input: float | None = None

    def __post_init__(self) -> None:
        for price in (self.input, self.output, self.cached_input or 0.0):
            if not 0 <= price < math.inf:
                raise ValueError(f"a price is 0 or more dollars a million tokens, got {price!r} in {self!r}")

    def cost(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> int:
        """Return the cost of one call, in pico-dollars, rounded up; `cached_tokens` are part of the prompt's."""
        # A dollar a million tokens is 10⁶ pico-dollars a token.
        pico = math.ceil(prompt_tokens * self.input * 1e6) + math.ceil(completion_tokens * self.output * 1e6)
        if cached_tokens and self.cached_input is not None:
            pico -= int(min(cached_tokens, prompt_tokens) * (self.input - self.cached_input) * 1e6)
        return pico

    def usd(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float:
        """Return the cost of one call, in dollars."""
        return self.cost(prompt_tokens, completion_tokens, cached_tokens) / PICO

    def output_for(self, pico: int, prompt_tokens: int) -> int | None:
        """Return how many tokens of answer `pico` pico-dollars buy after the prompt; None if answers cost nothing.

        0 or less if the prompt alone takes it all.
        """
        left = pico - self.cost(prompt_tokens, 0)
        if left < 0:
            return -1
        if self.output == 0:
            return None
        tokens = int(left // (self.output * 1e6))
        # The division is of floats: step back where it was generous.
        while tokens > 0 and self.cost(0, tokens) > left:
            tokens -= 1
        return tokens
