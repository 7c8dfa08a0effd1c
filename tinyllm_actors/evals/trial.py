"""What is being scored in a run over a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.evals.dataset import Example

__all__ = ["MadeCall", "Trial"]


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A tool call that an agent made.

    Attributes:
        name: of the tool.
        arguments: as JSON text.
        status: how it ended: `"success"` or a kind of failure; `""` while that is not known.
    """

    name: str
    arguments: str
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One call of the target with one example.

    Attributes:
        example: the example, with what was expected.
        repeat: which of the repeated runs, counted from 0.
        latency: seconds until the answer was whole.
        tokens: of all model calls of the target.
        cost: US dollars of these; None if a price is unknown, which is not 0.
        model_calls: how many there were.
        tool_calls: in the order in which they began; None if nobody listened.
    """

    example: Example
    repeat: int = 0
    latency: float = 0.0
    tokens: int = 0
    cost: float | None = None
    model_calls: int = 0
    tool_calls: Sequence[MadeCall] | None = None
