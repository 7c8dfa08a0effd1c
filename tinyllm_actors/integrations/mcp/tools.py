"""A server's tools as `Tool`s."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from tinyllm_actors.errors import ConfigurationError, ToolError
from tinyllm_actors.integrations.mcp.loading import load
from tinyllm_actors.tool import Tool, ToolContext
from tinyllm_actors.tool.result import cut_result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp_types import Tool as Definition

    from tinyllm_actors.integrations.mcp.session import McpSessionRef

__all__ = ["MAX_DESCRIPTION_CHARS", "MAX_SCHEMA_BYTES", "to_tools"]

MAX_SCHEMA_BYTES = 100_000
"""Bytes of JSON that the schema of a tool may have; the model is sent it with each request."""

MAX_DESCRIPTION_CHARS = 10_000
"""Characters of a tool's description that the model sees."""


def to_tools(session: McpSessionRef, definitions: Iterable[Definition]) -> list[Tool[..., Any]]:
    """Return the tools that the server's definitions describe, those that `McpServer.only` leaves.

    One that cannot be used (its schema is none of an object, or far too long; its name is another's) is left out and
    logged.
    """
    only, tools = session.server.only, dict[str, Tool[..., Any]]()
    for definition in definitions:
        if only is not None and definition.name not in only:
            continue
        try:
            tool = _to_tool(session, definition)
            if tool.name in tools:
                raise ConfigurationError(f"another tool is called {tool.name!r} too")
        except ConfigurationError as error:
            import structlog

            structlog.get_logger("tinyllm_actors.mcp").warning(
                "tool left out", server=session.server.name, tool=definition.name[:100], error=str(error)[:500]
            )
            continue
        tools[tool.name] = tool
    return list(tools.values())


def _to_tool(session: McpSessionRef, definition: Definition) -> Tool[..., Any]:
    server, known_as = session.server, definition.name
    name = tool_name(server.prefix + known_as)
    size = len(msgspec.json.encode(definition.input_schema))
    if size > MAX_SCHEMA_BYTES:
        raise ConfigurationError(f"its schema has {size:,} bytes, and may have {MAX_SCHEMA_BYTES:,}")

    # The name of the context's parameter is one that no server uses for an argument.
    async def call(tinyllm_tool_context: ToolContext, **arguments: Any) -> str:
        report = tinyllm_tool_context.report if tinyllm_tool_context.heard else None
        result = await session.call_tool(known_as, arguments, on_progress=report)
        content = await load("content")
        text: str = content.render(result)
        if result.is_error:
            raise ToolError(
                name, cut_result(text, tool.max_result_chars) or f"tool {name!r} failed and did not say why"
            )
        return text

    tool = Tool.from_function(
        call,
        name=name,
        description=cut_result(definition.description or definition.title or "", MAX_DESCRIPTION_CHARS),
        parameters=definition.input_schema,
        **dict(server.options),
    )
    return tool


def tool_name(name: str) -> str:
    """Return a name that every model provider takes.

    ```python
    >>> tool_name("files/read.all")
    'files_read_all'

    ```
    """
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]
