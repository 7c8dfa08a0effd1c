"""Reports in JUnit's form, which every CI server reads. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tinyllm_actors.evals.reading import text_of
from tinyllm_actors.evals.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.evals.records import EvalRun
    from tinyllm_actors.evals.summary import Summary

__all__ = ["report_junit"]

# What XML 1.0 cannot hold, however it is written.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def report_junit(run: EvalRun, summary: Summary | None = None, broken: Sequence[str] = ()) -> str:
    """Return a report with a test case for each call, and one for each threshold that is not reached.

    A call that failed, and an evaluation that failed, is an `error`; a threshold that is not reached a `failure`. The
    scores are properties.

    Args:
        run: what was run.
        summary: of it; left out, what `summarize(run)` says.
        broken: what it does not reach, as `broken_thresholds` says.
    """
    summary = summary or summarize(run)
    errors = sum(record.status == "error" or bool(record.failed) for record in run.records)
    counts = {"tests": str(len(run.records) + len(broken)), "failures": str(len(broken)), "errors": str(errors)}
    seconds = f"{sum(record.latency for record in run.records):.3f}"
    root = ElementTree.Element("testsuites", {"name": _text(run.header.name), **counts, "time": seconds})
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {
            "name": _text(run.header.dataset),
            **counts,
            "skipped": "0",
            "time": seconds,
            "timestamp": datetime.fromtimestamp(run.header.started, UTC).isoformat(timespec="seconds"),
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    for metric in summary.metrics.values():
        shown = f"{metric.interval.mean:.6g} [{metric.interval.low:.6g}, {metric.interval.high:.6g}]"
        ElementTree.SubElement(properties, "property", {"name": _text(metric.name), "value": shown})
    for record in run.records:
        name = record.example if run.header.repeats == 1 else f"{record.example}[{record.repeat}]"
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {"classname": _text(run.header.name), "name": _text(name), "time": f"{record.latency:.3f}"},
        )
        if record.status == "error":
            _add(case, "error", record.error or "", "the call failed")
        elif record.failed:
            told = "\n".join(f"{evaluator}: {reason}" for evaluator, reason in record.failed.items())
            _add(case, "error", told, "an evaluation failed")
        scores = "\n".join(f"{score}: {value:.6g}" for score, value in record.evals.items())
        out = ElementTree.SubElement(case, "system-out")
        out.text = _text(f"{scores}\n{text_of(record.output)}")
    for problem in broken:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": _text(run.header.name), "name": "threshold", "time": "0"}
        )
        _add(case, "failure", problem, problem)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _add(case: ElementTree.Element, kind: str, text: str, message: str) -> None:
    ElementTree.SubElement(case, kind, {"message": _text(message), "type": kind}).text = _text(text)


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
