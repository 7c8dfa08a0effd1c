"""The base of evaluators."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function import Function, success
from tinyllm_actors.kernel.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.evals.trial import Trial
    from tinyllm_actors.function import Result

__all__ = ["Evaluated", "Evaluator", "check_evaluation"]

MAX_SCORES = 1000


class Evaluated(msgspec.Struct, frozen=True):
    """An evaluator scored something, or failed to; published on the event stream of the system.

    Attributes:
        path: of the evaluator.
        evaluator: its name.
        evals: the scores by name, without a prefix; none if it failed.
        comment: what it says about them.
        error: why there are none.
    """

    path: str
    evaluator: str
    evals: dict[str, float]
    comment: str = ""
    error: str | None = None


class Evaluator(Function):
    """Scores the output of the Function that it is given to as `run_evaluators` or `processed_output_evaluators`.

    Override `run`. What it returns is `{"evals": {name: score}}`, with a `"comment"` and `"metadata"` if you like. The
    scores are numbers or truth values; anything else, NaN included, is a failed evaluation. An evaluator that fails is
    recorded and never fails the call. The names of scores of processed output begin with `proc:`.

    The same evaluators score runs over datasets (`evaluate`), where `self.trial` holds what was expected.

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

    Args:
        sample: the share of live calls that is scored, from 0 to 1; of the others nothing is said. Runs over datasets
            are scored whole. If in doubt, 1 for what is cheap, and 0.1 inside an `OnlineEvaluator` for judges.
        seed: makes the choice of the sample the same each time.
        **options: of `Function`.

    Attributes:
        trial: what is being scored, in a run over a dataset; None for a live call.

    Raises:
        ConfigurationError: `sample` is no share.
    """

    observation_kind = "evaluator"
    needs_tool_calls: ClassVar[bool] = False
    """Whether it reads `trial.tool_calls`: agents are then run as streams, which tell of them."""

    trial: Trial | None = None
    _sample: float = 1.0
    _dice: random.Random | None = None

    def __init__(self, *, sample: float = 1.0, seed: int | None = None, **options: Any) -> None:
        if not 0 <= sample <= 1:
            raise ConfigurationError(f"sample is a share from 0 to 1, not {sample!r}")
        super().__init__(**options)
        self._sample = sample
        self._dice = random.Random(seed)

    async def run(self, input: Any, output: Any, error: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Score `output`.

        Args:
            input: the arguments of the call.
            output: what the Function answers; None after a failure.
            error: the error dictionary; None after a success.

        Raises:
            EvaluationFailed: there is no score for it. Any other exception says the same.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define run()")

    async def _call(self, arguments: dict[str, Any], run: Callable[..., Awaitable[Any]] | None = None) -> Result:
        given = dict(arguments)
        self.trial = given.pop("trial", None)
        if self.trial is None and self._sample < 1 and self._dice is not None and self._dice.random() >= self._sample:
            return success(None)
        work = run or self.run
        found: list[dict[str, Any] | float] = []

        async def checked(**inputs: Any) -> Any:
            found.append(check_evaluation(await work(**inputs)))
            return found[0]

        result = await super()._call(given, checked)
        self._tell(result, found)
        return result

    def _tell(self, result: Result, found: list[dict[str, Any] | float]) -> None:
        if result["status"] == "error":
            told = Evaluated(self.context.path, self.name, {}, error=result["message"])
        else:
            given = found[0]
            answer: dict[str, Any] = given if isinstance(given, dict) else {"evals": {self.name: given}}
            evals = {key: float(value) for key, value in answer.get("evals", answer).items()}
            told = Evaluated(self.context.path, self.name, evals, redact(answer.get("comment") or ""))
        self.context.system.events_stream.publish(told)


def check_evaluation(answer: Any) -> Any:
    """Return what an evaluator answered, if it is an evaluation.

    ```python
    >>> check_evaluation({"evals": {"length": 9}, "comment": "short"})
    {'evals': {'length': 9}, 'comment': 'short'}

    ```

    Raises:
        ValueError: a score is no finite number, or the answer has another form; the message says which.
    """
    if not isinstance(answer, dict):
        return _score("the score", answer)
    given = cast("dict[str, Any]", answer)
    scores: object = given.get("evals", given)
    if not isinstance(scores, Mapping):
        raise ValueError(f"'evals' must be a dictionary of scores, not {type(scores).__name__}")
    named = cast("Mapping[Any, object]", scores)
    if len(named) > MAX_SCORES:
        raise ValueError(f"{len(named)} scores are more than the {MAX_SCORES} of one evaluation")
    for name, score in named.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"the name of a score must be text, not {name!r}")
        _score(f"score {name!r}", score)
    if "evals" in given and not isinstance(given.get("comment", ""), str | None):
        raise ValueError(f"'comment' must be text, not {given['comment']!r}")
    return given


def _score(what: str, value: object) -> object:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{what} must be a finite number or a truth value, not {value!r}")
    return value
