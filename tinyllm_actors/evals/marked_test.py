"""What a test with `@pytest.mark.eval` does. See `tinyllm_actors.pytest_plugin`."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.evals.evaluate import evaluate
from tinyllm_actors.evals.report_html import report_html
from tinyllm_actors.evals.report_text import report_text
from tinyllm_actors.evals.summary import summarize
from tinyllm_actors.evals.thresholds import broken_thresholds, parse_threshold
from tinyllm_actors.kernel import ActorSystem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.evals.records import EvalRun

__all__ = ["run_marked_test"]


def run_marked_test(item: pytest.Function, marker: pytest.Mark) -> None:
    """Evaluate what the test returns, and fail it if a threshold is not reached.

    Raises:
        UsageError: the mark, or the test, cannot be used.
    """
    options = _options(item, marker)
    thresholds: Mapping[str, Any] = options.pop("thresholds", {})
    for threshold in thresholds.values():
        parse_threshold(threshold)  # before anything is paid for
    max_errors, confidence = options.pop("max_errors", 0), options.pop("confidence", 0.95)
    backend = options.pop("backend", "asyncio")
    target = _target(item)
    folder: str | None = item.config.getoption("--eval-report")
    stem = re.sub(r"[^A-Za-z0-9]+", "-", item.nodeid).strip("-")[-150:]
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        # What an earlier run of the tests left was of another state of the target.
        records = Path(folder, f"{stem}.jsonl")
        records.unlink(missing_ok=True)
        options.setdefault("results", records)

    async def main() -> EvalRun:
        async with ActorSystem("pytest") as system:
            return await evaluate(system, target, **options)

    uvloop = backend == "uvloop"
    run = anyio.run(
        main, backend="asyncio" if uvloop else backend, backend_options={"use_uvloop": True} if uvloop else None
    )
    summary = summarize(run, confidence=confidence)
    broken = broken_thresholds(summary, thresholds, max_errors=max_errors)
    item.user_properties += [(f"eval.{name}", metric.interval.mean) for name, metric in summary.metrics.items()]
    report = report_text(run, summary, broken)
    item.add_report_section("call", "evaluation", report)
    if folder is not None:
        page = report_html(run, summary, broken)
        Path(folder, f"{stem}.html").write_text(page, encoding="utf-8", errors="replace")
    if broken:
        pytest.fail("\n".join([*broken, "", report]), pytrace=False)


def _options(item: pytest.Function, marker: pytest.Mark) -> dict[str, Any]:
    options: dict[str, Any] = dict(marker.kwargs)
    if len(marker.args) > 1 or (marker.args and "dataset" in options):
        raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.eval takes one dataset by position, and names")
    if marker.args:
        options["dataset"] = marker.args[0]
    missing = [name for name in ("dataset", "evaluators") if name not in options]
    if missing:
        raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.eval needs {' and '.join(missing)}")
    if isinstance(options["dataset"], str | Path):
        options["dataset"] = item.path.parent / options["dataset"]
    options.setdefault("name", item.name)
    return options


def _target(item: pytest.Function) -> Any:
    function = item.obj
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise pytest.UsageError(f"{item.nodeid}: with @pytest.mark.eval it is a plain function that returns the target")
    names = [name for name in inspect.signature(function).parameters if name in item.funcargs]
    target = function(**{name: item.funcargs[name] for name in names})
    if target is None:
        raise pytest.UsageError(f"{item.nodeid}: it returned nothing; return the target: a spec, or a function")
    return target
