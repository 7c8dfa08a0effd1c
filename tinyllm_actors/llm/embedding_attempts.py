"""The attempts to get the vectors of one batch: its turn at the gate, its room in the budgets, and its retries."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from tinyllm_actors.errors import CircuitOpen, ModelError, ModelTimeout, ProviderBusy
from tinyllm_actors.llm.gate import health_of, is_shared
from tinyllm_actors.llm.messages import AssistantMessage
from tinyllm_actors.llm.model import Completion, Usage
from tinyllm_actors.llm.spending import open_reservation, settle_completion, settle_failure
from tinyllm_actors.llm.tokens import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tinyllm_actors.kernel import ActorContext, Backoff
    from tinyllm_actors.llm.budget import Budget
    from tinyllm_actors.llm.embedding import Embeddings
    from tinyllm_actors.llm.embedding_provider import EmbeddingLease
    from tinyllm_actors.llm.gate import Gate, Permit
    from tinyllm_actors.llm.price import Price
    from tinyllm_actors.llm.reservation import Reservation

__all__ = ["BatchSetup", "embed_with_retries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSetup:
    """What holds for every batch of one call.

    Attributes:
        context: of the actor that asks.
        lease: gives the model and its gate.
        budgets: what the call may use; the innermost first, each once.
        price: of the model, if a budget needs it and it is known.
        request_timeout: seconds that one request may take.
        max_retries: how often a batch is tried again.
        backoff: how long to wait before each retry, unless the provider says.
    """

    context: ActorContext
    lease: Callable[[], Awaitable[EmbeddingLease]]
    budgets: Sequence[Budget]
    price: Price | None
    request_timeout: float
    max_retries: int
    backoff: Backoff


async def embed_with_retries(batch: list[str], setup: BatchSetup) -> Embeddings:
    """Return the vectors of a batch.

    Raises:
        ModelError: no attempt was successful, and no other is worth making.
        BudgetExceeded: the next attempt does not fit into a budget.
        UnknownPrice: a budget limits dollars, and the price of the model is not known.
    """
    for attempt in range(setup.max_retries + 1):
        one = _Attempt(batch, setup)
        try:
            return await one.answer()
        except ModelError as error:
            not_sent = isinstance(error, CircuitOpen | ProviderBusy)
            if not error.retryable or not_sent or one.gate is None:
                raise
            if shared := is_shared(error):
                wait = one.gate.hold(error, setup.backoff, one.began)
            else:
                wait = max(setup.backoff.delay(attempt, random.random()), error.retry_after or 0.0)
            if attempt == setup.max_retries or wait >= setup.context.remaining():
                raise
        if not shared:  # else the gate makes everybody wait
            await anyio.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


class _Attempt:
    """One request."""

    def __init__(self, batch: list[str], setup: BatchSetup) -> None:
        self._batch = batch
        self._setup = setup
        self.gate: Gate | None = None
        self.began = 0.0

    async def answer(self) -> Embeddings:
        setup, context = self._setup, self._setup.context
        model, gate = await setup.lease()
        remaining = context.remaining()
        # A little before the caller's deadline, so that the caller still hears what was the matter.
        deadline = remaining - min(0.5, remaining * 0.1)
        patience = min(setup.request_timeout, deadline)
        tokens = sum(map(estimate_tokens, self._batch)) if setup.budgets or gate.counts_tokens else 0
        reservation: Reservation | None = None
        permit: Permit | None = None
        if setup.budgets:
            reservation = await open_reservation(
                setup.budgets,
                prompt_tokens=tokens,
                output_tokens=0,
                usual_output=0,
                price=setup.price,
                model=model.name,
                patience=patience,
            )
        try:
            if gate.engaged:
                permit = await gate.enter(tokens, deadline)
                patience = min(patience, context.remaining())
            self.gate, self.began = gate, gate.now()
            with anyio.move_on_after(patience):
                answer = await model.embed(self._batch)
                usage = answer.usage or Usage(prompt_tokens=tokens, total_tokens=tokens)
                if reservation is not None:  # what it says of an answer that has no words
                    settle_completion(reservation, Completion(AssistantMessage(), usage=usage), context.system)
                if permit is not None:
                    permit.end(True, usage.total_tokens or None)
                if gate.strikes:
                    gate.succeeded(self.began)
                return answer
            raise ModelTimeout(
                f"{model.name}: no vectors within {patience:.3g} s; raise request_timeout, or lower max_batch",
                model=model.name,
            )
        except BaseException as error:
            if reservation is not None:
                if self.gate is None:
                    reservation.release()  # nothing was sent
                else:
                    settle_failure(reservation, error, "", context.system)
            if permit is not None:
                permit.end(health_of(error))
            raise
