"""How long an answer took and what it cost."""

from __future__ import annotations

from typing import Any

from tinyllm_actors.errors import ConfigurationError, EvaluationFailed
from tinyllm_actors.evals.evaluator import Evaluator

__all__ = ["Performance"]


class Performance(Evaluator):
    """Scores, in a run over a dataset, `latency` in seconds, `tokens`, `cost` in US dollars, and what is within limits.

    Every run records these numbers anyway; this makes scores of them, for thresholds and comparisons. A cost is left
    out while a price is unknown. With limits, `within_limits` is 1 if all of them are kept; a limit on an unknown cost
    is a failed evaluation.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.evals import Example, Performance, evaluate
    >>> async def shout(text: str) -> str:
    ...     return text.upper()
    >>> async def main() -> float:
    ...     async with ActorSystem("evals") as system:
    ...         cases = [Example("one", {"text": "hi"})]
    ...         run = await evaluate(system, shout, cases, [Performance.spec(max_tokens=100)])
    ...     return run.records[0].evals["within_limits"]
    >>> anyio.run(main)
    1.0

    ```

    Args:
        max_seconds: of one call.
        max_usd: of the model calls of one call.
        max_tokens: of these.
        **options: of `Evaluator`.

    Raises:
        ConfigurationError: a limit is negative.
    """

    def __init__(
        self,
        *,
        max_seconds: float | None = None,
        max_usd: float | None = None,
        max_tokens: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        limits = {"latency": max_seconds, "cost": max_usd, "tokens": max_tokens}
        self._limits = {name: limit for name, limit in limits.items() if limit is not None}
        if any(not limit >= 0 for limit in self._limits.values()):
            raise ConfigurationError(f"limits are 0 or more, got {self._limits!r}")

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Read the numbers of the trial."""
        trial = self.trial
        if trial is None:
            raise EvaluationFailed(f"{self.name} scores runs over datasets; a live call has no measured time")
        evals: dict[str, float] = {"latency": trial.latency, "tokens": float(trial.tokens)}
        if trial.cost is not None:
            evals["cost"] = trial.cost
        if self._limits:
            if "cost" in self._limits and trial.cost is None:
                raise EvaluationFailed("max_usd cannot be checked: the price of a model is unknown, which is not 0")
            evals["within_limits"] = float(all(evals[name] <= limit for name, limit in self._limits.items()))
        return {"evals": evals}
