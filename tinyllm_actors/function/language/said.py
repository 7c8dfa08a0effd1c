"""What is said in a message, whatever kind of message it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Said", "characters_of", "question_of", "text_of"]

PART_CHARACTERS: Final = 4_500
"""What a picture or a file counts for: as much text as has the 1,500 tokens that it is estimated at."""


class Said(msgspec.Struct, frozen=True):
    """A message that a memory or a prompt makes of its own: who says it, and a text.

    It encodes to the wire form as it is; `llm.as_messages` makes the messages of a model of it.

    ```python
    >>> import msgspec
    >>> msgspec.json.encode(Said("user", "The summary of what was said: …")).decode()
    '{"role":"user","content":"The summary of what was said: …"}'

    ```
    """

    role: Literal["system", "user", "assistant"]
    content: str


def text_of(message: Any) -> str:
    """Return the text of a message: of its parts, one a line; pictures and files say nothing.

    ```python
    >>> text_of(Said("user", "Hello"))
    'Hello'

    ```
    """
    content = getattr(message, "content", message)
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in cast("Sequence[Any]", content):
        text: Any = cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else getattr(part, "text", None)
        if isinstance(text, str):
            texts.append(text)
    return "\n".join(texts)


def characters_of(message: Any) -> int:
    """Return how many characters a model reads in a message: its text, and the names and arguments of its calls.

    A picture or a file counts as 4,500.
    """
    content = getattr(message, "content", None)
    size = len(text_of(message))
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        size += PART_CHARACTERS * sum(not is_text(part) for part in parts)
    for call in getattr(message, "tool_calls", None) or ():
        size += len(call.name) + len(call.arguments)
    return size


def is_text(part: Any) -> bool:
    """Whether a part of a message is text, and neither a picture nor a file."""
    return "text" in part if isinstance(part, dict) else hasattr(part, "text")


def role_of(message: Any) -> str:
    """Return who says a message, as the wire has it."""
    role = getattr(message, "role", None)
    if isinstance(role, str):
        return role
    config: Any = getattr(cast("type[object]", type(message)), "__struct_config__", None)
    return str(getattr(config, "tag", None) or "")


def question_of(messages: Sequence[Any]) -> str:
    """Return the text of the newest message of a user; empty if there is none."""
    for message in reversed(messages):
        if role_of(message) == "user" and (text := text_of(message).strip()):
            return text
    return ""
