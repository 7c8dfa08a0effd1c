"""Run a target over a dataset and score its answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.to_thread

from tinyllm_actors.config import file_secrets
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.evals.cleaning import Cleaner, environment_secrets
from tinyllm_actors.evals.dataset import digest_of, load_examples
from tinyllm_actors.evals.function_evaluator import evaluator_spec
from tinyllm_actors.evals.lane import Lane
from tinyllm_actors.evals.records import EvalRun, Record, RecordLog, RunHeader
from tinyllm_actors.function import FunctionRef, unwrap
from tinyllm_actors.function.tracing import ExperimentItem, TracePosition
from tinyllm_actors.function.wrap import to_function_spec

if TYPE_CHECKING:
    import os

    from tinyllm_actors.evals.dataset import Dataset, Example
    from tinyllm_actors.kernel import ActorSystem
    from tinyllm_actors.llm import Budget

__all__ = ["OnRecord", "evaluate"]

OnRecord: TypeAlias = Callable[[Record, int, int], object]


async def evaluate(
    system: ActorSystem,
    target: Any,
    dataset: Dataset | Iterable[Example] | str | os.PathLike[str],
    evaluators: Sequence[Any],
    *,
    name: str | None = None,
    repeats: int = 1,
    max_concurrency: int = 4,
    timeout: float | None = 300.0,
    results: str | os.PathLike[str] | None = None,
    retry_errors: bool = False,
    budget: Budget | None = None,
    judge_budget: Budget | None = None,
    metadata: Mapping[str, Any] | None = None,
    on_record: OnRecord | None = None,
) -> EvalRun:
    """Call `target` with each example, score the answers, and return all of it.

    Records are written to `results` as they come. Called again with the same file, dataset and evaluators it runs what
    is missing there and nothing else, so a run can be interrupted at any time, the process killed included. Whether the
    target is still the same it cannot know: a changed one needs a file of its own, and the log says what was resumed.

    A call that fails is a record of its own without scores, an evaluator that fails one in `record.failed`; neither
    ends the run, and neither is a score.

    In a system that is traced, each call and its evaluators are a trace of their own, which knows its example and has
    the evaluators' scores; the record says where it is. Langfuse makes an experiment of these traces, and of those of a
    `LangfuseDataset` one that belongs to the dataset. Trace all of them (`sample_rate=1.0`), or it has holes.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.evals import Example, ExactMatch, evaluate, summarize
    >>> async def capital(country: str) -> str:
    ...     return {"France": "Paris", "Spain": "Barcelona"}[country]
    >>> cases = [
    ...     Example("fr", {"country": "France"}, expected="Paris"),
    ...     Example("es", {"country": "Spain"}, expected="Madrid"),
    ... ]
    >>> async def main() -> float:
    ...     async with ActorSystem("evals") as system:
    ...         run = await evaluate(system, capital, cases, [ExactMatch])
    ...     return summarize(run).metrics["exact_match"].interval.mean
    >>> anyio.run(main)
    0.5

    ```

    Args:
        system: where the actors live. They are stopped at the end.
        target: the spec of an agent or another Function, or a function: each example gets a fresh one. A reference is
            called as it is, with all that it remembers, and one call at a time.
        dataset: a `Dataset`, a file of JSON lines, or examples.
        evaluators: specs or classes of evaluators, and functions.
        name: of the run; left out, that of the dataset.
        repeats: how often each example is run. If in doubt 1; 3 or 5 show how much an answer changes by chance.
        max_concurrency: examples at the same time.
        timeout: seconds for one call of the target, and for each evaluation; None for no bound.
        results: the file to write, and to resume from; None keeps the records in memory only.
        retry_errors: when it resumes, run those again whose call or evaluation failed.
        budget: what all calls of the target together may use.
        judge_budget: what the evaluators may use.
        metadata: what to say of the run in its header, such as the model's name.
        on_record: called with each record, how many are done, and how many there will be.

    Raises:
        ConfigurationError: an argument has no meaning.
        DatasetInvalid: the dataset or the file of results cannot be used.
        TypeError: something can be no target or no evaluator.
    """
    if repeats < 1 or max_concurrency < 1:
        raise ConfigurationError(f"repeats and max_concurrency are 1 or more, got {repeats!r} and {max_concurrency!r}")
    specs = [evaluator_spec(what) for what in evaluators]
    spec = target if isinstance(target, FunctionRef) else to_function_spec(target)
    cleaner = Cleaner([*environment_secrets(), *await anyio.to_thread.run_sync(file_secrets)])
    source, examples = await load_examples(dataset)
    header = RunHeader(
        name=name or source,
        dataset=source,
        digest=await anyio.to_thread.run_sync(digest_of, examples),
        examples=len(examples),
        repeats=repeats,
        evaluators=[each.name or each.label for each in specs],
        started=time.time(),
        metadata=cleaner(dict(metadata or {})),
        dataset_id=getattr(dataset, "id", None),
    )
    path = None if results is None else Path(results)
    log = await anyio.to_thread.run_sync(lambda: RecordLog(path, header, retry_errors=retry_errors))
    try:
        work = [
            (example, repeat)
            for repeat in range(repeats)
            for example in examples
            if (example.id, repeat) not in log.done
        ]
        if log.done and path is not None:
            _tell_resumed(path, len(log.done), len(work))
        experiment = ExperimentItem(
            run_id=log.header.run_id,
            run=log.header.name,
            run_metadata=log.header.metadata,
            dataset=source,
            dataset_id=header.dataset_id,
        )
        lanes = [
            await system.spawn(
                Lane.spec(spec, specs, budget, judge_budget, timeout, cleaner, experiment, name="Example")
            )
            for _ in range(min(max_concurrency, len(work)))
        ]
        try:
            await _work_off(lanes, work, log, on_record)
        finally:
            with anyio.CancelScope(shield=True):
                for lane in lanes:
                    await lane.stop(timeout=5.0)
    finally:
        log.close()
    return log.run([example.id for example in examples])


def _tell_resumed(path: Path, done: int, left: int) -> None:
    """Say that a run goes on; who has changed the target and has forgotten the file would take old records for new."""
    if left:
        _log().info(f"the run goes on: {done} records are in {str(path)!r}, {left} are missing")
    else:
        _log().warning(f"nothing was run: all {done} records are in {str(path)!r}; for a new run give another file")


def _log() -> Any:
    import structlog  # the actor system has imported it by now

    return structlog.get_logger("tinyllm_actors.evals")


async def _work_off(
    lanes: Sequence[FunctionRef],
    work: Sequence[tuple[Example, int]],
    log: RecordLog,
    on_record: OnRecord | None,
) -> None:
    total = len(work) + len(log.done)
    queue = iter(work)
    done = len(log.done)
    error: Exception | None = None

    async def drive(lane: FunctionRef) -> None:
        nonlocal done, error
        TracePosition().take()  # each call is a trace of its own, also where this is called inside of one
        try:
            for example, repeat in queue:
                record: Record = unwrap(await lane.within(None)(example=example, repeat=repeat))["record"]
                # The write is short, but the disk may not be; and half a line must not be left behind.
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(log.append, record)
                done += 1
                if on_record is not None:
                    on_record(record, done, total)
        except Exception as raised:
            error = error or raised
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for lane in lanes:
            group.start_soon(drive, lane)
    if error is not None:
        raise error
