"""What a server answers, as text for a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mcp_types as types

from tinyllm_actors.llm import AssistantMessage, UserMessage
from tinyllm_actors.tool.result import render_result

if TYPE_CHECKING:
    from tinyllm_actors.llm import Message

__all__ = ["render", "to_message"]


def render(result: types.CallToolResult) -> str:
    """Return the content of a tool's result; the structured one where there is no text that says the same."""
    blocks = [_block(block) for block in result.content]
    said = any(isinstance(block, types.TextContent) and block.text.strip() for block in result.content)
    if result.structured_content is not None and not said:
        blocks.append(render_result(result.structured_content))
    return "\n".join(blocks)


def to_message(message: types.PromptMessage) -> Message:
    """Return a message of a prompt."""
    text = _block(message.content)
    return UserMessage(text) if message.role == "user" else AssistantMessage(content=text)


def _block(block: Any) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.ImageContent() | types.AudioContent():
            return f"[{block.mime_type}, {_size(block.data)}, not shown]"
        case types.ResourceLink():
            about = f": {block.description}" if block.description else ""
            return f"[resource {block.name}, {block.uri}{about}]"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return f"[resource {resource.uri}]\n{resource.text}"
        case types.EmbeddedResource(resource=types.BlobResourceContents() as resource):
            return f"[resource {resource.uri}, {resource.mime_type or 'binary'}, {_size(resource.blob)}, not shown]"
        case _:
            return f"[{type(block).__name__}, not shown]"


def _size(base64: str) -> str:
    return f"{len(base64) * 3 // 4:,} bytes"
