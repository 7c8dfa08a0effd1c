"""What an agent does next: a pure function of what was said so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tinyllm_actors.errors import StepLimitExceeded
from tinyllm_actors.llm import AssistantMessage, ToolCall, ToolMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.llm import Message

__all__ = ["Act", "Answer", "Decision", "GiveUp", "Think", "decide", "is_stuck"]


@dataclass(frozen=True, slots=True)
class Think:
    """Call the model; without tools if it repeats itself."""

    with_tools: bool = True


@dataclass(frozen=True, slots=True)
class Act:
    """Run these tool calls."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The run is finished: this is what the user gets."""

    message: AssistantMessage


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The run ends at a limit."""

    error: StepLimitExceeded


Decision: TypeAlias = Think | Act | Answer | GiveUp


def decide(run: Sequence[Message], *, steps: int, max_steps: int, tool_retries: int) -> Decision:
    """Return the next step.

    Args:
        run: what was said in this run, beginning with the user's message.
        steps: how often the model was called in this run.
        max_steps: how often it may be. Before the last time it is asked for an answer without tools.
        tool_retries: how often it may make the same calls with the same results before tools are withheld.
    """
    last = run[-1]
    if isinstance(last, AssistantMessage):
        return Act(tuple(last.tool_calls)) if last.tool_calls else Answer(last)
    if steps >= max_steps:
        return GiveUp(StepLimitExceeded(max_steps))
    return Think(with_tools=not is_stuck(run, tool_retries))


def is_stuck(run: Sequence[Message], repeats: int) -> bool:
    """Whether the last `repeats` rounds made the same calls and got the same results."""
    rounds: list[tuple[object, ...]] = []
    for message in reversed(run):
        if isinstance(message, ToolMessage):
            if not rounds or rounds[-1][0] == "closed":
                rounds.append(("open", message.content))
            else:
                rounds[-1] = (*rounds[-1], message.content)
        elif isinstance(message, AssistantMessage) and message.tool_calls and rounds:
            calls = tuple((call.name, call.arguments) for call in message.tool_calls)
            rounds[-1] = ("closed", *rounds[-1][1:], calls)
            if len(rounds) == repeats:
                return all(round_ == rounds[0] for round_ in rounds)
        else:
            break
    return False
