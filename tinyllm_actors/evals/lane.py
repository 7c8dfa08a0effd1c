"""The actor that calls the target with one example after the other, and has the answers scored."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.agent import RunFinished, ToolFinished, ToolStarted
from tinyllm_actors.agent.ref import AgentRef
from tinyllm_actors.evals.records import Record
from tinyllm_actors.evals.trial import MadeCall, Trial
from tinyllm_actors.function import Function, FunctionRef, failure
from tinyllm_actors.function.tracing import current_observation
from tinyllm_actors.kernel import ActorRef, ChildSpec, Supervisor
from tinyllm_actors.llm import Budget

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar

    from tinyllm_actors.evals.cleaning import Cleaner
    from tinyllm_actors.evals.dataset import Example
    from tinyllm_actors.function import Result
    from tinyllm_actors.function.tracing import ExperimentItem, Observation

__all__ = ["Lane"]


class Lane(Function):
    """Runs one example at a time: a fresh target, its call, and the evaluators of its answer.

    Args:
        target: a spec, of which each example gets an actor of its own, so that none remembers another; or a reference.
        evaluators: specs of evaluators, which live as long as the lane.
        budget: what the target may use, in addition to what it has of its own.
        judge_budget: what the evaluators may use.
        timeout: seconds for one call of the target, and for each evaluation; None for no bound.
        cleaner: makes of values what may be written down.
        experiment: of which run its calls are, for traces.
        **options: of `Function`.
    """

    supervision: ClassVar[Supervisor | None] = Supervisor(max_restarts=100, period=10.0)

    def __init__(
        self,
        target: ChildSpec | FunctionRef,
        evaluators: Sequence[ChildSpec],
        budget: Budget | None,
        judge_budget: Budget | None,
        timeout: float | None,
        cleaner: Cleaner,
        experiment: ExperimentItem,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._target = target
        self._specs = evaluators
        self._refs: list[FunctionRef] = []
        self._budgets = (budget, judge_budget)
        self._timeout = timeout
        self._clean = cleaner
        self._experiment = experiment
        self._listens = any(getattr(spec.factory, "needs_tool_calls", False) for spec in evaluators)

    async def started(self) -> None:
        """Start the evaluators."""
        for index, spec in enumerate(self._specs):
            self._refs.append(await self.context.spawn(spec, name=f"evaluator-{index}"))
        await super().started()

    async def run(self, example: Example, repeat: int) -> dict[str, Record]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the record of one call."""
        seen = self._traced(example)
        spending = Budget(name="trial", parent=self._budgets[0])
        began = time.perf_counter()  # the clock of a loop may be a millisecond coarse
        with spending.active():
            result, calls = await self._answer(example)
        used = spending.used
        trial = Trial(
            example=example,
            repeat=repeat,
            latency=time.perf_counter() - began,
            tokens=used.tokens,
            cost=None if used.unpriced_calls else used.usd,
            model_calls=used.calls,
            tool_calls=calls,
        )
        found = await self._scored(trial, result, seen)
        record = Record(
            example=example.id,
            repeat=repeat,
            status=result["status"],
            input=self._clean(example.input),
            output=self._clean(result["output"]) if result["status"] == "success" else None,
            expected=self._clean(example.expected),
            error=self._clean.text(result["message"]) if result["status"] == "error" else None,
            latency=trial.latency,
            tokens=trial.tokens,
            cost=trial.cost,
            **found,
            **_place(seen),
        )
        return {"record": record}

    def _traced(self, example: Example) -> Observation | None:
        """Say in the trace which example this is; return its observation, None if nothing is traced."""
        seen = current_observation()
        if seen is None:
            return None
        shown: dict[str, Any] = {}
        if seen.hub.captures:
            seen.input = self._clean(example.input)
            shown = {"expected": self._clean(example.expected), "item_metadata": self._clean(example.metadata)}
        seen.experiment = replace(self._experiment, item=example.id, root=seen.span, **shown)
        return seen

    async def _answer(self, example: Example) -> tuple[Result, list[MadeCall] | None]:
        if isinstance(self._target, ActorRef):
            return await self._called(self._target, example)
        try:
            ref: FunctionRef = await self.context.spawn(self._target, name="target")
        except Exception as error:
            return failure(error, state="DELIVERY"), None
        try:
            return await self._called(ref, example)
        finally:
            await ref.stop(timeout=1.0)

    async def _called(self, ref: FunctionRef, example: Example) -> tuple[Result, list[MadeCall] | None]:
        ref = ref.within(self._timeout)
        if not (self._listens and isinstance(ref, AgentRef)):
            return await ref(**example.input), None
        calls: dict[str, MadeCall] = {}
        try:
            async with ref.stream(**example.input) as events:
                async for event in events:
                    if isinstance(event, ToolStarted):
                        calls[event.call_id] = MadeCall(event.name, event.arguments)
                    elif isinstance(event, ToolFinished):
                        outcome = event.outcome
                        begun = calls.get(outcome.call_id, MadeCall(outcome.name, "{}"))
                        calls[outcome.call_id] = MadeCall(begun.name, begun.arguments, outcome.status)
                    elif isinstance(event, RunFinished):
                        return event.result, list(calls.values())
        except Exception as error:
            return failure(error, state="DELIVERY"), list(calls.values())
        return failure(RuntimeError("the stream ended without a result"), state="DELIVERY"), list(calls.values())

    async def _scored(self, trial: Trial, result: Result, seen: Observation | None) -> dict[str, Any]:
        """Return the scores of an answer; a call that failed has none, so its record says only that."""
        evals: dict[str, float] = {}
        failed: dict[str, str] = {}
        comments: dict[str, str] = {}
        own = result.get("evaluations") or []
        spending = Budget(name="evaluators", parent=self._budgets[1])
        entries: list[dict[str, Any]] = list(own)
        if result["status"] == "success":
            with spending.active():
                for spec, ref in zip(self._specs, self._refs, strict=True):
                    answer = await ref.within(self._timeout)(
                        input=trial.example.input, output=result["output"], error=None, trial=trial
                    )
                    name = spec.name or spec.label
                    if answer["status"] == "error":
                        entries.append({"evaluator": name, "error": answer["message"]})
                    elif isinstance(answer["output"], dict):
                        given = cast("dict[str, Any]", answer["output"])
                        entries.append({"evaluator": name, **(given if "evals" in given else {"evals": given})})
                    else:
                        entries.append({"evaluator": name, "evals": {name: answer["output"]}})
        if seen is not None:
            seen.evaluations = entries[len(own) :]  # its own are in the trace already, at the target
            if result["status"] == "success":
                seen.output = self._clean(result["output"])
            else:
                seen.status, seen.error = "error", {**result["error"], "message": result["message"]}
        for entry in entries:
            name = str(entry["evaluator"])
            if "error" in entry:
                failed[name] = self._clean.text(str(entry["error"]))
                continue
            for key, value in entry.get("evals", {}).items():
                # Two evaluators may call their scores alike; neither is lost.
                evals[key if key not in evals else f"{name}.{key}"] = float(value)
            if entry.get("comment"):
                comments[name] = self._clean.text(str(entry["comment"]), 4000)
        used = spending.used
        return {
            "evals": evals,
            "failed": failed,
            "comments": comments,
            "judge_tokens": used.tokens,
            "judge_cost": None if used.unpriced_calls else used.usd,
        }


def _place(seen: Observation | None) -> dict[str, Any]:
    """Return where the trace of a call is."""
    if seen is None or not seen.sampled:
        return {}
    return {"trace_id": seen.trace_id, "observation_id": seen.id, "trace_url": seen.link}
