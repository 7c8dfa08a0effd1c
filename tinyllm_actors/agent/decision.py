"""What an agent does next: a pure function of what was said so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from tinyllm_actors.errors import RunStopped, StepLimitExceeded
from tinyllm_actors.llm import AssistantMessage, ToolCall, ToolMessage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tinyllm_actors.llm import Message

__all__ = [
    "HANDED_OVER",
    "Act",
    "Answer",
    "Decision",
    "GiveUp",
    "HandOff",
    "Listen",
    "Think",
    "Winding",
    "decide",
    "is_stuck",
    "open_calls",
]

HANDED_OVER: Final = "Another agent goes on from here."
"""The result of a call that hands the user over."""

Winding: TypeAlias = Literal["on", "answer", "stop"]
"""Whether a run goes on, shall come to an answer without more tools, or shall stop after the step in progress."""


@dataclass(frozen=True, slots=True)
class Think:
    """Call the model; without tools if it repeats itself, or must come to an end."""

    with_tools: bool = True


@dataclass(frozen=True, slots=True)
class Act:
    """Run these tool calls, which have no results yet."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Listen:
    """Take in what the user said meanwhile."""


@dataclass(frozen=True, slots=True)
class HandOff:
    """Another agent goes on: this call named it."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class Answer:
    """The run is finished: this is what the user gets."""

    message: AssistantMessage


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The run ends at a limit, or because somebody wants it to."""

    error: RunStopped


Decision: TypeAlias = Think | Act | Listen | HandOff | Answer | GiveUp


def decide(
    run: Sequence[Message],
    *,
    steps: int,
    max_steps: int,
    tool_retries: int,
    tools_left: bool = True,
    winding: Winding = "on",
    heard: bool = False,
    handoffs: Collection[str] = (),
    stopped: RunStopped | None = None,
) -> Decision:
    """Return the next step.

    ```python
    >>> from tinyllm_actors.agent.decision import decide
    >>> from tinyllm_actors.llm import UserMessage
    >>> decide([UserMessage("Hello?")], steps=0, max_steps=25, tool_retries=3)
    Think(with_tools=True)

    ```

    Args:
        run: what was said in this run, beginning with the user's message.
        steps: how often the model was called in this run.
        max_steps: how often it may be. The last time it is asked for an answer without tools.
        tool_retries: how often it may make the same calls with the same results before tools are withheld.
        tools_left: whether more tool calls are allowed.
        winding: whether the run was asked to end.
        heard: whether the user said something that is not in `run` yet.
        handoffs: the names of the calls that stand for another agent.
        stopped: why the run stops, if `winding` is `"stop"`.
    """
    last = run[-1]
    waiting = open_calls(run)
    if winding == "stop" and (waiting or not isinstance(last, AssistantMessage)):
        return GiveUp(stopped or RunStopped("the run was stopped"))
    if waiting:
        return Act(waiting)
    if heard:
        return Listen()
    if isinstance(last, AssistantMessage):
        return Answer(last)
    if isinstance(last, ToolMessage) and handoffs:
        handed_over = {m.tool_call_id for m in _results_last(run) if m.content == HANDED_OVER}
        for call in _asked_last(run).tool_calls:
            if call.id in handed_over and call.name in handoffs:
                return HandOff(call)
    if steps >= max_steps:
        return GiveUp(StepLimitExceeded(max_steps))
    last_chance = steps == max_steps - 1 and steps > 0
    return Think(
        with_tools=tools_left and winding == "on" and not last_chance and not is_stuck(run, tool_retries),
    )


def open_calls(run: Sequence[Message]) -> tuple[ToolCall, ...]:
    """Return the tool calls of the last model message that have no result yet."""
    last = run[-1]
    if isinstance(last, AssistantMessage):
        return tuple(last.tool_calls)
    if not isinstance(last, ToolMessage):
        return ()
    answered: set[str] = set()
    for message in reversed(run):
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
        elif isinstance(message, AssistantMessage):
            return tuple(call for call in message.tool_calls if call.id not in answered)
        else:
            break
    return ()


def _results_last(run: Sequence[Message]) -> Iterator[ToolMessage]:
    for message in reversed(run):
        if not isinstance(message, ToolMessage):
            return
        yield message


def _asked_last(run: Sequence[Message]) -> AssistantMessage:
    for message in reversed(run):
        if isinstance(message, AssistantMessage):
            return message
    raise AssertionError("a result without a call")


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
