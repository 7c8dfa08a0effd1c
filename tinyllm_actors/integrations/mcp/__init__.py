"""MCP."""

from __future__ import annotations

from tinyllm_actors.integrations.mcp.progress import McpProgress
from tinyllm_actors.integrations.mcp.server import McpOptions, McpServer
from tinyllm_actors.integrations.mcp.session import McpSession, McpSessionRef

__all__ = ["McpOptions", "McpProgress", "McpServer", "McpSession", "McpSessionRef"]
