"""Scoring live traffic without anybody waiting for it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.evals.evaluator import Evaluated
from tinyllm_actors.evals.function_evaluator import evaluator_spec
from tinyllm_actors.function import Call, Function, success
from tinyllm_actors.kernel import Mailbox, Overflow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.function import FunctionRef, Result

__all__ = ["OnlineEvaluator"]


class OnlineEvaluator(Function):
    """Lets an evaluator score a sample of live calls after they were answered, so that none is slower for it.

    What it finds is published as `Evaluated` events, not part of the result. While more evaluations wait than may, new
    ones are dropped, each of which is an `Evaluated` with an error. What is pending when the actor stops is dropped.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Function
    >>> from tinyllm_actors.evals import Evaluated, Evaluator, OnlineEvaluator
    >>> class Length(Evaluator):
    ...     async def run(self, input, output, error):
    ...         return {"evals": {"length": len(output["text"])}}
    >>> class Greet(Function):
    ...     async def run(self, name: str) -> dict[str, str]:
    ...         return {"text": f"Hello {name}"}
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system, system.events(Evaluated) as events:
    ...         greet = await system.spawn(Greet.spec(run_evaluators=[OnlineEvaluator.spec(Length.spec(), sample=1.0)]))
    ...         print(await greet(name="Ann"))
    ...         print((await anext(aiter(events))).evals)
    >>> anyio.run(main)
    {'status': 'success', 'output': {'text': 'Hello Ann'}}
    {'length': 9.0}

    ```

    Args:
        evaluator: what scores: the spec or class of an `Evaluator`, or a function.
        sample: the share of calls that is scored, from 0 to 1.
        max_pending: how many may wait for their evaluation.
        seed: makes the choice of the sample the same each time.
        **options: of `Function`.

    Raises:
        ConfigurationError: a number has no meaning.
    """

    def __init__(
        self, evaluator: Any, *, sample: float = 0.1, max_pending: int = 100, seed: int | None = None, **options: Any
    ) -> None:
        if not 0 <= sample <= 1 or max_pending < 1:
            raise ConfigurationError(
                f"need a sample from 0 to 1 and max_pending of 1 or more, got {sample!r} and {max_pending!r}"
            )
        super().__init__(**options)
        self._evaluator = evaluator
        self._sample = sample
        self._max_pending = max_pending
        self._dice = random.Random(seed)
        self._ref: FunctionRef | None = None

    async def started(self) -> None:
        """Start the evaluator."""
        spec = evaluator_spec(self._evaluator)
        # The caller has its answer and leaves: its deadline is not that of the evaluation.
        spec = spec.with_options(mailbox=Mailbox(capacity=self._max_pending, overflow=Overflow.REJECT), detached=True)
        self._ref = await self.context.spawn(spec, name=spec.name or spec.label)
        await super().started()

    async def _call(self, arguments: dict[str, Any], run: Callable[..., Awaitable[Any]] | None = None) -> Result:
        assert self._ref is not None
        if self._dice.random() < self._sample and not self._ref.tell_nowait(Call(arguments)):
            told = f"dropped: {self._max_pending} evaluations wait already; sample less, or raise max_pending"
            self.context.system.events_stream.publish(Evaluated(self.context.path, self.name, {}, error=told))
        return success(None)
