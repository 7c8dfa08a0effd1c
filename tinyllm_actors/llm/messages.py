"""What is said to a model and what it says: messages with the wire form of OpenAI's chat API.

The structs encode to that wire form as they are (`msgspec.json.encode(message)`), so a long history costs one
pass of a C encoder per call and nothing is copied.

```python
>>> import msgspec
>>> msgspec.json.encode(UserMessage("hello"))
b'{"role":"user","content":"hello"}'

```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AssistantMessage",
    "ContentPart",
    "FilePart",
    "FunctionCall",
    "ImagePart",
    "Message",
    "SystemMessage",
    "TextPart",
    "ToolCall",
    "ToolMessage",
    "UserMessage",
    "as_messages",
    "decode_message",
    "decode_messages",
]


class TextPart(msgspec.Struct, tag_field="type", tag="text", frozen=True, gc=False):
    """A piece of text inside a message of several parts."""

    text: str


class ImagePart(msgspec.Struct, tag_field="type", tag="image_url", frozen=True, gc=False):
    """A picture: `image_url` is `{"url": "https://…" or "data:image/png;base64,…", "detail": …}`."""

    image_url: dict[str, str]


class FilePart(msgspec.Struct, tag_field="type", tag="file", frozen=True, gc=False):
    """A file: `file` is `{"file_data": "data:…;base64,…", "filename": …}` or `{"file_id": …}`."""

    file: dict[str, str]


ContentPart: TypeAlias = TextPart | ImagePart | FilePart


class SystemMessage(msgspec.Struct, tag_field="role", tag="system", frozen=True, gc=False):
    """Standing instructions."""

    content: str


class UserMessage(msgspec.Struct, tag_field="role", tag="user", frozen=True, omit_defaults=True, gc=False):
    """What the user said."""

    content: str | list[ContentPart]
    name: str | None = None


class FunctionCall(msgspec.Struct, frozen=True, gc=False):
    """Which function, with which arguments (JSON text, exactly as the model wrote it)."""

    name: str
    arguments: str = "{}"


class ToolCall(msgspec.Struct, tag_field="type", tag="function", frozen=True, gc=False):
    """A call that the model asks for; its result goes back under the same `id`."""

    id: str
    function: FunctionCall

    @property
    def name(self) -> str:
        """The name of the tool."""
        return self.function.name

    @property
    def arguments(self) -> str:
        """The arguments as JSON text."""
        return self.function.arguments


class AssistantMessage(msgspec.Struct, tag_field="role", tag="assistant", frozen=True, omit_defaults=True, gc=False):
    """What the model said: text, tool calls, or both.

    `reasoning_content` is the model's thinking where the provider shows it. It is kept apart from the answer.
    """

    content: str | None = None
    # `list` itself, not `list[ToolCall]`: only then does msgspec leave the field out when it is empty.
    tool_calls: list[ToolCall] = msgspec.field(default_factory=list)  # pyright: ignore[reportUnknownVariableType]
    reasoning_content: str | None = None
    refusal: str | None = None


class ToolMessage(msgspec.Struct, tag_field="role", tag="tool", frozen=True, omit_defaults=True, gc=False):
    """The result of one tool call."""

    tool_call_id: str
    content: str
    name: str | None = None


Message: TypeAlias = SystemMessage | UserMessage | AssistantMessage | ToolMessage


def as_messages(messages: Iterable[Any]) -> list[Message]:
    """Return messages of which some are of another kind: what a memory recalls, or a dictionary in the wire form.

    ```python
    >>> as_messages([UserMessage("Hi"), {"role": "assistant", "content": "Hello"}])
    [UserMessage(content='Hi', name=None), AssistantMessage(content='Hello', ...)]

    ```

    Raises:
        msgspec.ValidationError: one has not the wire form of a message; the message names the place.
    """
    return [
        message if isinstance(message, Message) else decode_message(msgspec.to_builtins(message))
        for message in messages
    ]


def decode_message(value: Any) -> Message:
    """Return the message that a dictionary in the wire form holds.

    Raises:
        msgspec.ValidationError: it is no such dictionary; the message names the place.
    """
    return msgspec.convert(value, Message)


def decode_messages(values: Any) -> list[Message]:
    """Return the messages that a list of dictionaries in the wire form holds.

    Raises:
        msgspec.ValidationError: it is no such list; the message names the place.
    """
    return msgspec.convert(values, list[Message])
