"""Make any history one that a model accepts: pure, deterministic, and nothing to do the second time.

A crash, a cancel or a cut can leave a call without a result, or a result without its call. Providers refuse such a
history as a whole, so it is mended before it is sent:

- an open call gets a result that says that it was interrupted;
- a result without its call, and a second result of the same call, are left out;
- results follow their message in the order of its calls;
- a call id that came before, anywhere, is renamed together with its result;
- arguments that are no JSON object are wrapped into one, as they were written; no arguments are `{}`;
- a message with nothing in it is left out, and a result with nothing in it says so.

What a model demands of the order of roles is another matter: see `llm.fit_roles`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tinyllm_actors.llm.messages import AssistantMessage, FunctionCall, ToolCall, ToolMessage, UserMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.llm.messages import Message

__all__ = ["INTERRUPTED", "interrupted", "repair"]

INTERRUPTED: Final = "Error: this call was interrupted; whether it took effect is not known"
NOTHING: Final = "(no output)"

_object: Final[msgspec.json.Decoder[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def interrupted(call: ToolCall) -> ToolMessage:
    """Return the result of a call that nobody knows the result of."""
    return ToolMessage(call.id, INTERRUPTED, call.name)


def repair(messages: Sequence[Message]) -> list[Message]:
    """Return a valid history that keeps every completed result; the module says how.

    ```python
    >>> from tinyllm_actors.llm import AssistantMessage, FunctionCall, ToolCall, UserMessage
    >>> look = AssistantMessage(tool_calls=[ToolCall("a", FunctionCall("look"))])
    >>> [message.content for message in repair([UserMessage("?"), look])]
    ['?', None, 'Error: this call was interrupted; whether it took effect is not known']

    ```
    """
    if all(type(message) is not ToolMessage and not _questionable(message) for message in messages):
        return list(messages)
    found: list[Message] = []
    taken: dict[str, int] = {}  # ids, and the first number that may be free behind each
    index = 0
    while index < len(messages):
        message = messages[index]
        index += 1
        if isinstance(message, ToolMessage):
            continue  # its call is not right before it
        if not isinstance(message, AssistantMessage) or not message.tool_calls:
            if not _empty(message):
                found.append(message)
            continue
        results: dict[str, list[ToolMessage]] = {}
        while index < len(messages) and isinstance(result := messages[index], ToolMessage):
            results.setdefault(result.tool_call_id, []).append(result)
            index += 1
        found += _group(message, results, taken)
    return found


def _group(message: AssistantMessage, results: dict[str, list[ToolMessage]], taken: dict[str, int]) -> list[Message]:
    """Return a message with its calls, mended, and exactly one result for each."""
    calls: list[ToolCall] = []
    closed: list[Message] = []
    for call in message.tool_calls:
        name = call.name
        call_id, arguments = _free_id(call.id, taken), _arguments(call.arguments)
        same = call_id == call.id and arguments == call.arguments
        mended = call if same else ToolCall(call_id, FunctionCall(name, arguments))
        taken[mended.id] = 2
        calls.append(mended)
        mine = results.get(call.id)
        if mine:  # of two calls under one id, the first result is the first one's
            result = mine.pop(0)
            closed.append(
                result
                if result.tool_call_id == mended.id and result.content
                else msgspec.structs.replace(result, tool_call_id=mended.id, content=result.content or NOTHING)
            )
        else:
            closed.append(interrupted(mended))
    if calls != message.tool_calls or message.content == "":
        message = msgspec.structs.replace(message, tool_calls=calls, content=message.content or None)
    return [message, *closed]


def _free_id(call_id: str, taken: dict[str, int]) -> str:
    call_id = call_id or "call"
    if call_id not in taken:
        return call_id
    # Where a model names its calls alike in every turn, trying all numbers anew would take hours for a long history.
    number = taken[call_id]
    while f"{call_id}-{number}" in taken:
        number += 1
    taken[call_id] = number + 1
    return f"{call_id}-{number}"


def _arguments(written: str) -> str:
    if not written.strip():
        return "{}"
    try:
        _object.decode(written)
    except (msgspec.DecodeError, UnicodeError):
        text = written.encode("utf-8", "replace").decode()
        return msgspec.json.encode({"not_json": text}).decode()
    return written


def _empty(message: Message) -> bool:
    if isinstance(message, AssistantMessage):
        return not (message.content or message.refusal or message.reasoning_content)
    return isinstance(message, UserMessage) and not message.content


def _questionable(message: Message) -> bool:
    if isinstance(message, AssistantMessage):
        return bool(message.tool_calls or not message.content)
    return isinstance(message, UserMessage) and not message.content
