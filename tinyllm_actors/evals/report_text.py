"""Reports as text and as JSON. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec

from tinyllm_actors.evals.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.evals.comparison import Comparison
    from tinyllm_actors.evals.records import EvalRun
    from tinyllm_actors.evals.summary import Summary

__all__ = ["comparison_text", "report_json", "report_text"]

MAX_SHOWN = 5


def report_text(run: EvalRun, summary: Summary | None = None, broken: Sequence[str] = ()) -> str:
    """Return a report to read in a terminal.

    Args:
        run: what was run.
        summary: of it; left out, what `summarize(run)` says.
        broken: what it does not reach, as `broken_thresholds` says.
    """
    summary = summary or summarize(run)
    header = run.header
    state = "" if run.complete else f", not finished: {len(run.records)} of {header.examples * header.repeats}"
    lines = [f"{header.name}: {header.examples} examples of {header.dataset}, {header.repeats} run(s) each{state}", ""]
    percent = f"{summary.confidence * 100:g} %"
    rows = [("score", "n", "mean", percent, "")]
    for metric in summary.metrics.values():
        interval = metric.interval
        more = [] if metric.passes is None or header.repeats == 1 else [f"always {metric.passes:.0%}"]
        if metric.spread is not None:
            more.append(f"between repeats ±{metric.spread:.3g}")
        rows.append(
            (
                metric.name,
                str(metric.count),
                f"{interval.mean:.4g}",
                f"[{interval.low:.4g}, {interval.high:.4g}]",
                ", ".join(more),
            )
        )
    lines += _table(rows)
    lines += ["", f"calls {summary.calls}, failed {summary.errors}"]
    if summary.latency is not None and summary.latency_p50 is not None and summary.latency_p95 is not None:
        lines.append(
            f"latency {summary.latency.mean:.3g} s on average, median {summary.latency_p50:.3g} s, "
            f"95 % below {summary.latency_p95:.3g} s"
        )
    lines.append(
        f"target {_spent(summary.tokens, summary.cost)}; judges {_spent(summary.judge_tokens, summary.judge_cost)}"
    )
    for evaluator, count in summary.failed_evaluations.items():
        reason = next(record.failed[evaluator] for record in run.records if evaluator in record.failed)
        lines.append(f"{count} evaluations of {evaluator} failed, such as: {_line(reason)}")
    for record in [record for record in run.records if record.status == "error"][:MAX_SHOWN]:
        lines.append(f"call {record.example!r} failed: {_line(record.error or '')}")
    lines += [f"NOT REACHED: {problem}" for problem in broken]
    return "\n".join(lines)


def comparison_text(comparison: Comparison) -> str:
    """Return what changed, to read in a terminal."""
    lines = [f"{comparison.before} → {comparison.after}", ""]
    rows = [("score", "n", "before", "after", "difference", "p (adjusted)", "")]
    for change in comparison.changes.values():
        difference = change.difference
        rows.append(
            (
                change.name,
                str(change.count),
                f"{change.before:.4g}",
                f"{change.after:.4g}",
                f"{difference.mean:+.4g} [{difference.low:+.4g}, {difference.high:+.4g}]",
                f"{difference.p_value:.3g} ({change.adjusted_p:.3g})",
                "significant" if change.significant else "may be chance",
            )
        )
    lines += _table(rows)
    for change in comparison.changes.values():
        if change.worse:
            lines.append(f"{change.name} got worse: {', '.join(change.worse[:MAX_SHOWN])}{_more(change.worse)}")
    for which, examples in ((comparison.before, comparison.only_before), (comparison.after, comparison.only_after)):
        if examples:
            lines.append(f"only in {which}: {', '.join(examples[:MAX_SHOWN])}{_more(examples)}")
    return "\n".join(lines)


def report_json(
    run: EvalRun,
    summary: Summary | None = None,
    broken: Sequence[str] = (),
    comparison: Comparison | None = None,
) -> str:
    """Return everything as one JSON object: `run`, `summary`, `broken`, `records`, perhaps `comparison`."""
    summary = summary or summarize(run)
    whole = {
        "run": run.header,
        "complete": run.complete,
        "summary": asdict(summary),
        "broken": list(broken),
        "records": run.records,
    }
    if comparison is not None:
        whole["comparison"] = asdict(comparison)
    return msgspec.json.format(msgspec.json.encode(whole)).decode()


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _spent(tokens: int, cost: float | None) -> str:
    return f"{tokens:,} tokens, " + ("cost unknown" if cost is None or not math.isfinite(cost) else f"${cost:.4f}")


def _line(text: str) -> str:
    line = " ".join(text[:400].split())
    return line if len(line) <= 160 else f"{line[:159]}…"


def _more(examples: Sequence[str]) -> str:
    return f" and {len(examples) - MAX_SHOWN} more" if len(examples) > MAX_SHOWN else ""
