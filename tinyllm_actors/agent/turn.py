"""What is known of the run in progress: data, and how to end it validly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tinyllm_actors.agent.decision import open_calls
from tinyllm_actors.conversation.history_repair import interrupted
from tinyllm_actors.errors import FunctionFailed
from tinyllm_actors.llm import AssistantMessage, ToolCall, ToolMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinyllm_actors.conversation import Resumption
    from tinyllm_actors.llm import Completion, Message, UserMessage
    from tinyllm_actors.tool import ToolOutcome

__all__ = ["Turn", "with_fresh_ids"]


def with_fresh_ids(message: AssistantMessage, said: Iterable[Message]) -> AssistantMessage:
    """Return a message whose calls have ids that came nowhere before, nor twice in it.

    Some models count from the same number each time, and some give several calls the same.

    Args:
        message: what a model said.
        said: all messages before it.
    """
    taken = {call.id for other in said if isinstance(other, AssistantMessage) for call in other.tool_calls}
    ids = [call.id for call in message.tool_calls]
    if taken.isdisjoint(ids) and len(set(ids)) == len(ids):
        return message
    calls: list[ToolCall] = []
    for call in message.tool_calls:
        fresh, number = call.id, 2
        while fresh in taken:
            fresh = f"{call.id}-{number}"
            number += 1
        taken.add(fresh)
        calls.append(ToolCall(fresh, call.function))
    return msgspec.structs.replace(message, tool_calls=calls)


class Turn:
    """One question and what has come of it.

    Attributes:
        history: what the model is shown before the question.
        said: the question and what followed, oldest first.
        saved: how much of `said` is in the memory.
        steps: model calls so far.
        completion: what the model said last.
        outcomes: of the calls of the last message, by call id.
        partial: the text of an answer that is coming.
        reasks: how often the model was asked to correct its answer.
        resumption: what is known from before a crash, until the calls that it is about are settled.
    """

    __slots__ = ("completion", "history", "outcomes", "partial", "reasks", "resumption", "said", "saved", "steps")

    def __init__(self, history: list[Message], question: UserMessage, resumption: Resumption | None = None) -> None:
        self.history = history
        self.said: list[Message] = [question] if resumption is None else list(resumption.said)
        self.saved = 1
        self.steps = 0 if resumption is None else resumption.steps
        self.completion: Completion | None = None
        self.outcomes: dict[str, ToolOutcome] = {}
        self.partial: list[str] = []
        self.reasks = 0
        self.resumption = resumption

    def results(self) -> list[ToolMessage]:
        """Return one result for each open call, in their order; interrupted, where there is no outcome."""
        outcomes = self.outcomes
        return [
            ToolMessage(call.id, outcomes[call.id].content, call.name) if call.id in outcomes else interrupted(call)
            for call in open_calls(self.said)
        ]

    def close_calls(self) -> None:
        """Give every open call its result; results stand in the order of the calls, whichever were there before."""
        said = self.said
        group = len(said) - 1
        while isinstance(said[group], ToolMessage):
            group -= 1
        asked = said[group]
        assert isinstance(asked, AssistantMessage)
        known = [message for message in said[group + 1 :] if isinstance(message, ToolMessage)]
        closed = {message.tool_call_id: message for message in [*known, *self.results()]}
        said[group + 1 :] = [closed[call.id] for call in asked.tool_calls]
        self.outcomes = {}
        self.resumption = None

    def unsaved(self, error: BaseException) -> list[Message]:
        """Return what a run that broke off leaves behind: closed tool calls, and the part of an answer."""
        rest = self.said[self.saved :]
        if rest:
            return [*rest, *self.results()]
        partial = "".join(self.partial)
        if not partial and isinstance(error, FunctionFailed):
            partial = str(error.result["error"].get("partial") or "")
        return [AssistantMessage(content=partial)] if partial else []
