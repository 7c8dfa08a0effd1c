"""The port to evaluators: Functions that score the output of another. They never fail the call they score."""

from __future__ import annotations

from itertools import chain, count
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.errors import StartFailed
from tinyllm_actors.function.result import failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.function.function import Function
    from tinyllm_actors.function.result import Result

__all__ = ["EvaluatorSet"]


class EvaluatorSet:
    """The evaluators of one place in a Function, started as its children.

    Each is called with `input` (the call's arguments), `output` (None after a failure) and `error` (the error
    dictionary, None after a success) and answers a dictionary of scores, or a single number; or None, if it has nothing
    to say of this call.

    Args:
        owner: the Function they belong to.
        evaluators: specs, things with a `spec()`, or plain functions.
        prefix: put in front of the names of their scores, `"proc:"` for processed output.
    """

    def __init__(self, owner: Function, evaluators: Sequence[Any], prefix: str) -> None:
        self._owner = owner
        self._evaluators = list(evaluators)
        self._prefix = prefix
        self._refs: dict[int, Any] = {}
        self._seen_message = 0

    def __bool__(self) -> bool:
        return bool(self._evaluators)

    async def start(self) -> None:
        """Spawn them.

        Raises:
            StartFailed: one did not start.
        """
        for index in range(len(self._evaluators)):
            await self._ref(index)

    async def _ref(self, index: int) -> Any:
        if index not in self._refs:
            from tinyllm_actors.function.wrap import to_function_spec  # a Function may have evaluators: an import cycle

            context = self._owner.context
            spec = to_function_spec(self._evaluators[index], observation_kind="evaluator")
            name = spec.name or spec.label
            taken = {child.name for child in context.children}
            names = chain([name], (f"{name}-{number}" for number in count(2)))
            free = next(candidate for candidate in names if candidate not in taken)
            self._refs[index] = await context.spawn(spec, name=free)
        return self._refs[index]

    async def evaluate(self, *, input: Any, output: Any, error: Any, unseen_only: bool = False) -> list[dict[str, Any]]:
        """Return what each evaluator says; one that fails says so.

        Args:
            input: the arguments of the call.
            output: what is scored.
            error: the error dictionary, if there is nothing to score.
            unseen_only: nothing if they have run for this call already.
        """
        message_id = self._owner.context.message_id
        if unseen_only and self._seen_message == message_id:
            return []
        self._seen_message = message_id
        found: list[dict[str, Any]] = []
        for index in range(len(self._evaluators)):
            try:
                ref = await self._ref(index)  # started() has started it, unless a subclass does not call ours
            except StartFailed as failed:
                name = failed.path.rpartition("/")[2]
                result: Result = failure(failed, state="DELIVERY")
            else:
                name = ref.name
                result = await ref(input=input, output=output, error=error)
            entry: dict[str, Any] = {"evaluator": name}
            if result["status"] == "error":
                entry["error"] = result["message"]
            elif result["output"] is None:
                continue
            else:
                entry.update(self._scores(name, result["output"]))
            found.append(entry)
        return found

    def _scores(self, name: str, answer: Any) -> dict[str, Any]:
        """Bring what an evaluator answered into one shape: `{"evals": {name: score}, …}`."""
        if not isinstance(answer, dict):
            return {"evals": {f"{self._prefix}{name}": answer}}
        given = cast("dict[str, Any]", answer)
        scores = cast("dict[str, Any]", given.get("evals", given))
        if not isinstance(scores, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - the evaluator is the user's
            return {"error": f"'evals' must be a dictionary of scores, not {type(scores).__name__}"}
        rest = {key: given[key] for key in ("comment", "metadata") if key in given and "evals" in given}
        return {
            "evals": {f"{self._prefix}{key}": value for key, value in scores.items()},
            **rest,
        }
