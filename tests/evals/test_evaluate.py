"""Runs over datasets: records, failures, resuming, costs, and what they leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from structlog.testing import capture_logs

from tinyllm_actors import ActorSystem, Agent, Evaluator, Function
from tinyllm_actors.errors import ConfigurationError, DatasetInvalid
from tinyllm_actors.evals import (
    ExactMatch,
    Example,
    FunctionEvaluator,
    Performance,
    Record,
    ToolTrajectory,
    evaluate,
    read_run,
    summarize,
)
from tinyllm_actors.llm import Budget, Usage
from tinyllm_actors.testing import ScriptedModel, fail, text, tool_call, tool_calls

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

CASES = [Example(str(number), {"n": number}, expected=2 * number) for number in range(6)]


def half_of(output: Any) -> float:
    """Score anything alike."""
    return 0.5


class Double(Function):
    """Doubles, and remembers how often it was asked."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._asked = 0

    async def run(self, n: int) -> dict[str, int]:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._asked += 1
        if n == 3:
            raise ValueError("three is broken")
        return {"answer": 2 * n + (n == 4), "asked": self._asked}


async def test_records_are_complete_and_in_order() -> None:
    """Each example has a record in the order of the dataset; a call that failed has no scores, and ends nothing."""
    done: list[tuple[int, int]] = []
    async with ActorSystem("t") as system:
        run = await evaluate(
            system, Double, CASES, [ExactMatch], name="double", on_record=lambda _, n, total: done.append((n, total))
        )
        assert not [child for child in system.inspect().children if "Lane" in child.path]
    assert [record.example for record in run.records] == [example.id for example in CASES]
    assert [record.evals.get("exact_match") for record in run.records] == [1.0, 1.0, 1.0, None, 0.0, 1.0]
    assert (run.records[3].status, run.records[3].error) == ("error", "three is broken")
    assert done == [(number, 6) for number in range(1, 7)]
    assert run.complete
    summary = summarize(run)
    assert (summary.calls, summary.errors, summary.metrics["exact_match"].count) == (6, 1, 5)


async def test_each_example_has_a_target_of_its_own() -> None:
    """A spec is started anew for every call, so that none remembers another; a reference is called as it is."""
    async with ActorSystem("t") as system:
        fresh = await evaluate(system, Double.spec(), CASES[:3], [ExactMatch], repeats=2)
        ref = await system.spawn(Double)
        same = await evaluate(system, ref, CASES[:3], [ExactMatch], max_concurrency=1)
        assert ref.alive
    assert [record.output["asked"] for record in fresh.records] == [1] * 6
    assert [record.output["asked"] for record in same.records] == [1, 2, 3]
    assert [(record.example, record.repeat) for record in fresh.records][:3] == [("0", 0), ("0", 1), ("1", 0)]


async def test_a_target_that_does_not_start_is_a_failed_call() -> None:
    """A constructor that raises fails the calls and not the run."""

    class Broken(Function):
        def __init__(self) -> None:
            raise OSError("no disk")

    async with ActorSystem("t") as system:
        run = await evaluate(system, Broken.spec(), CASES[:2], [ExactMatch])
    assert [record.error for record in run.records] == ["no disk"] * 2


async def test_an_evaluator_that_fails_is_a_failure_and_no_score() -> None:
    """Its reason is in the record; other evaluators score all the same, and one that says nothing is not mentioned."""

    class Fails(Evaluator):
        async def run(self, input: Any, output: Any, error: Any) -> Any:
            raise ValueError("no idea, api_key=abcdefgh12345678")

    async def half(trial: Any) -> dict[str, Any]:
        return {"evals": {"half": trial.example.expected / 2}, "comment": "by two"}

    class Bare(Evaluator):
        async def run(self, input: Any, output: Any, error: Any) -> Any:
            return 0.25 if input["n"] else {"plain": 1}

    async with ActorSystem("t") as system:
        run = await evaluate(system, Double, CASES[:2], [Fails, half, Bare, half], max_concurrency=1)
    zero, one = run.records
    assert zero.failed == {"Fails": "no idea, api_key=***"}
    assert (zero.evals, zero.comments) == ({"half": 0.0, "plain": 1.0, "half.half": 0.0}, {"half": "by two"})
    assert one.evals == {"half": 1.0, "Bare": 0.25, "half.half": 1.0}
    assert summarize(run).failed_evaluations == {"Fails": 2}


async def test_scores_of_the_targets_own_evaluators_are_recorded() -> None:
    """What `run_evaluators` and `processed_output_evaluators` find on the way is in the record, prefix included."""
    spec = Double.spec(
        run_evaluators=[FunctionEvaluator.spec(half_of)], processed_output_evaluators=[ExactMatch.spec("4")]
    )
    async with ActorSystem("t") as system:
        run = await evaluate(system, spec, [CASES[2]], [])
    assert run.records[0].evals["proc:exact_match"] == 1.0


async def test_a_run_goes_on_where_it_stood(tmp_path: Path) -> None:
    """With the same file only what is missing is run; a half-written last line does not count."""
    path = tmp_path / "deep" / "results.jsonl"
    asked: list[int] = []

    async def count(n: int) -> int:
        asked.append(n)
        return 2 * n

    async with ActorSystem("t") as system:
        first = await evaluate(system, count, CASES, [ExactMatch], results=path, name="first", max_concurrency=1)
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:4]) + lines[4][:-1] + b"x" * 5000)
        again = await evaluate(system, count, CASES, [ExactMatch], results=path, name="again", max_concurrency=1)
        third = await evaluate(system, count, CASES, [ExactMatch], results=path)
    assert asked == [0, 1, 2, 3, 4, 5, 3, 4, 5]
    assert again.header == first.header
    assert [record.evals for record in again.records] == [record.evals for record in first.records]
    assert read_run(path) == third
    assert path.read_bytes().endswith(b"}\n")
    path.write_bytes(b'{"kind":"ru')  # killed in the first line
    async with ActorSystem("t") as system:
        fresh = await evaluate(system, count, CASES, [ExactMatch], results=path)
    assert fresh.complete
    assert read_run(path).complete


async def test_what_failed_is_run_again_if_asked(tmp_path: Path) -> None:
    """`retry_errors` runs failed calls and evaluations again, and the newer record counts."""
    path, broken = tmp_path / "results.jsonl", True

    async def fragile(n: int) -> int:
        if broken and n == 1:
            raise OSError("down")
        return n

    async def score(output: int) -> int:
        if broken and output == 2:
            raise OSError("down")
        return output

    async with ActorSystem("t") as system:
        await evaluate(system, fragile, CASES[:4], [score], results=path)
        broken = False
        same = await evaluate(system, fragile, CASES[:4], [score], results=path)
        mended = await evaluate(system, fragile, CASES[:4], [score], results=path, retry_errors=True)
    assert summarize(same).errors == 1
    assert summarize(mended).errors == 0
    assert [record.evals["score"] for record in read_run(path).records if record.status == "success"]
    assert len(read_run(path).records) == 4
    assert not any(record.failed for record in mended.records)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}\n", "does not begin"),
        ("notes of mine", "does not begin"),
        ('{"kind":"run","name":7}\n', "no result of a run"),
        ('{"kind":"record","example":"a","repeat":0,"status":"success"}\n', "does not begin"),
        (
            '{"kind":"run","name":"r","dataset":"d","digest":"x","examples":1,"repeats":1,"evaluators":["ExactMatch"],'
            '"started":0,"format":2}\n',
            "form 2 is newer",
        ),
        (
            '{"kind":"run","name":"r","dataset":"d","digest":"x","examples":1,"repeats":1,"evaluators":["ExactMatch"],'
            '"started":0}\n',
            "digest 'x'",
        ),
    ],
    ids=["other", "words", "wrong", "no-header", "newer", "other-dataset"],
)
async def test_results_of_something_else_are_not_touched(content: str, words: str, tmp_path: Path) -> None:
    """A file with anything else in it is refused and stays as it is."""
    path = tmp_path / "results.jsonl"
    path.write_text(content, encoding="utf-8")
    async with ActorSystem("t") as system:
        with pytest.raises(DatasetInvalid, match=words):
            await evaluate(system, Double, CASES, [ExactMatch], results=path)
    assert path.read_text(encoding="utf-8") == content
    with pytest.raises(DatasetInvalid, match="cannot be read"):
        read_run(tmp_path / "none")


async def test_a_cancelled_run_keeps_what_was_done(tmp_path: Path) -> None:
    """Whoever cancels a run finds whole records in the file, and no actor left."""
    path = tmp_path / "results.jsonl"

    async def slow(n: int) -> int:
        if n >= 3:
            scope.cancel()
            await anyio.sleep_forever()
        return n

    async with ActorSystem("t") as system:
        with anyio.CancelScope() as scope:
            await evaluate(system, slow, CASES, [ExactMatch], results=path, max_concurrency=1)
        assert scope.cancelled_caught
        assert not [child for child in system.inspect().children if "Lane" in child.path]
    assert [record.example for record in read_run(path).records] == ["0", "1", "2"]
    assert not read_run(path).complete


async def test_a_callback_that_raises_ends_the_run() -> None:
    """What `on_record` raises comes out, by itself."""

    def stop(record: Record, done: int, total: int) -> None:
        raise LookupError("enough")

    async with ActorSystem("t") as system:
        with pytest.raises(LookupError, match="enough"):
            await evaluate(system, Double, CASES, [ExactMatch], on_record=stop)


@pytest.mark.virtual_time
async def test_a_call_that_takes_too_long_fails() -> None:
    """A target that never answers is a failed call after the time-out, and the run goes on."""

    async def hangs(n: int) -> int:
        if n == 1:
            await anyio.sleep_forever()
        return 2 * n

    async with ActorSystem("t") as system:
        run = await evaluate(system, hangs, CASES[:3], [ExactMatch], timeout=0.2)
    assert [record.status for record in run.records] == ["success", "error", "success"]
    assert "did not answer within" in (run.records[1].error or "")


@pytest.mark.parametrize("options", [{"repeats": 0}, {"max_concurrency": 0}])
async def test_options_of_a_run(options: dict[str, Any]) -> None:
    """Nothing is not run, and not by nobody."""
    async with ActorSystem("t") as system:
        with pytest.raises(ConfigurationError, match="1 or more"):
            await evaluate(system, Double, CASES, [ExactMatch], **options)


# --- agents ---


def add(a: int, b: int) -> int:
    """Add two numbers."""
    if a < 0:
        raise ValueError("no negative numbers")
    return a + b


def sums(*calls: Any, metadata: Any = None) -> Example:
    """Return an example for an agent."""
    given = metadata if metadata is not None else {"tool_calls": list(calls)}
    return Example("sum", {"content": "1 + 2?"}, "3", metadata=given)


async def trajectory(steps: list[Any], example: Example, **options: Any) -> Record:
    """Run an agent and score its tool calls."""
    agent = Agent.spec(model=ScriptedModel([*steps, text("3")]), tools=[add])
    async with ActorSystem("t") as system:
        return (await evaluate(system, agent, [example], [ToolTrajectory.spec(**options)])).records[0]


FIRST = {"name": "add", "arguments": {"a": 1}}
ONE, TWO = ("add", {"a": 1, "b": 2}), ("add", {"a": 5, "b": 6})


@pytest.mark.parametrize(
    ("calls", "expected", "order", "scores"),
    [
        ([ONE], ["add"], "same", (1.0, 1.0, 1.0)),
        ([ONE], [FIRST], "same", (1.0, 1.0, 1.0)),
        ([ONE], [{"name": "add", "arguments": {"a": 2}}], "same", (0.0, 0.0, 0.0)),
        ([ONE, TWO], ["add"], "same", (0.5, 1.0, 0.0)),
        ([ONE, TWO], ["add"], "within", (0.5, 1.0, 1.0)),
        ([TWO, ONE], [FIRST, {"name": "add", "arguments": {"a": 5}}], "same", (1.0, 1.0, 0.0)),
        ([TWO, ONE], ["add", FIRST], "any", (1.0, 1.0, 1.0)),
        ([ONE, TWO], ["add", FIRST], "any", (1.0, 1.0, 1.0)),
        ([], ["add"], "same", (0.0, 0.0, 0.0)),
        ([], [], "same", (1.0, 1.0, 1.0)),
        ([ONE], [], "any", (0.0, 1.0, 0.0)),
    ],
    ids=[str(number) for number in range(11)],
)
async def test_trajectories_with_known_scores(calls: Any, expected: Any, order: Any, scores: Any) -> None:
    """Precision, recall and order of tool calls are as counted by hand."""
    steps = [tool_calls(*calls)] if calls else []
    record = await trajectory(steps, sums(*expected), order=order)
    found = record.evals
    assert (found["tool_precision"], found["tool_recall"], found["tool_trajectory"]) == scores
    assert found["tool_success"] == 1.0
    assert record.latency > 0


async def test_tool_calls_that_fail_are_counted() -> None:
    """`tool_success` is the share of the calls that succeeded."""
    steps = [tool_call("add", a=-1, b=2), tool_call("add", a=1, b=2)]
    record = await trajectory(steps, sums("add", "add"))
    assert record.evals["tool_success"] == 0.5
    assert record.comments == {"ToolTrajectory": "called: add, add"}


@pytest.mark.parametrize("metadata", [{}, {"tool_calls": "add"}, {"tool_calls": [7]}], ids=["none", "text", "number"])
async def test_trajectories_need_something_to_compare_with(metadata: dict[str, Any]) -> None:
    """Without expected calls there is no score."""
    record = await trajectory([], sums(metadata=metadata))
    assert "ToolTrajectory" in record.failed


async def test_trajectories_are_of_agents() -> None:
    """For a plain Function nobody tells of tool calls, and that is no score."""
    with pytest.raises(ConfigurationError, match="order"):
        ToolTrajectory(order="other")  # pyright: ignore[reportArgumentType]
    async with ActorSystem("t") as system:
        run = await evaluate(system, Double, CASES[:1], [ToolTrajectory])
    assert "nobody told it" in run.records[0].failed["ToolTrajectory"]


async def test_an_agent_that_fails_while_it_streams_is_a_failed_call() -> None:
    """A streamed agent whose model is down is a record with the error."""
    agent = Agent.spec(model=ScriptedModel([fail(ValueError("model is down"))]))
    async with ActorSystem("t") as system:
        run = await evaluate(system, agent, [sums("add")], [ToolTrajectory])
    assert (run.records[0].status, "down" in (run.records[0].error or "")) == ("error", True)


async def test_costs_of_target_and_judge_are_apart() -> None:
    """Tokens and dollars of every model call are booked on whoever made it; an unknown price is not 0."""
    from tinyllm_actors.evals import AnswerCorrectnessEvaluator

    verdict = '{"reasoning": "ok", "gives_an_answer": true, "score": 9}'
    steps = [text("3", usage=Usage(100, 10, 110, cost=0.002)), text("3", usage=Usage(50, 5, 55))]
    judge = ScriptedModel([text(verdict, usage=Usage(200, 20, 220, cost=0.01))] * 2)
    agent = Agent.spec(model=ScriptedModel(steps))
    cases = [Example("a", {"content": "1 + 2?"}, "3"), Example("b", {"content": "1 + 2?"}, "3")]
    spending = Budget(max_tokens=10_000, name="all")
    async with ActorSystem("t") as system:
        evaluators = [AnswerCorrectnessEvaluator.spec(judge), Performance.spec(max_usd=0.001, max_seconds=100)]
        run = await evaluate(system, agent, cases, evaluators, max_concurrency=1, budget=spending)
    known, unknown = run.records
    assert (known.tokens, known.cost, known.judge_tokens, known.judge_cost) == (110, 0.002, 220, 0.01)
    assert known.evals["within_limits"] == 0.0
    assert (unknown.tokens, unknown.cost) == (55, None)
    assert "price of a model is unknown" in unknown.failed["Performance"]
    assert spending.used.tokens == 165
    summary = summarize(run)
    assert (summary.tokens, summary.cost, summary.judge_tokens) == (165, None, 440)


async def test_performance_is_for_runs() -> None:
    """A live call has no measured time; limits are no negative numbers."""
    with pytest.raises(ConfigurationError, match="limits"):
        Performance(max_seconds=-1)
    async with ActorSystem("t") as system:
        double = await system.spawn(Double.spec(run_evaluators=[Performance, ToolTrajectory]))
        found = (await double(n=1))["evaluations"]
    assert all("runs" in entry["error"] for entry in found)


async def test_functions_with_a_spec_of_their_own() -> None:
    """A named function evaluator keeps its name in the record."""
    async with ActorSystem("t") as system:

        def one(output: Any) -> int:
            return 1

        spec = FunctionEvaluator.spec(one, name="mine")
        run = await evaluate(system, Double, CASES[:1], [spec])
    assert run.records[0].evals == {"mine": 1.0}


async def test_the_log_says_what_was_resumed(tmp_path: Path) -> None:
    """Whoever runs a changed target into an old file is told that nothing was run."""
    path = tmp_path / "run.jsonl"
    async with ActorSystem("t") as system:
        with capture_logs() as lines:
            await evaluate(system, Double, CASES, [ExactMatch], results=path)
        assert not [line for line in lines if "run" in line["event"]]
        with capture_logs() as lines:
            await evaluate(system, Double, CASES, [ExactMatch], results=path)
        assert [(line["log_level"], line["event"]) for line in lines if "run" in line["event"]] == [
            ("warning", f"nothing was run: all 6 records are in {str(path)!r}; for a new run give another file")
        ]
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
        with capture_logs() as lines:
            await evaluate(system, Double, CASES, [ExactMatch], results=path)
        assert [line["event"] for line in lines if "goes on" in line["event"]] == [
            f"the run goes on: 2 records are in {str(path)!r}, 4 are missing"
        ]
