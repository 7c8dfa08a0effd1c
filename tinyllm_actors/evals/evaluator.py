"""The base of evaluators."""

from __future__ import annotations

from typing import Any

from tinyllm_actors.function import Function

__all__ = ["Evaluator"]


class Evaluator(Function):
    """Scores the output of the Function that it is given to as `run_evaluators` or `processed_output_evaluators`.

    Override `run`. What it returns is `{"evals": {name: score}}`, with a `"comment"` and `"metadata"` if you like. An
    evaluator that fails is recorded and never fails the call.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Evaluator, Function
    >>> class Length(Evaluator):
    ...     async def run(self, input, output, error):
    ...         return {"evals": {"length": len(output["text"])}}
    >>> class Greet(Function):
    ...     async def run(self, name: str) -> dict[str, str]:
    ...         return {"text": f"Hello {name}"}
    >>> async def main() -> object:
    ...     async with ActorSystem("service") as system:
    ...         greet = await system.spawn(Greet.spec(run_evaluators=[Length.spec()]))
    ...         return (await greet(name="Ann"))["evaluations"]
    >>> anyio.run(main)
    [{'evaluator': 'Length', 'evals': {'length': 9}}]

    ```
    """

    observation_kind = "evaluator"

    async def run(self, input: Any, output: Any, error: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Score `output`.

        Args:
            input: the arguments of the call.
            output: what the Function answers; None after a failure.
            error: the error dictionary; None after a success.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define run()")
