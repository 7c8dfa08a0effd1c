"""A model call under its budgets: waiting for room, asking, telling, and settling whatever the end."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final

import anyio

from tinyllm_actors.errors import (
    AuthenticationFailed,
    ContextWindowExceeded,
    ModelError,
    ModelUnavailable,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RequestRejected,
)
from tinyllm_actors.llm.budget import Estimate
from tinyllm_actors.llm.reservation import Reservation, fitting_output, reserve
from tinyllm_actors.llm.tokens import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.errors import BudgetExceeded
    from tinyllm_actors.kernel import ActorSystem
    from tinyllm_actors.llm.budget import Budget, Shortfall
    from tinyllm_actors.llm.model import Completion
    from tinyllm_actors.llm.price import Price

__all__ = ["degrading_budget", "open_reservation", "settle_completion", "settle_failure"]

_UNPAID: Final = (
    AuthenticationFailed,
    ContextWindowExceeded,
    ModelUnavailable,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RequestRejected,
)
"""Refused before the model read the prompt, unless output had started."""


async def open_reservation(
    budgets: Sequence[Budget],
    *,
    prompt_tokens: int,
    output_tokens: int | None,
    usual_output: int,
    price: Price | None,
    model: str,
    patience: float,
) -> Reservation:
    """Reserve room for one call, waiting for calls in progress if it would fit once they use less than they may.

    Args:
        budgets: the innermost first, each once.
        prompt_tokens: what the prompt has.
        output_tokens: what the answer may have at most; None to take what fits, up to `usual_output`.
        usual_output: what is reserved for an answer of unknown length, where there is room.
        price: of the model, if it is known.
        model: its name.
        patience: seconds to wait for other calls.

    Raises:
        BudgetExceeded: it does not fit; nothing is reserved.
        UnknownPrice: a budget limits dollars, and the price is not known.
    """

    def attempt() -> Reservation | Shortfall:
        output = output_tokens
        if output is None:
            output = fitting_output(budgets, prompt_tokens, usual_output, price)
        return reserve(budgets, Estimate(prompt_tokens, output, price), model)

    found = attempt()
    if isinstance(found, Reservation):  # as nearly always; what follows costs more than all of this
        return found
    asked: set[Budget] = set()
    with anyio.move_on_after(patience) as scope:
        while True:
            if found.may_fit_later:
                await _change(found)
            elif found.budget.on_exhausted == "ask" and found.budget not in asked:
                # A person may take longer than calls in progress do; the caller's deadline still holds.
                scope.deadline = float("inf")
                if await _ask(found.budget, found.error):
                    asked.add(found.budget)
                scope.deadline = anyio.current_time() + patience
            else:
                raise found.error
            reservation = attempt()
            if isinstance(reservation, Reservation):
                return reservation
            found = reservation
    raise found.error


async def _change(shortfall: Shortfall) -> None:
    """Wait until something was settled in the budget that refused."""
    changed = anyio.Event()
    shortfall.budget.listen(changed.set)
    try:
        await changed.wait()
    finally:
        shortfall.budget.unlisten(changed.set)


class _Question:
    """What is being asked of whoever may extend a budget."""

    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.answer: bool | None = None


async def _ask(budget: Budget, error: BudgetExceeded) -> bool:
    """Ask whoever may extend the budget; one question at a time.

    Returns:
        True if this call asked, False if it waited for the answer to another's question.

    Raises:
        BudgetExceeded: the answer is no.
    """
    question: _Question | None = budget.question
    if question is not None:
        await question.answered.wait()
        if question.answer is False:
            raise error
        return False
    budget.question = question = _Question()
    try:
        assert budget.ask is not None
        answer = budget.ask(error)
        question.answer = bool(await answer if inspect.isawaitable(answer) else answer)
    finally:  # also when whoever asked was cancelled: then the next one asks again
        budget.question = None
        question.answered.set()
    if not question.answer:
        raise error
    return True


def settle_completion(reservation: Reservation, completion: Completion, system: ActorSystem) -> None:
    """Book a whole answer: what the provider says it used, else what was estimated."""
    usage = completion.usage
    if usage is None or not (usage.prompt_tokens or usage.completion_tokens or usage.total_tokens):
        text = completion.message.content or ""
        calls = completion.message.tool_calls
        said = estimate_tokens(text + "".join(call.name + call.arguments for call in calls))
        prompt, completed, cost = reservation.estimate.prompt_tokens, said, None if usage is None else usage.cost
        cached = 0
    else:
        # Thinking may be in the total only.
        completed = max(usage.completion_tokens, usage.total_tokens - usage.prompt_tokens)
        prompt, cost, cached = usage.prompt_tokens, usage.cost, usage.cached_tokens
    _tell(reservation, system, prompt, completed, cost, cached)


def settle_failure(reservation: Reservation, error: BaseException, delivered: str, system: ActorSystem) -> None:
    """Book a call that failed or was cancelled: the prompt if the model had it, and the part of the answer that came.

    Args:
        reservation: what it held.
        error: how it ended; anything but a `ModelError` is a cancellation.
        delivered: the text that had arrived.
        system: where to tell.
    """
    if isinstance(error, ModelError):
        delivered = delivered or error.partial
        if isinstance(error, _UNPAID) and not error.output_started:
            _tell(reservation, system, 0, 0)
            return
    _tell(reservation, system, reservation.estimate.prompt_tokens, estimate_tokens(delivered))


def _tell(
    reservation: Reservation,
    system: ActorSystem,
    prompt: int,
    completed: int,
    cost: float | None = None,
    cached: int = 0,
) -> None:
    for notice in reservation.settle(prompt, completed, cost, cached):
        import structlog  # the actor system has imported it by now

        system.events_stream.publish(notice)
        structlog.get_logger("tinyllm_actors.llm").warning(
            str(notice), budget=notice.budget, limit=notice.limit, used=notice.used, maximum=notice.maximum
        )


def degrading_budget(budgets: Sequence[Budget], refused: BudgetExceeded | None) -> Budget | None:
    """Return the budget that asks for its cheaper model: one that is running short, or the one that has refused."""
    for budget in budgets:
        if budget.on_exhausted == "degrade" and (budget.is_short if refused is None else budget is refused.source):
            return budget
    return None
