"""One model call of a run: plain, or told as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from tinyllm_actors.agent import events
from tinyllm_actors.agent.growing import Growing
from tinyllm_actors.function import unwrap
from tinyllm_actors.llm import ReasoningDelta, TextDelta, ToolCallDelta

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.agent.parts import Parts
    from tinyllm_actors.function import Result
    from tinyllm_actors.llm import ChatRequest, Completion, StructuredOutput

__all__ = ["Tally", "ask_model"]


class Tally:
    """What the model calls of a run have used, as far as providers said.

    Attributes:
        tokens: of prompts and answers.
        cost: US dollars; None as soon as a price is not known.
    """

    __slots__ = ("cost", "tokens")

    def __init__(self) -> None:
        self.tokens = 0
        self.cost: float | None = 0.0

    def count(self, completion: Completion) -> None:
        """Add one answer."""
        usage = completion.usage
        if usage is None:
            self.cost = None
            return
        self.tokens += usage.total_tokens
        self.cost = None if usage.cost is None or self.cost is None else self.cost + usage.cost


async def ask_model(
    parts: Parts,
    request: ChatRequest,
    partial: list[str],
    tell: Callable[[Any], Awaitable[None]] | None,
    run_id: int,
    step: int,
) -> Completion:
    """Return the model's answer.

    Args:
        parts: of the agent.
        request: what is asked.
        partial: takes the text as it comes.
        tell: takes the events; None if nobody reads them.
        run_id: of the events.
        step: likewise.

    Raises:
        FunctionFailed: the call failed.
    """
    llm = parts.llm.within(None)  # bounded by its idle time-out
    arguments: dict[str, Any] = {"request": request}
    if parts.output is not None:
        arguments["output"] = parts.output
    if tell is None:
        return _settled(unwrap(await llm(**arguments))["completion"], parts.output)
    growing = None if parts.output is None else Growing(parts.output)
    async with llm.stream(**arguments) as stream:
        async for event in stream:
            if type(event) is TextDelta:
                partial.append(event.text)
                await tell(events.TextDelta(event.text, run_id, step))
            elif isinstance(event, dict):
                return _settled(unwrap(cast("Result", event))["completion"], parts.output)
            elif type(event) is ToolCallDelta:
                await tell(events.ToolCallDelta(event.index, event.id, event.name, event.arguments, run_id, step))
            elif type(event) is ReasoningDelta:
                await tell(events.ReasoningDelta(event.text, run_id, step))
            if growing is not None and (value := growing.feed(event)) is not None:
                await tell(events.PartialOutput(value, run_id, step))
    raise RuntimeError("the model's stream ended without a result")


def _settled(completion: Completion, output: StructuredOutput[Any] | None) -> Completion:
    """Return a completion whose structured answer is text, though the model may have given it as a call."""
    if output is None or not completion.message.tool_calls:
        return completion
    calls, answer = output.split(completion.message)
    if calls or answer is None:
        return completion
    return msgspec.structs.replace(completion, message=output.settled(completion))
