"""Make a `Completion` of what a provider said, and refuse what is not whole. Pure: no I/O, no clock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from sys import intern
from typing import TYPE_CHECKING, NoReturn

import msgspec

from tinyllm_actors.errors import MalformedResponse
from tinyllm_actors.llm.messages import AssistantMessage, FunctionCall, ToolCall
from tinyllm_actors.llm.model import Completion
from tinyllm_actors.llm.wire import (
    WireMessage,
    arguments_of,
    convert_answer,
    count_of,
    extras_of,
    finish_reason_of,
    text_of,
    usage_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.llm.model import FinishReason

__all__ = [
    "DEFAULT_LIMITS",
    "AnswerLimits",
    "assistant_message",
    "completion_from_wire",
    "describe_broken_call",
    "settled_reason",
    "unique_call_id",
    "whole_arguments",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """How much of a peer's answer is accepted; beyond it the call fails with `MalformedResponse`.

    The defaults are far above what any model says in one answer. Lower them where many answers are in memory at once.

    Attributes:
        max_characters: text, reasoning and tool arguments together, in characters.
        max_argument_characters: the arguments of one tool call, in characters.
        max_tool_calls: tool calls in one answer.
    """

    max_characters: int = 32 * 1024 * 1024
    max_argument_characters: int = 8 * 1024 * 1024
    max_tool_calls: int = 1024


DEFAULT_LIMITS = AnswerLimits()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


# Models put raw line breaks and tabs into JSON strings; what they mean is plain.
_lenient = json.JSONDecoder(strict=False, parse_constant=_no_constant)


def whole_arguments(text: str) -> str | None:
    """Return the arguments of a tool call as one JSON text, or None when they are cut short or no JSON.

    Nothing and `null` mean no arguments, `{}`. JSON text inside a JSON string is unwrapped, a repetition dropped.
    """
    text = text.strip()
    if not text:
        return "{}"
    try:
        value: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return _mended(text)
    if value is None:
        return "{}"
    if isinstance(value, str):
        inner = whole_arguments(value)
        return inner if inner is not None and inner.startswith("{") else text
    return text


def _mended(text: str) -> str | None:
    try:
        value, end = _lenient.raw_decode(text)
        rest = text[end:].strip()
        if rest and rest != text[:end]:
            return None
        return msgspec.json.encode(value).decode()
    except (ValueError, TypeError, RecursionError):
        return None


def describe_broken_call(name: str, reason: object) -> str:
    """Return a sentence on a tool call that must not run."""
    if not name:
        return "the answer holds a tool call without a name"
    hint = "; raise max_tokens" if finish_reason_of(reason) == "length" else ""
    return f"the arguments of tool call {name!r} are not whole JSON (the answer ended with {reason!r}){hint}"


def unique_call_id(wire_id: object, answer_id: str, slot: int, taken: set[str]) -> str:
    """Return an id for a tool call that no other call of the answer has, and note it in `taken`.

    The provider's own is kept where it can be. A made one depends on the answer's id and the call's place only, so
    that it is the same each time the same chunks are read, and differs between the answers of one conversation.
    """
    call_id = wire_id if isinstance(wire_id, str) else ""
    if not call_id:
        digest = blake2b(answer_id.encode("utf-8", "replace"), digest_size=8).hexdigest()
        call_id = f"call_{digest}_{slot}"
    unique, n = call_id, 2
    while unique in taken:
        unique, n = f"{call_id}_{n}", n + 1
    taken.add(unique)
    return unique


def assistant_message(text: str, calls: list[ToolCall], reasoning: str, refusal: str) -> AssistantMessage:
    """Return the message; one that would say nothing says `""`, since providers refuse a message without content."""
    content = text or None
    if content is None and not calls and not refusal:
        content = ""
    return AssistantMessage(content, calls, reasoning or None, refusal or None)


def settled_reason(reason: object, calls: list[ToolCall]) -> FinishReason:
    """Return why the answer ended; an answer with tool calls that ended well ended for them."""
    settled = finish_reason_of(reason)
    return "tool_calls" if calls and settled in ("stop", "unknown") else settled


def completion_from_wire(
    body: Mapping[str, object], model: str = "", *, limits: AnswerLimits = DEFAULT_LIMITS
) -> Completion:
    """Return the answer that a `chat.completion` dictionary holds.

    Args:
        body: the decoded body.
        model: the name for errors and, if the provider gives none, for the completion.
        limits: how much is accepted.

    Raises:
        MalformedResponse: it holds no answer, an incomplete tool call, or more than the limits allow.
    """
    answer = convert_answer(body)
    choice = answer.choices[0] if answer.choices else None
    wire = None if choice is None else choice.message or choice.delta
    if choice is None or wire is None:
        keys = ", ".join(sorted(map(str, body)))
        raise MalformedResponse(f"the provider's answer holds no message; its keys are: {keys:.200}", model=model)
    answer_id = answer.id if isinstance(answer.id, str) else ""
    text, thought = text_of(wire.content)
    thought = next((r for r in (thought, wire.reasoning_content, wire.reasoning) if r and isinstance(r, str)), "")
    calls = _whole_calls(wire, answer_id, choice.finish_reason, text, model, limits)
    size = len(text) + len(thought) + sum(len(call.arguments) for call in calls)
    if size > limits.max_characters:
        raise MalformedResponse(
            f"the answer has {size} characters; max_characters allows {limits.max_characters}",
            retryable=False,
            model=model,
        )
    extra = extras_of(body)
    if choice.logprobs is not None:
        extra["logprobs"] = choice.logprobs
    return Completion(
        message=assistant_message(text, calls, thought, wire.refusal if isinstance(wire.refusal, str) else ""),
        finish_reason=settled_reason(choice.finish_reason, calls),
        model=answer.model if isinstance(answer.model, str) and answer.model else model,
        id=answer_id,
        created=count_of(answer.created),
        usage=usage_of(answer.usage),
        extra=extra,
    )


def _whole_calls(
    wire: WireMessage, answer_id: str, reason: object, text: str, model: str, limits: AnswerLimits
) -> list[ToolCall]:
    pieces = wire.tool_calls or []
    if len(pieces) > limits.max_tool_calls:
        raise MalformedResponse(
            f"the answer has {len(pieces)} tool calls; max_tool_calls allows {limits.max_tool_calls}",
            retryable=False,
            model=model,
        )
    calls: list[ToolCall] = []
    taken: set[str] = set()
    for slot, piece in enumerate(pieces):
        function = piece.function
        name = (function.name if function is not None else None) or ""
        sent = arguments_of(function.arguments) if function is not None else ""
        if len(sent) > limits.max_argument_characters:
            raise MalformedResponse(
                f"the arguments of tool call {name!r} have {len(sent)} characters; max_argument_characters allows "
                f"{limits.max_argument_characters}",
                retryable=False,
                model=model,
            )
        arguments = whole_arguments(sent)
        if arguments is None or not name:
            raise MalformedResponse(
                describe_broken_call(name, reason),
                retryable=finish_reason_of(reason) != "length",
                partial=text,
                model=model,
            )
        # A conversation names few tools, each of them often: one string for all.
        calls.append(ToolCall(unique_call_id(piece.id, answer_id, slot, taken), FunctionCall(intern(name), arguments)))
    return calls
