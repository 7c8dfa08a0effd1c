"""One call of a model: which model is asked next, after which failure, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import anyio

from tinyllm_actors.errors import ActorError, BudgetExceeded, CircuitOpen, ConfigurationError, ModelError, ProviderBusy
from tinyllm_actors.llm.gate import health_of, is_shared
from tinyllm_actors.llm.model_switched import ModelSwitched
from tinyllm_actors.llm.next_step import NextStep, next_step
from tinyllm_actors.llm.observed import observe_completion, observe_failure, observe_request
from tinyllm_actors.llm.output_limit import limited_to, output_limit_of
from tinyllm_actors.llm.roles import fitting
from tinyllm_actors.llm.spending import degrading_budget, open_reservation, settle_completion, settle_failure
from tinyllm_actors.llm.tokens import estimate_request
from tinyllm_actors.llm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tinyllm_actors.kernel import ActorContext
    from tinyllm_actors.llm.budget import Budget
    from tinyllm_actors.llm.gate import Gate, Permit
    from tinyllm_actors.llm.ladder import Ladder
    from tinyllm_actors.llm.max_tokens import Sizing
    from tinyllm_actors.llm.model import ChatModel, ChatRequest, Completion
    from tinyllm_actors.llm.next_step import Patience
    from tinyllm_actors.llm.reservation import Reservation
    from tinyllm_actors.llm.route import Route

__all__ = ["Attempts", "Setup"]

USUAL_OUTPUT: Final = 4_096
"""Tokens reserved for an answer of unknown length, where there is room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What holds for every call of an `LLM`, until it is given another model.

    Attributes:
        patience: how long and how often.
        routes: the models to ask, in this order.
        wider: the model to ask if the prompt is too long for another.
        sizing: how long answers may be, where the request does not say.
        route_to: gives the route to the cheaper model of a budget.
    """

    patience: Patience
    routes: Sequence[Route]
    wider: Route | None
    sizing: Sizing | None
    route_to: Callable[[str | ChatModel], Route]


class Attempts:
    """The attempts to get one answer. Made anew for each call.

    Args:
        setup: of the `LLM`.
        request: what to ask.
        ladder: how to make it answer in a type; None for an answer as it comes.
        budgets: what the call may use; the innermost first, each once.
        context: of the actor that asks.
        call: makes the call.
    """

    __slots__ = (
        "_began", "_budgets", "_call", "_context", "_delivered", "_gate", "_ladder", "_prompt_tokens", "_request",
        "_rest", "_route", "_setup",
    )  # fmt: skip

    def __init__(
        self,
        setup: Setup,
        request: ChatRequest,
        ladder: Ladder | None,
        budgets: Sequence[Budget],
        context: ActorContext,
        call: Callable[[ChatModel, ChatRequest, Watch], Awaitable[Completion]],
    ) -> None:
        self._setup = setup
        self._route = setup.routes[0]
        self._rest = setup.routes[1:]
        self._request = request
        self._ladder = ladder
        self._budgets = budgets
        self._context = context
        self._call = call
        self._prompt_tokens: int | None = None
        self._gate: Gate | None = None
        self._began = 0.0
        self._delivered = False

    async def answer(self) -> Completion:
        """Return the answer.

        Raises:
            ModelError: no attempt was successful, and no other is worth making.
            BudgetExceeded: the next attempt does not fit into a budget.
            UnknownPrice: a budget limits dollars, and the price of the model is not known.
        """
        attempt = 0
        if self._budgets:
            self._degrade(None)
        while True:
            try:
                return await self._attempt()
            except BudgetExceeded as error:
                if not self._degrade(error):
                    raise
                continue
            except (ModelError, ActorError, ConfigurationError) as error:
                if self._ladder is not None and isinstance(error, ModelError) and self._ladder.steps_down(error):
                    continue
                wider = self._setup.wider
                wait, shared = self._wait_after(error, attempt)
                step = next_step(
                    error,
                    self._setup.patience,
                    attempt=attempt,
                    wait=wait,
                    remaining=self._context.remaining(),
                    delivered=self._delivered,
                    more_models=bool(self._rest),
                    wider_model=wider is not None and wider is not self._route,
                )
                if step is NextStep.GIVE_UP:
                    raise
                if step is NextStep.WIDEN and wider is not None:
                    self._switch(wider, "context_window", error)
                elif step is NextStep.FALL_BACK:
                    route, self._rest = self._rest[0], self._rest[1:]
                    self._switch(route, "fallback", error)
            if step is NextStep.RETRY:
                attempt += 1
                if not shared:  # else the gate makes everybody wait
                    await anyio.sleep(wait)
            else:
                attempt = 0

    def _wait_after(self, error: Exception, attempt: int) -> tuple[float, bool]:
        """Return how long to wait before a retry, and whether all callers of the model have to."""
        if not isinstance(error, ModelError) or self._gate is None:
            return 0.0, False
        backoff = self._setup.patience.backoff
        if is_shared(error):
            return self._gate.hold(error, backoff, self._began), True
        return max(backoff.delay(attempt, random.random()), error.retry_after or 0.0), False

    def _degrade(self, refused: BudgetExceeded | None) -> bool:
        """Go to the cheaper model of a budget that runs short, or that has refused; False if that makes no change."""
        budget = degrading_budget(self._budgets, refused)
        if budget is None or budget.degrade_to is None:
            return False
        route = self._setup.route_to(budget.degrade_to)
        if route is self._route:
            return False
        self._switch(route, "budget", refused)
        return True

    def _switch(self, route: Route, reason: str, cause: Exception | None) -> None:
        """Ask another model from now on, and tell."""
        import structlog  # the actor system has imported it by now

        path, source = self._context.path, self._route.name
        event = ModelSwitched(path, source, route.name, reason, "" if cause is None else type(cause).__name__)
        self._route = route
        self._context.system.events_stream.publish(event)
        log = structlog.get_logger("tinyllm_actors.llm")
        # A model that is busy or left alone turns every call away until it is well: that is no news each time.
        (log.info if isinstance(cause, CircuitOpen | ProviderBusy) else log.warning)(
            str(event), actor=path, source=source, target=route.name, reason=reason, cause=event.cause
        )

    # --- one attempt -------------------------------------------------------------------------------

    async def _attempt(self) -> Completion:
        context = self._context
        self._gate = None
        model, gate = await self._route.lease()
        remaining = context.remaining()
        # A little before the caller's deadline, so that the caller still hears what was the matter.
        deadline = remaining - min(0.5, remaining * 0.1)
        patience = min(self._setup.patience.idle_timeout, deadline)
        request = self._request if self._ladder is None else self._ladder.prepare(self._request, model)
        request = fitting(request, model.capabilities.roles)
        if self._setup.sizing is not None:
            request = await self._route.sized(request, self._setup.sizing, model)
        reservation: Reservation | None = None
        permit: Permit | None = None
        watch: Watch | None = None
        if self._budgets:
            request, reservation = await self._reserve(request, model, patience)
        try:
            if gate.engaged:
                tokens = self._tokens_of(request) if gate.counts_tokens else 0
                turn = min(deadline, self._setup.patience.fallback_after) if self._rest else deadline
                permit = await gate.enter(tokens, turn)
                patience = min(patience, context.remaining())
            self._gate = gate
            watch = Watch(context.system, patience)
            self._began = watch.began
            observe_request(model.name, request, self._route.options)
            with watch.scope:
                completion = await self._call(model, request, watch)
                await observe_completion(completion, self._route)
                if reservation is not None:
                    settle_completion(reservation, completion, context.system)
                if permit is not None:
                    usage = completion.usage
                    permit.end(True, None if usage is None else usage.total_tokens or None)
                if gate.strikes:
                    gate.succeeded(watch.began)
                return completion
            raise watch.error(model.name)
        except BaseException as error:
            observe_failure(model.name, error, "" if watch is None else watch.text)
            if watch is not None:
                self._note(error, watch, reservation)
            elif reservation is not None:
                reservation.release()  # nothing was sent
            if permit is not None:
                permit.end(health_of(error))
            raise
        finally:
            if watch is not None:
                watch.close()

    def _note(self, error: BaseException, watch: Watch, reservation: Reservation | None) -> None:
        """Keep what came of a call that failed or was cancelled, and book it."""
        self._delivered = watch.delivered
        if watch.delivered and isinstance(error, ModelError):
            error.output_started = True
            error.partial = error.partial or watch.text
        if reservation is not None:
            settle_failure(reservation, error, watch.text, self._context.system)

    async def _reserve(
        self, request: ChatRequest, model: ChatModel, patience: float
    ) -> tuple[ChatRequest, Reservation]:
        """Reserve in the budgets, and hold the answer to what was reserved."""
        info = await self._route.info(with_price=any(budget.limits_usd for budget in self._budgets))
        asked = output_limit_of(request, self._route.options)
        reservation = await open_reservation(
            self._budgets,
            prompt_tokens=self._prompt(request),
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

    def _prompt(self, request: ChatRequest) -> int:
        """Return how many tokens the prompt has, counted once for all attempts."""
        if self._prompt_tokens is None:
            self._prompt_tokens = estimate_request(request)
        return self._prompt_tokens

    def _tokens_of(self, request: ChatRequest) -> int:
        """Return how many tokens the call may have, prompt and answer."""
        return self._prompt(request) + (output_limit_of(request, self._route.options) or USUAL_OUTPUT)
