"""What a run amounts to: means with intervals, failures, time and cost. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Final

from tinyllm_actors.evals.statistics import Interval, bootstrap_interval, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.evals.records import EvalRun

__all__ = ["SCALES", "Metric", "Summary", "summarize"]


SCALES: Final = {"answer_correctness": 10.0, "proc:answer_correctness": 10.0}
"""The highest value of scores that go beyond 1, of which a 0 or a 1 is no truth value."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One score over a run.

    Attributes:
        name: of the score.
        count: how many examples have it.
        interval: the mean over examples and where the true one is likely to be.
        method: `"wilson"` for what is 0 or 1 in a single run of each example, else `"bootstrap"`.
        values: the mean of each example, in the order of the dataset.
        spread: the mean standard deviation between repeats of one example; None without repeats.
        passes: the share of examples of which every repeat scored 1, for what is 0 or 1; None else.
    """

    name: str
    count: int
    interval: Interval
    method: str
    values: tuple[float, ...]
    spread: float | None = None
    passes: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run amounts to.

    Attributes:
        metrics: the scores by name, in the order in which they first came.
        calls: of the target.
        errors: how many of these failed.
        failed_evaluations: how many evaluations failed, by evaluator. They are in no mean.
        latency: seconds of the target's calls: the mean, with its interval; None if all failed.
        latency_p50: the middle one.
        latency_p95: what 95 % of them stayed below.
        tokens: of the target's model calls.
        cost: US dollars of these; None if a price is unknown.
        judge_tokens: of the evaluators' model calls.
        judge_cost: US dollars of these; None if a price is unknown.
        confidence: of the intervals.
    """

    metrics: dict[str, Metric]
    calls: int
    errors: int
    failed_evaluations: dict[str, int]
    latency: Interval | None
    latency_p50: float | None
    latency_p95: float | None
    tokens: int
    cost: float | None
    judge_tokens: int
    judge_cost: float | None
    confidence: float


def summarize(run: EvalRun, *, confidence: float = 0.95) -> Summary:
    """Return what a run amounts to. It takes CPU time, some 0.1 s for 1,000 examples and a score.

    ```python
    >>> from tinyllm_actors.evals import EvalRun, Record, RunHeader, summarize
    >>> header = RunHeader("run", "cases", "", 2, 1, ["exact"], 0.0)
    >>> records = [Record("a", 0, "success", evals={"exact": 1.0}), Record("b", 0, "success", evals={"exact": 0.0})]
    >>> summarize(EvalRun(header, records)).metrics["exact"].interval
    Interval(mean=0.5, low=0.094..., high=0.905...)

    ```

    Args:
        run: as `evaluate` or `read_run` returns it.
        confidence: of the intervals.
    """
    names = dict.fromkeys(name for record in run.records for name in record.evals)
    done = [record for record in run.records if record.status == "success"]
    latencies = sorted(record.latency for record in done)
    failed: dict[str, int] = {}
    for record in run.records:
        for evaluator in record.failed:
            failed[evaluator] = failed.get(evaluator, 0) + 1
    return Summary(
        metrics={name: _metric(name, run.scores(name), confidence) for name in names},
        calls=len(run.records),
        errors=len(run.records) - len(done),
        failed_evaluations=failed,
        latency=bootstrap_interval(latencies, confidence) if latencies else None,
        latency_p50=_rank(latencies, 0.5),
        latency_p95=_rank(latencies, 0.95),
        tokens=sum(record.tokens for record in run.records),
        cost=_total([record.cost for record in run.records]),
        judge_tokens=sum(record.judge_tokens for record in run.records),
        judge_cost=_total([record.judge_cost for record in run.records]),
        confidence=confidence,
    )


def _metric(name: str, scores: dict[str, list[float]], confidence: float) -> Metric:
    values = tuple(fmean(repeats) for repeats in scores.values())
    repeated = any(len(repeats) > 1 for repeats in scores.values())
    binary = name not in SCALES and all(value in (0.0, 1.0) for repeats in scores.values() for value in repeats)
    if binary and not repeated:
        interval, method = wilson_interval(int(sum(values)), len(values), confidence), "wilson"
    else:
        interval, method = bootstrap_interval(values, confidence), "bootstrap"
    return Metric(
        name=name,
        count=len(values),
        interval=interval,
        method=method,
        values=values,
        spread=fmean(pstdev(repeats) for repeats in scores.values()) if repeated else None,
        passes=fmean(float(min(repeats) == 1.0) for repeats in scores.values()) if binary else None,
    )


def _rank(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least `share` of them do not exceed."""
    if not ordered:
        return None
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def _total(costs: Sequence[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
