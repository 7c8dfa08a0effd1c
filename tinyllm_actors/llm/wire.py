"""What a provider sends, as OpenAI's chat API shapes it, decoded without trusting it.

One shape serves whole answers (`message`) and pieces of streamed ones (`delta`). Fields that providers fill in
different ways are `object`: they are looked at, not believed. Decoding into these structs costs less than decoding
into dictionaries and drops what nobody reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import msgspec

from tinyllm_actors.errors import MalformedResponse
from tinyllm_actors.llm.model import FinishReason, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "WireAnswer",
    "WireChoice",
    "WireFunction",
    "WireMessage",
    "WireToolCall",
    "arguments_of",
    "as_list",
    "as_object",
    "convert_answer",
    "count_of",
    "decode_answer",
    "extras_of",
    "finish_reason_of",
    "is_complete_json",
    "text_of",
    "usage_of",
]


class WireFunction(msgspec.Struct):
    """The function of a tool call; `arguments` is text, a piece of text, or an object."""

    name: str | None = None
    arguments: object = None


class WireToolCall(msgspec.Struct):
    """A tool call or a piece of one; any field may be missing."""

    index: int | None = None
    id: object = None
    function: WireFunction | None = None


class WireMessage(msgspec.Struct):
    """What the model said, or a piece of it; `content` is text or a list of parts."""

    content: object = None
    tool_calls: list[WireToolCall] | None = None
    reasoning_content: object = None
    reasoning: object = None
    refusal: object = None


class WireChoice(msgspec.Struct):
    """One alternative; only the one at index 0 is read."""

    index: int | None = 0
    delta: WireMessage | None = None
    message: WireMessage | None = None
    finish_reason: object = None
    logprobs: object = None


class WireAnswer(msgspec.Struct):
    """A whole answer (`chat.completion`), a piece of one (`chat.completion.chunk`), or an error in place of one."""

    id: object = None
    model: object = None
    created: object = None
    choices: list[WireChoice] | None = None
    usage: object = None
    error: object = None


_decoder = msgspec.json.Decoder(WireAnswer, strict=False)

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
}
_READ_AT_TOP = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
_READ_IN_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "logprobs"})
_READ_IN_MESSAGE = frozenset({"role", "content", "tool_calls", "reasoning_content", "reasoning", "refusal"})
_READ_IN_USAGE = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


def decode_answer(data: bytes | str) -> WireAnswer:
    """Return the answer, or the piece of one, that JSON text holds.

    Raises:
        MalformedResponse: it is no JSON, or of another shape.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedResponse(f"the provider sent something that is no chat completion: {error}") from error


def convert_answer(value: Mapping[str, object]) -> WireAnswer:
    """Return the answer, or the piece of one, that a dictionary holds.

    Raises:
        MalformedResponse: it is of another shape.
    """
    try:
        return msgspec.convert(value, WireAnswer, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise MalformedResponse(f"the provider sent something that is no chat completion: {error}") from error


def as_object(value: object) -> TypeGuard[dict[str, object]]:
    """Tell whether `value`, which was decoded from JSON, is an object."""
    return isinstance(value, dict)


def as_list(value: object) -> TypeGuard[list[object]]:
    """Tell whether `value`, which was decoded from JSON, is an array."""
    return isinstance(value, list)


def text_of(content: object) -> tuple[str, str]:
    """Return the text and the reasoning that a `content` holds, be it text, a list of parts, or nothing."""
    if isinstance(content, str):
        return content, ""
    if not as_list(content):
        return "", ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif as_object(part):
            kind = part.get("type")
            value = part.get("text")
            if kind in ("thinking", "reasoning"):
                # Mistral nests text parts below `thinking`; others put the text there.
                nested = text_of(part.get("thinking", value))[0]
                thoughts.append(nested)
            elif isinstance(value, str):
                texts.append(value)
    return "".join(texts), "".join(thoughts)


def arguments_of(value: object) -> str:
    """Return arguments as JSON text, whichever way they were sent; nothing is empty text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return msgspec.json.encode(value).decode()


def is_complete_json(text: str) -> bool:
    """Tell whether `text` is one whole JSON value."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def finish_reason_of(value: object) -> FinishReason:
    """Return the reason in our terms; what nobody has heard of is `"unknown"`."""
    return _FINISH_REASONS.get(value.lower(), "unknown") if isinstance(value, str) else "unknown"


def count_of(value: object) -> int:
    """Return a count or a time in whole units; 0 when it is no sensible number."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**53 else 0


def usage_of(value: object) -> Usage | None:
    """Return the tokens that a `usage` object counts, or None when there is none."""
    if not as_object(value):
        return None
    prompt, completion = count_of(value.get("prompt_tokens")), count_of(value.get("completion_tokens"))
    of_prompt, of_answer = value.get("prompt_tokens_details"), value.get("completion_tokens_details")
    cached = of_prompt.get("cached_tokens") if as_object(of_prompt) else None
    thought = of_answer.get("reasoning_tokens") if as_object(of_answer) else None
    return Usage(
        prompt,
        completion,
        count_of(value.get("total_tokens")) or prompt + completion,
        cached_tokens=count_of(cached) or count_of(value.get("prompt_cache_hit_tokens")),
        reasoning_tokens=count_of(thought),
    )


def extras_of(body: Mapping[str, object]) -> dict[str, object]:
    """Return what a provider said beyond what a `Completion` has fields for; the outermost wins a clash of names."""
    extras: dict[str, object] = {}

    def keep(source: object, read: frozenset[str]) -> None:
        if as_object(source):
            for key, value in source.items():
                if key not in read and value is not None:
                    extras.setdefault(key, value)

    keep(body, _READ_AT_TOP)
    choices = body.get("choices")
    choice = choices[0] if as_list(choices) and choices else None
    if as_object(choice):
        keep(choice, _READ_IN_CHOICE)
        keep(choice.get("message"), _READ_IN_MESSAGE)
    details: dict[str, object] = {}
    usage = body.get("usage")
    if as_object(usage):
        details = {key: value for key, value in usage.items() if key not in _READ_IN_USAGE and value is not None}
    if details:
        extras.setdefault("usage_details", details)
    return extras
