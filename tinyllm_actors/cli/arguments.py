"""The arguments of `eval` and `config`. Nothing here imports what they need."""

from __future__ import annotations

import argparse
from typing import Any, Final

__all__ = ["add_config", "add_eval"]

EVALUATORS: Final = (
    "exact",
    "regex",
    "json",
    "semantic",
    "retrieval",
    "tools",
    "performance",
    "correctness",
    "faithfulness",
)
"""The short names of evaluators."""


def add_eval(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the command `eval`; return the parsers of what it has to run on an event loop."""
    parser = commands.add_parser(
        "eval",
        help="evaluate an agent over a dataset, and compare runs",
        description="Evaluate an agent, or any Function, over a dataset; report on a run; compare two runs.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="{run,report,compare}")
    run = actions.add_parser(
        "run",
        help="run a dataset; what is in the file of results already is not run again",
        description="Run a dataset of JSON lines, such as "
        '{"id": "1", "input": {"content": "When?"}, "expected": "January 1st"}. '
        "Exit code 1 if a threshold is not reached, or more calls and evaluations failed than may.",
    )
    run.add_argument("dataset", help="a file of JSON lines")
    run.add_argument(
        "--target",
        metavar="MODULE:NAME",
        help="a Function, its spec, or a plain function; left out, an agent with the model",
    )
    run.add_argument("--system", metavar="TEXT", default=None, help="what that agent is told about its role")
    run.add_argument(
        "--evaluator",
        action="append",
        default=[],
        dest="evaluators",
        metavar="NAME",
        help=f"one of {', '.join(EVALUATORS)}, or MODULE:NAME; may be repeated; default: exact",
    )
    run.add_argument("--judge", metavar="MODEL", help="the model that judges, for correctness and faithfulness")
    run.add_argument("--judge-usd", type=float, metavar="USD", help="what the judges may spend")
    run.add_argument("--embedding", metavar="MODEL", default="local", help="for semantic and retrieval; default: local")
    run.add_argument("--repeats", type=int, default=1, metavar="N", help="run each example so often; default: 1")
    run.add_argument("--concurrency", type=int, default=4, metavar="N", help="examples at once; default: 4")
    run.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS", help="of one call; default: 300")
    run.add_argument("--results", metavar="FILE", help="where the records go, and what an interrupted run resumes from")
    run.add_argument("--retry-errors", action="store_true", help="run what failed before again")
    run.add_argument("--baseline", metavar="FILE", help="compare with the results of another run")
    report = actions.add_parser("report", help="report on the results of a run", description="Report on a run.")
    report.add_argument("results", help="the file of results")
    report.add_argument("--baseline", metavar="FILE", help="compare with the results of another run")
    compare = actions.add_parser(
        "compare",
        help="say what changed between two runs, and whether that is more than chance",
        description="Compare two runs over the same examples. Exit code 1 if a score got significantly worse.",
    )
    compare.add_argument("before", help="the file of results of the first run")
    compare.add_argument("after", help="of the second")
    for command in (run, report):
        command.add_argument("--html", metavar="FILE", help="write a page")
        command.add_argument("--json", metavar="FILE", help="write everything as JSON")
        command.add_argument("--junit", metavar="FILE", help="write a report for a CI server")
        command.add_argument(
            "--min",
            action="append",
            default=[],
            dest="thresholds",
            metavar="SCORE=BOUND",
            help="what a score has to reach, such as exact_match=0.9, latency=<=2 or exact_match=low>=0.8; may be "
            "repeated",
        )
        command.add_argument("--max-errors", type=int, default=0, metavar="N", help="that may fail; default: 0")
    for command in (run, report, compare):
        command.add_argument("--confidence", type=float, default=0.95, metavar="SHARE", help="default: 0.95")
    return [run, report, compare]


def add_config(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the command `config`; return its parsers."""
    parser = commands.add_parser(
        "config", help="check and show tinyllm.yaml", description="Check and show the configuration."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="{check,show}")
    check = actions.add_parser("check", help="say whether the file can be used", description="Check the file.")
    show = actions.add_parser(
        "show",
        help="show what holds and where it comes from, with secrets masked",
        description="Show what holds, with secrets masked.",
    )
    for command in (check, show):
        command.add_argument("--file", metavar="FILE", help="instead of the one that would be used")
    return [check, show]
