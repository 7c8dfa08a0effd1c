"""`tinyllm-actors eval`: run a dataset, report on it, compare runs."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from tinyllm_actors import evals
from tinyllm_actors.agent import Agent
from tinyllm_actors.cli.arguments import EVALUATORS
from tinyllm_actors.cli.bar import Bar
from tinyllm_actors.cli.models import find_model
from tinyllm_actors.cli.plain import printable
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.kernel import ActorSystem, configure_console_log
from tinyllm_actors.llm import Budget

if TYPE_CHECKING:
    import argparse

    from tinyllm_actors.cli.program import Interrupts, Main
    from tinyllm_actors.evals import EvalRun, Record

__all__ = ["evaluation", "named_object"]


def evaluation(options: argparse.Namespace) -> Main:
    """Return the program of an action of `eval`.

    Args:
        options: as the command line says.
    """

    async def main(interrupts: Interrupts) -> int:
        configure_console_log(level="debug" if options.debug else "warning")
        if options.action == "compare":
            return await anyio.to_thread.run_sync(_compare, options)
        if options.action == "report":
            run = await anyio.to_thread.run_sync(evals.read_run, options.results)
        else:
            run = await _run(options)
        return await anyio.to_thread.run_sync(_report, options, run)

    return main


async def _run(options: argparse.Namespace) -> EvalRun:
    evaluators = [await _evaluator(name, options) for name in options.evaluators or ["exact"]]
    metadata = {"target": options.target} if options.target else {"model": options.model}
    if options.target:
        target = await anyio.to_thread.run_sync(named_object, options.target)
    else:
        system_role = {} if options.system is None else {"system_role": options.system}
        # A name and not a model: each agent has its own, and all share its provider.
        model: Any = options.model if "/" in options.model else await find_model(options.model)
        target = Agent.spec(model=model, **system_role)
    budget = None if options.judge_usd is None else Budget(max_usd=options.judge_usd, name="--judge-usd")
    bar, failed = Bar("calls"), 0

    def on_record(record: Record, done: int, total: int) -> None:
        nonlocal failed
        failed += record.status == "error" or bool(record.failed)
        bar.show(done, total, failed)

    try:
        async with ActorSystem("eval") as system:
            return await evals.evaluate(
                system,
                target,
                options.dataset,
                evaluators,
                repeats=options.repeats,
                max_concurrency=options.concurrency,
                timeout=options.timeout,
                results=options.results,
                retry_errors=options.retry_errors,
                judge_budget=budget,
                metadata=metadata,
                on_record=on_record,
            )
    finally:
        bar.close()


async def _evaluator(name: str, options: argparse.Namespace) -> Any:
    """Return the evaluator of a short name, or the one that `module:name` is."""
    simple = {
        "exact": evals.ExactMatch,
        "regex": evals.RegexMatch,
        "json": evals.JsonMatch,
        "tools": evals.ToolTrajectory,
        "performance": evals.Performance,
    }
    judged = {"correctness": evals.AnswerCorrectnessEvaluator, "faithfulness": evals.FaithfulnessEvaluator}
    embedded = {"semantic": evals.SemanticMatch, "retrieval": evals.RetrievalEvaluator}
    known: dict[str, type] = {**simple, **judged, **embedded}
    name = next((short for short, kind in known.items() if kind.__name__ == name), name)  # `ExactMatch` is `exact`
    if name in simple:
        return simple[name]
    if name in embedded:
        return embedded[name].spec(options.embedding)
    if name in judged:
        if not options.judge:
            raise ConfigurationError(f"the evaluator {name!r} needs a judge: --judge openai/gpt-4o, or another model")
        return judged[name].spec(options.judge)
    if ":" not in name:
        raise ConfigurationError(f"no evaluator {name!r}; there are {', '.join(EVALUATORS)}, and MODULE:NAME")
    return await anyio.to_thread.run_sync(named_object, name)


def named_object(name: str) -> Any:
    """Return what `module:name` is; modules of the working directory are found too.

    Raises:
        ConfigurationError: there is no such thing.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise ConfigurationError(f"write 'module:name', such as 'my_app.agents:support', not {name!r}")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        hint = f": write {module[:-3]!r}, its name and not its file" if module.endswith(".py") else ""
        raise ConfigurationError(f"there is no module {module!r} here or among what is installed{hint}") from None
    except AttributeError:
        raise ConfigurationError(f"module {module!r} has no {attribute!r}") from None


def _report(options: argparse.Namespace, run: EvalRun) -> int:
    summary = evals.summarize(run, confidence=options.confidence)
    broken = evals.broken_thresholds(summary, _thresholds(options.thresholds), max_errors=options.max_errors)
    comparison = None
    if options.baseline:
        comparison = evals.compare(evals.read_run(options.baseline), run, confidence=options.confidence)
    print(printable(evals.report_text(run, summary, broken)))
    if comparison is not None:
        print()
        print(printable(evals.comparison_text(comparison)))
    for path, made in (
        (options.html, lambda: evals.report_html(run, summary, broken, comparison)),
        (options.json, lambda: evals.report_json(run, summary, broken, comparison)),
        (options.junit, lambda: evals.report_junit(run, summary, broken)),
    ):
        if path:
            Path(path).write_text(made(), encoding="utf-8", errors="replace")
    return 1 if broken else 0


def _thresholds(given: list[str]) -> dict[str, evals.Threshold]:
    found: dict[str, evals.Threshold] = {}
    for entry in given:
        name, equals, bound = entry.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"--min takes a score and a bound, such as exact_match=0.9, not {entry!r}")
        found[name] = evals.parse_threshold(bound)
    return found


def _compare(options: argparse.Namespace) -> int:
    before, after = evals.read_run(options.before), evals.read_run(options.after)
    comparison = evals.compare(before, after, confidence=options.confidence)
    print(printable(evals.comparison_text(comparison)))
    return 1 if comparison.regressions else 0
