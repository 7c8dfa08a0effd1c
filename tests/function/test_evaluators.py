"""Evaluators of a Function's output: what they say, and that they harm no call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.function.doubling import Double, states_of
from tinyllm_actors import ActorSystem, Evaluator, Supervisor
from tinyllm_actors.errors import StartFailed
from tinyllm_actors.function import as_function

pytestmark = pytest.mark.anyio


async def test_what_an_evaluator_answers_has_one_shape() -> None:
    """A number, scores by name, scores with a comment; what is none of these is recorded as its error."""
    answers: list[Any] = [
        0.5,
        {"size": 1, "tone": 2},
        {"evals": {"size": 3}, "comment": "long", "more": 1},
        {"evals": 4},
    ]

    def judge(answer: Any) -> Any:
        async def run(input: Any, output: Any, error: Any) -> Any:
            return answer

        return as_function(run, name="judge")

    evaluators = [judge(answer) for answer in answers]
    result, _ = await states_of(Double.spec(run_evaluators=evaluators), n=1)
    assert result["status"] == "success"
    assert result["evaluations"] == [
        {"evaluator": "judge", "evals": {"judge": 0.5}},
        {"evaluator": "judge-2", "evals": {"size": 1, "tone": 2}},
        {"evaluator": "judge-3", "evals": {"size": 3}, "comment": "long"},
        {"evaluator": "judge-4", "error": "'evals' must be a dictionary of scores, not int"},
    ]


async def test_an_evaluator_that_does_not_start_or_is_stopped_fails_no_call() -> None:
    """Both are recorded, call after call; a Function that starts its evaluators as it should says so at once."""

    class Absent(Evaluator):
        def __init__(self) -> None:
            raise LookupError("nobody home")

    class Forgetful(Double):
        async def started(self) -> None:
            """It does not call the base."""

    async with ActorSystem("test", supervisor=Supervisor(backoff=None)) as system:
        ref = await system.spawn(Forgetful.spec(run_evaluators=[Absent.spec(), _size]), name="f")
        for _ in range(2):
            absent, size = (await ref(n=1))["evaluations"]
            assert absent == {"evaluator": "Absent", "error": "nobody home"}
            assert size == {"evaluator": "_size", "evals": {"_size": 2}}
        await system["f/_size"].stop()
        result = await ref(n=1)
        assert result["status"] == "success"
        assert "stopped" in result["evaluations"][1]["error"]
        with pytest.raises(StartFailed, match="nobody home"):
            await system.spawn(Double.spec(run_evaluators=[Absent.spec()]))


async def test_an_evaluator_that_fails_is_recorded_and_fails_nothing() -> None:
    """The call succeeds, and the evaluation says what was the matter."""

    class Broken(Evaluator):
        async def run(self, input: Any, output: Any, error: Any) -> Any:
            raise ValueError("no opinion")

    result, _ = await states_of(Double.spec(run_evaluators=[Broken.spec()]), n=1)
    assert result["status"] == "success"
    assert result["evaluations"] == [{"evaluator": "Broken", "error": "no opinion"}]


async def test_after_a_failure_the_evaluators_that_have_not_run_see_the_error() -> None:
    """Each evaluator runs once: those of the output before the failure, those of the processed output after it."""
    seen: list[tuple[str, Any]] = []

    async def first(input: Any, output: Any, error: Any) -> Any:
        seen.append(("first", error))
        return 1

    async def second(input: Any, output: Any, error: Any) -> Any:
        seen.append(("second", error))
        return 0

    class Fails(Double):
        async def process_output(self, **output: Any) -> Any:
            raise ValueError("cannot process")

    result, _ = await states_of(Fails.spec(run_evaluators=[first], processed_output_evaluators=[second]), n=1)
    assert result["status"] == "error"
    assert [(name, error is None) for name, error in seen] == [("first", True), ("second", False)]
    assert seen[1][1]["message"] == "cannot process"


def _size(input: Any, output: Any, error: Any) -> int:
    return output["n"]
