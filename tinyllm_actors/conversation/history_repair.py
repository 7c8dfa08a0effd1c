"""Make any history one that a model accepts: pure, deterministic, and nothing to do the second time.

A crash, a cancel or a cut can leave a call without a result, or a result without its call. Providers refuse such a
history as a whole, so it is mended before it is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyllm_actors.llm.messages import AssistantMessage, Message, ToolCall, ToolMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["INTERRUPTED", "interrupted", "repair"]

INTERRUPTED = "Error: this call was interrupted; whether it took effect is not known"


def interrupted(call: ToolCall) -> ToolMessage:
    """Return the result of a call that nobody knows the result of."""
    return ToolMessage(call.id, INTERRUPTED, call.name)


def repair(messages: Sequence[Message]) -> list[Message]:
    """Return a valid history that keeps every completed result.

    A call without a result gets one that says it was interrupted; a result without its call, a second result for the
    same call, and an assistant message with nothing in it are left out. Results follow their message in the order of
    its calls.
    """
    if all(type(message) is not ToolMessage and not _questionable(message) for message in messages):
        return list(messages)
    found: list[Message] = []
    index = 0
    while index < len(messages):
        message = messages[index]
        index += 1
        if isinstance(message, ToolMessage):
            continue  # its call is not right before it
        if not isinstance(message, AssistantMessage):
            found.append(message)
            continue
        if not message.tool_calls:
            if message.content or message.refusal or message.reasoning_content:
                found.append(message)
            continue
        results: dict[str, ToolMessage] = {}
        while index < len(messages) and isinstance(result := messages[index], ToolMessage):
            results.setdefault(result.tool_call_id, result)
            index += 1
        found.append(message)
        found += [results.get(call.id) or interrupted(call) for call in message.tool_calls]
    return found


def _questionable(message: Message) -> bool:
    return isinstance(message, AssistantMessage) and bool(message.tool_calls or not message.content)
