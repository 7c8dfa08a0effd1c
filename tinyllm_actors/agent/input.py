"""What an agent may be asked."""

from __future__ import annotations

from typing import Any, LiteralString

import msgspec

from tinyllm_actors.llm.messages import ContentPart

__all__ = ["check_input"]


def check_input(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an agent's call if `content` is text, or parts, which may be in their wire form.

    By hand, as a pydantic model would double the time it takes to import an agent.

    Raises:
        pydantic.ValidationError: there is no content, or it is empty, or it is something else.
    """
    content = arguments.get("content")
    if isinstance(content, str) and content.strip():
        return arguments
    if isinstance(content, list) and content:
        try:
            return {**arguments, "content": msgspec.convert(content, list[ContentPart])}
        except msgspec.ValidationError as error:
            raise _refusal("message_part", "a part of the message is none: {why}", content, why=str(error)) from error
    if content is None:
        problem = ("missing_message", "there is no message; pass what the user said as content='…'")
    elif isinstance(content, str | list):
        problem = ("empty_message", "the message is empty; pass what the user said as content='…'")
    else:
        problem = ("message_type", "a message is text, or a list of parts; pass what the user said as content='…'")
    raise _refusal(*problem, content)


def _refusal(kind: LiteralString, message: LiteralString, content: Any, **context: str) -> Exception:
    from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError  # only bad input needs it

    detail = InitErrorDetails(type=PydanticCustomError(kind, message, context), loc=("content",), input=content)
    return ValidationError.from_exception_data("AgentInput", [detail])
