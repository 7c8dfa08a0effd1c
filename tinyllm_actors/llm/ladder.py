"""Which rung of an output's ladder each model is on, remembered so that a provider refuses a rung once only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from tinyllm_actors.errors import ModelError
    from tinyllm_actors.llm.model import ChatModel, ChatRequest
    from tinyllm_actors.llm.structured import StructuredOutput

__all__ = ["Ladder", "LadderMemory"]


class LadderMemory:
    """How many rungs of each output's ladder each model has refused."""

    __slots__ = ("_refused",)

    def __init__(self) -> None:
        # Made when it is needed: it takes 700 bytes, of each agent, and most never ask for a type.
        self._refused: WeakKeyDictionary[StructuredOutput[Any], dict[str, int]] | None = None

    def of(self, output: StructuredOutput[Any]) -> dict[str, int]:
        """Return the counts for one output, by the names of the models."""
        if self._refused is None:
            self._refused = WeakKeyDictionary()
        return self._refused.setdefault(output, {})


class Ladder:
    """The way down of one call.

    Args:
        output: what the call shall answer.
        refused: how many rungs each model has refused; kept up to date.
    """

    __slots__ = ("_asked", "_output", "_refused")

    def __init__(self, output: StructuredOutput[Any], refused: dict[str, int]) -> None:
        self._output = output
        self._refused = refused
        self._asked: tuple[ChatModel, int] | None = None

    def prepare(self, request: ChatRequest, model: ChatModel) -> ChatRequest:
        """Return `request` for the rung that `model` is on."""
        step = self._refused.get(model.name, 0)
        self._asked = model, step
        return self._output.prepare(request, model.capabilities, step)

    def steps_down(self, error: ModelError) -> bool:
        """Tell whether the call that was prepared last failed because of its rung, and there is another one."""
        if self._asked is None:
            return False
        model, step = self._asked
        if not self._output.steps_down(error, model.capabilities, step):
            return False
        self._refused[model.name] = max(step + 1, self._refused.get(model.name, 0))
        return True
