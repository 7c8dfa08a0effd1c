"""One call of a model: which model is asked next, after which failure, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import anyio

from tinyllm_actors.errors import BudgetExceeded, ModelError
from tinyllm_actors.llm.output_limit import limited_to, output_limit_of
from tinyllm_actors.llm.spending import degrading_budget, open_reservation, settle_completion, settle_failure
from tinyllm_actors.llm.tokens import estimate_request
from tinyllm_actors.llm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tinyllm_actors.kernel import ActorContext, Backoff
    from tinyllm_actors.llm.budget import Budget
    from tinyllm_actors.llm.ladder import Ladder
    from tinyllm_actors.llm.model import ChatModel, ChatRequest, Completion
    from tinyllm_actors.llm.reservation import Reservation
    from tinyllm_actors.llm.route import Route

__all__ = ["Attempts", "Patience"]

USUAL_OUTPUT: Final = 4_096
"""Tokens reserved for an answer of unknown length, where there is room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long and how often a model is asked.

    Attributes:
        idle_timeout: seconds that it may be silent.
        max_retries: how often a call is tried again.
        backoff: how long to wait before each retry, unless the provider says.
    """

    idle_timeout: float
    max_retries: int
    backoff: Backoff


class Attempts:
    """The attempts to get one answer.

    Args:
        patience: how long and how often.
        route: the model to ask.
        request: what to ask it.
        ladder: how to make it answer in a type; None for an answer as it comes.
        budgets: what the call may use; the innermost first, each once.
        context: of the actor that asks.
        route_to: gives the route to another model.
        call: makes the call.
    """

    __slots__ = ("_budgets", "_call", "_context", "_ladder", "_patience", "_request", "_route", "_route_to")

    def __init__(
        self,
        patience: Patience,
        route: Route,
        request: ChatRequest,
        ladder: Ladder | None,
        budgets: Sequence[Budget],
        context: ActorContext,
        route_to: Callable[[str | ChatModel], Route],
        call: Callable[[ChatModel, ChatRequest, Watch], Awaitable[Completion]],
    ) -> None:
        self._patience = patience
        self._route = route
        self._request = request
        self._ladder = ladder
        self._budgets = budgets
        self._context = context
        self._route_to = route_to
        self._call = call

    async def answer(self) -> Completion:
        """Return the answer.

        Raises:
            ModelError: no attempt was successful, and no other is worth making.
            BudgetExceeded: the next attempt does not fit into a budget.
        """
        attempt = 0
        patience = self._patience
        if self._budgets:
            self._degrade(None)
        while True:
            try:
                return await self._attempt()
            except BudgetExceeded as error:
                if not self._degrade(error):
                    raise
                continue
            except ModelError as error:
                if self._ladder is not None and self._ladder.steps_down(error):
                    continue
                if not error.retryable or error.output_started or attempt >= patience.max_retries:
                    raise
                delay = max(patience.backoff.delay(attempt, random.random()), error.retry_after or 0.0)
                if delay >= self._context.remaining():
                    raise
            attempt += 1
            await anyio.sleep(delay)

    def _degrade(self, refused: BudgetExceeded | None) -> bool:
        """Go to the cheaper model of a budget that runs short, or that has refused; False if that makes no change."""
        budget = degrading_budget(self._budgets, refused)
        if budget is None or budget.degrade_to is None:
            return False
        route = self._route_to(budget.degrade_to)
        if route is self._route:
            return False
        self._route = route
        return True

    async def _attempt(self) -> Completion:
        context = self._context
        model = await self._route.lease()
        remaining = context.remaining()
        # A little before the caller's deadline, so that the caller still hears what was the matter.
        patience = min(self._patience.idle_timeout, remaining - min(0.5, remaining * 0.1))
        request = self._request if self._ladder is None else self._ladder.prepare(self._request, model)
        reservation: Reservation | None = None
        if self._budgets:
            request, reservation = await self._reserve(model, request, patience)
        watch = Watch(context.system, patience)
        try:
            with watch.scope:
                completion = await self._call(model, request, watch)
                if reservation is not None:
                    settle_completion(reservation, completion, context.system)
                return completion
            raise watch.error(model.name)
        except BaseException as error:
            if isinstance(error, ModelError) and watch.delivered:
                error.output_started = True
            if reservation is not None:
                settle_failure(reservation, error, watch.text, context.system)
            raise
        finally:
            watch.close()

    async def _reserve(
        self, model: ChatModel, request: ChatRequest, patience: float
    ) -> tuple[ChatRequest, Reservation]:
        """Reserve in the budgets, and hold the answer to what was reserved."""
        info = await self._route.info(with_price=any(budget.limits_usd for budget in self._budgets))
        asked = output_limit_of(request, self._route.options)
        reservation = await open_reservation(
            self._budgets,
            prompt_tokens=estimate_request(request),
            output_tokens=asked,
            usual_output=min(USUAL_OUTPUT, info.max_output or USUAL_OUTPUT),
            price=info.price,
            model=model.name,
            patience=patience,
        )
        if asked is None and any(budget.limits_use for budget in self._budgets):
            options = limited_to(reservation.estimate.output_tokens, model.name, request.options)
            request = replace(request, options=options)
        return request, reservation
