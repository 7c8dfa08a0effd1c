"""Room for one model call in all its budgets at once, and the decision how long its answer may be. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import UnknownPrice
from tinyllm_actors.llm.price import to_pico

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.llm.budget import Budget, Estimate, Shortfall
    from tinyllm_actors.llm.budget_notice import BudgetNotice
    from tinyllm_actors.llm.price import Price

__all__ = ["Reservation", "fitting_output", "reserve"]

MIN_OUTPUT: Final = 16
"""Tokens below which an answer is not worth its prompt."""


def fitting_output(budgets: Sequence[Budget], prompt_tokens: int, wanted: int, price: Price | None) -> int:
    """Return how many tokens of answer to reserve: `wanted`, or less where the budgets leave less.

    Never less than `MIN_OUTPUT` or `wanted`, whichever is smaller, so that a budget that leaves less refuses.
    """
    fitting = wanted
    for budget in budgets:
        left = budget.output_left(prompt_tokens, price)
        if left is not None and left < fitting:
            fitting = left
    return max(fitting, min(MIN_OUTPUT, wanted))


def reserve(budgets: Sequence[Budget], estimate: Estimate, model: str) -> Reservation | Shortfall:
    """Reserve in all of these budgets, or in none.

    Args:
        budgets: the innermost first, each once; see `chain`.
        estimate: what the call may use at most.
        model: its name, for errors.

    Raises:
        UnknownPrice: one of them limits dollars, and there is no price to count with.
    """
    held: list[tuple[Budget, list[int]]] = []
    soft: Shortfall | None = None
    for budget in budgets:
        unpriced = estimate.price is None and budget.assumed_price is None
        if unpriced and budget.limits_usd and budget.on_exhausted != "warn":
            raise UnknownPrice(model, budget.name)
        amount = budget.amount(estimate.prompt_tokens, estimate.output_tokens, estimate.price)
        refused = budget.shortfall(amount)
        if refused is not None:
            if not refused.may_fit_later:
                return refused
            soft = soft or refused
        held.append((budget, amount))
    if soft is not None:
        return soft
    for budget, amount in held:
        budget.hold(amount)
    return Reservation(held, estimate)


class Reservation:
    """What one call holds, until it is settled. Settling twice changes nothing.

    Attributes:
        estimate: what was reserved.
    """

    __slots__ = ("_held", "estimate")

    def __init__(self, held: list[tuple[Budget, list[int]]], estimate: Estimate) -> None:
        self._held = held
        self.estimate = estimate

    def settle(
        self, prompt_tokens: int, completion_tokens: int, cost: float | None = None, cached_tokens: int = 0
    ) -> list[BudgetNotice]:
        """Book what the call used and free the rest; return what there is to tell.

        Args:
            prompt_tokens: of the prompt.
            completion_tokens: of the answer.
            cost: in dollars, if the provider said; else it is computed from the price, if that is known.
            cached_tokens: how many of the prompt's the provider had at hand.
        """
        price = self.estimate.price
        notices: list[BudgetNotice] = []
        held, self._held = self._held, []
        for budget, amount in held:
            real = budget.amount(prompt_tokens, completion_tokens, price, cached_tokens)
            if cost is not None:
                real[1] = to_pico(cost)
            unpriced = cost is None and price is None and budget.assumed_price is None
            notices += budget.book(amount, real, unpriced=unpriced)
        return notices

    def release(self) -> None:
        """Free everything: the call was not made."""
        held, self._held = self._held, []
        for budget, amount in held:
            budget.book(amount, (0, 0, 0), unpriced=False)
