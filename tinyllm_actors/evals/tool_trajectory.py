"""Whether an agent called the tools that it should have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias, cast

import msgspec

from tinyllm_actors.errors import ConfigurationError, EvaluationFailed
from tinyllm_actors.evals.evaluator import Evaluator

__all__ = ["ToolTrajectory"]

Order: TypeAlias = Literal["same", "any", "within"]


class ToolTrajectory(Evaluator):
    """Scores the tool calls of an agent's run over a dataset against those that are expected.

    `tool_precision` is the share of the calls made that were expected, `tool_recall` the share of the expected ones
    that were made, `tool_trajectory` 1 if the calls are as `order` says, `tool_success` the share that succeeded.

    What is expected is the `tool_calls` of the example's metadata, or the argument: names, or dictionaries with `name`
    and, if they matter, `arguments`, of which those given have to be equal.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Agent
    >>> from tinyllm_actors.evals import Example, ToolTrajectory, evaluate
    >>> from tinyllm_actors.testing import ScriptedModel, text, tool_call
    >>> def add(a: int, b: int) -> int:
    ...     '''Add two numbers.'''
    ...     return a + b
    >>> async def main() -> dict[str, float]:
    ...     agent = Agent.spec(model=ScriptedModel([tool_call("add", a=1, b=2), text("3")]), tools=[add])
    ...     expected = [{"name": "add", "arguments": {"a": 1}}]
    ...     case = Example("sum", {"content": "1 + 2?"}, metadata={"tool_calls": expected})
    ...     async with ActorSystem("evals") as system:
    ...         run = await evaluate(system, agent, [case], [ToolTrajectory])
    ...     return run.records[0].evals
    >>> anyio.run(main)
    {'tool_precision': 1.0, 'tool_recall': 1.0, 'tool_trajectory': 1.0, 'tool_success': 1.0}

    ```

    Args:
        expected: the calls, if they are the same for all examples.
        order: `"same"`: these calls and no others, in this order; `"any"`: these and no others, in any order;
            `"within"`: these in this order, and others between them.
        **options: of `Evaluator`.

    Raises:
        ConfigurationError: there is no such order.
    """

    needs_tool_calls: ClassVar[bool] = True

    def __init__(self, expected: Sequence[Any] | None = None, *, order: Order = "same", **options: Any) -> None:
        super().__init__(**options)
        if order not in ("same", "any", "within"):
            raise ConfigurationError(f"order must be 'same', 'any' or 'within', not {order!r}")
        self._expected = expected
        self._order: Order = order

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Compare."""
        trial = self.trial
        if trial is None or trial.tool_calls is None:
            raise EvaluationFailed(f"{self.name} scores runs of agents over datasets; nobody told it of tool calls")
        expected = self._expected
        if expected is None:
            expected = trial.example.metadata.get("tool_calls")
        if not isinstance(expected, Sequence) or isinstance(expected, str):
            raise EvaluationFailed(f"{self.name} has nothing to compare with: give metadata={{'tool_calls': [...]}}")
        wanted = [_wanted(entry) for entry in cast("Sequence[Any]", expected)]
        made = [(call.name, _arguments(call.arguments)) for call in trial.tool_calls]
        pairs = _matched(wanted, made)
        positions = [pairs[index] for index in range(len(wanted)) if index in pairs]
        whole = len(pairs) == len(wanted)
        in_order = _subsequence(wanted, made)
        right = {
            "same": in_order and len(made) == len(wanted),
            "any": whole and len(made) == len(wanted),
            "within": in_order,
        }[self._order]
        succeeded = [call.status == "success" for call in trial.tool_calls]
        return {
            "evals": {
                "tool_precision": len(positions) / len(made) if made else float(not wanted),
                "tool_recall": len(positions) / len(wanted) if wanted else 1.0,
                "tool_trajectory": float(right),
                "tool_success": sum(succeeded) / len(succeeded) if succeeded else 1.0,
            },
            "comment": "called: " + (", ".join(name for name, _ in made[:20]) or "nothing"),
        }


def _wanted(entry: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and isinstance(entry.get("name"), str):  # pyright: ignore[reportUnknownMemberType]
        given = cast("Mapping[str, Any]", entry)
        return given["name"], given.get("arguments") or {}
    raise EvaluationFailed(f"an expected tool call is a name, or a dictionary with 'name'; not {entry!r}")


def _arguments(text: str) -> Mapping[str, Any]:
    try:
        value: object = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {}
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _fits(wanted: tuple[str, Mapping[str, Any]], made: tuple[str, Mapping[str, Any]]) -> bool:
    missing = object()
    return wanted[0] == made[0] and all(made[1].get(key, missing) == value for key, value in wanted[1].items())


def _matched(wanted: Sequence[Any], made: Sequence[Any]) -> dict[int, int]:
    """Return which call made is which expected one, as many as can be: augmenting paths, as calls may fit several."""
    owner: dict[int, int] = {}

    def give(index: int, seen: set[int]) -> bool:
        for place, call in enumerate(made):
            if place not in seen and _fits(wanted[index], call):
                seen.add(place)
                if place not in owner or give(owner[place], seen):
                    owner[place] = index
                    return True
        return False

    for index in range(min(len(wanted), 500)):  # bounds the recursion
        give(index, set())
    return {index: place for place, index in owner.items()}


def _subsequence(wanted: Sequence[Any], made: Sequence[Any]) -> bool:
    calls = iter(made)
    return all(any(_fits(one, call) for call in calls) for one in wanted)
