"""A structured answer while it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.llm import TextDelta, ToolCallDelta

if TYPE_CHECKING:
    from tinyllm_actors.llm import StructuredOutput

__all__ = ["Growing"]

FIRST: Final = 16
"""Characters before the first look."""


class Growing:
    """Reads the pieces of an answer.

    Each look costs a pass over all of the text, so there is one whenever it has grown by a quarter: a long answer is
    read a few times over, not once for each piece.

    Args:
        output: what the answer shall be.
    """

    def __init__(self, output: StructuredOutput[Any]) -> None:
        self._output = output
        self._pieces: list[str] = []
        self._size = 0
        self._next = FIRST
        self._last: Any = None

    def feed(self, event: object) -> Any:
        """Take in an event of the model's. Returns the value so far, if it is worth showing again, else None."""
        if isinstance(event, TextDelta):
            piece = event.text
        elif isinstance(event, ToolCallDelta) and event.name == self._output.tool_name:
            piece = event.arguments
        else:
            return None
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size < self._next:
            return None
        self._next = self._size + max(FIRST, self._size // 4)
        text = "".join(self._pieces)
        self._pieces = [text]
        value = self._output.partial(text)
        if value is None or value == self._last:
            return None
        self._last = value
        return value
