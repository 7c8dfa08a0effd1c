"""Evaluators on live calls: what a score may be, samples, prefixes, events, and evaluation behind the answer."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Evaluator, Function
from tinyllm_actors.errors import ConfigurationError, EvaluationFailed
from tinyllm_actors.evals import Evaluated, FunctionEvaluator, OnlineEvaluator
from tinyllm_actors.evals.evaluator import check_evaluation
from tinyllm_actors.evals.function_evaluator import evaluator_spec

pytestmark = pytest.mark.anyio


class Greet(Function):
    async def run(self, name: str) -> dict[str, str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not name:
            raise ValueError("no name, and secret=hunter2hunter2")
        return {"text": f"Hello {name}"}

    async def process_output(self, text: str) -> dict[str, str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"text": text.upper()}


class Length(Evaluator):
    async def run(self, input: Any, output: Any, error: Any) -> Any:
        if output is None:
            raise EvaluationFailed("nothing to measure")
        return {"evals": {"length": len(output["text"])}, "comment": "in characters", "metadata": {"unit": 1}}


class Says(Evaluator):
    def __init__(self, answer: Any, **options: Any) -> None:
        super().__init__(**options)
        self._answer = answer

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        return self._answer


async def test_scores_of_processed_output_have_a_prefix() -> None:
    """The same evaluator scores output and processed output; the names of the latter begin with `proc:`."""
    async with ActorSystem("t") as system:
        greet = await system.spawn(Greet.spec(run_evaluators=[Length], processed_output_evaluators=[Length]))
        found = (await greet(name="Ann"))["evaluations"]
    assert [entry["evals"] for entry in found] == [{"length": 9}, {"proc:length": 9}]
    assert found[0]["comment"] == "in characters"
    assert found[0]["metadata"] == {"unit": 1}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "9",
        {"evals": {"a": math.nan}},
        {"evals": {"a": math.inf}},
        {"evals": {"a": "good"}},
        {"evals": [1]},
        {"evals": {1: 2}},
        {"evals": {"": 2}},
        {"evals": {"a": 1}, "comment": 7},
        {"evals": {str(n): 1 for n in range(1001)}},
    ],
)
async def test_what_is_no_score_is_a_failed_evaluation(answer: Any) -> None:
    """Anything but finite numbers and truth values is a failure of the evaluator, recorded and never a score."""
    async with ActorSystem("t") as system:
        greet = await system.spawn(Greet.spec(run_evaluators=[Says.spec(answer)]))
        result = await greet(name="Ann")
    assert result["status"] == "success"
    assert "evals" not in result["evaluations"][0]
    assert result["evaluations"][0]["error"]


@pytest.mark.parametrize("answer", [1, 0.5, True, {"a": 1}, {"evals": {"a": False}, "comment": None}])
def test_numbers_and_truth_values_are_scores(answer: Any) -> None:
    """A number, a dictionary of numbers, and an evaluation with a comment stay what they are."""
    assert check_evaluation(answer) is answer


async def test_every_evaluation_is_an_event() -> None:
    """Subscribers of `Evaluated` hear of scores by name, of plain numbers, and of failures without secrets."""
    async with ActorSystem("t") as system, system.events(Evaluated) as events:
        greet = await system.spawn(Greet.spec(run_evaluators=[Length.spec(), Says.spec(0.5)]))
        await greet(name="Ann")
        await greet(name="")
        heard = aiter(events)
        first, second, third, fourth = [await anext(heard) for _ in range(4)]
    assert (first.evals, first.comment, first.error) == ({"length": 9.0}, "in characters", None)
    assert second.evals == {"Says": 0.5}
    assert (third.evals, third.error) == ({}, "nothing to measure")
    assert fourth.evals == {"Says": 0.5}


async def test_a_sample_is_scored_and_the_others_are_not_mentioned() -> None:
    """`sample` scores that share of live calls; a call that is not scored has no evaluation at all."""
    async with ActorSystem("t") as system:
        greet = await system.spawn(Greet.spec(run_evaluators=[Length.spec(sample=0.3, seed=7)]))
        results = [await greet(name="Ann") for _ in range(200)]
        never = await system.spawn(Greet.spec(run_evaluators=[Length.spec(sample=0.0)]))
        assert "evaluations" not in await never(name="Ann")
    scored = sum("evaluations" in result for result in results)
    assert 40 <= scored <= 80


@pytest.mark.parametrize("sample", [-0.1, 1.1, math.nan])
def test_a_sample_is_a_share(sample: float) -> None:
    """A sample below 0, above 1 or of no number is refused."""
    with pytest.raises(ConfigurationError, match="sample"):
        Length(sample=sample)
    with pytest.raises(ConfigurationError, match="sample"):
        OnlineEvaluator(Length, sample=sample)


async def test_nobody_waits_for_an_online_evaluator() -> None:
    """The caller has its answer while the evaluation still waits, and the score comes as an event."""
    release = anyio.Event()

    async def slow(output: Any) -> int:
        await release.wait()
        return len(output["text"])

    async with ActorSystem("t") as system, system.events(Evaluated) as events:
        greet = await system.spawn(Greet.spec(run_evaluators=[OnlineEvaluator.spec(slow, sample=1.0)]))
        results = [await greet(name="Ann") for _ in range(3)]
        assert results == [{"status": "success", "output": {"text": "HELLO ANN"}}] * 3
        release.set()
        heard = aiter(events)
        assert [(await anext(heard)).evals for _ in range(3)] == [{"slow": 9.0}] * 3


async def test_an_online_evaluator_that_is_behind_drops_and_says_so() -> None:
    """Of more evaluations than may wait the rest are dropped, each with an event; no answer is late for it."""
    release = anyio.Event()

    async def slow() -> int:
        await release.wait()
        return 1

    async with ActorSystem("t") as system, system.events(Evaluated) as events:
        spec = OnlineEvaluator.spec(slow, sample=1.0, max_pending=2)
        greet = await system.spawn(Greet.spec(run_evaluators=[spec]))
        for _ in range(10):
            assert (await greet(name="Ann"))["status"] == "success"
        release.set()
        heard = aiter(events)
        told = [await anext(heard) for _ in range(10)]
    dropped = [event for event in told if event.error is not None]
    assert 7 <= len(dropped) <= 8  # two wait, and one may be at work
    assert "max_pending" in (dropped[0].error or "")


@pytest.mark.virtual_time
async def test_an_online_evaluator_outlives_the_deadline_of_the_call() -> None:
    """A call with a deadline that has passed since is still scored."""
    release = anyio.Event()

    async def slow() -> int:
        await release.wait()
        return 1

    async with ActorSystem("t") as system, system.events(Evaluated) as events:
        greet = await system.spawn(Greet.spec(run_evaluators=[OnlineEvaluator.spec(slow, sample=1.0)]))
        assert (await greet.within(0.2)(name="Ann"))["status"] == "success"
        await anyio.sleep(0.3)  # the deadline itself is what this is about
        release.set()
        assert (await anext(aiter(events))).evals == {"slow": 1.0}


async def test_functions_get_what_they_name() -> None:
    """A plain function runs in a thread and gets its arguments by name; one with others is refused."""

    def plain(input: Any, **rest: Any) -> dict[str, Any]:
        return {"evals": {"names": len(rest)}, "comment": input["name"]}

    async with ActorSystem("t") as system:
        greet = await system.spawn(Greet.spec(run_evaluators=[FunctionEvaluator.spec(plain)]))
        assert (await greet(name="Ann"))["evaluations"][0]["evals"] == {"names": 4}
    with pytest.raises(ConfigurationError, match="'answer'"):
        FunctionEvaluator(lambda answer: 1)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    FunctionEvaluator(lambda *all, other=1: 1)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]


@pytest.mark.parametrize("what", [Greet, Greet.spec(), 7, dict])
def test_what_cannot_evaluate_is_refused(what: Any) -> None:
    """Only evaluators and functions evaluate."""
    with pytest.raises(TypeError, match="cannot evaluate with"):
        evaluator_spec(what)


async def test_a_base_evaluator_scores_nothing() -> None:
    """An evaluator without `run` is a failed evaluation that names its class."""
    async with ActorSystem("t") as system:
        greet = await system.spawn(Greet.spec(run_evaluators=[Evaluator.spec()]))
        assert "does not define run()" in (await greet(name="Ann"))["evaluations"][0]["error"]
