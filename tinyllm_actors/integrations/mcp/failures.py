"""What the SDK raises, as errors of this library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import httpx2
from mcp.shared.exceptions import MCPError
from mcp_types import CONNECTION_CLOSED, PARSE_ERROR, REQUEST_TIMEOUT
from pydantic import ValidationError

from tinyllm_actors.errors import McpError, McpMalformed, McpRefused, McpTimeout, McpUnavailable
from tinyllm_actors.integrations.mcp.web import FORGOTTEN, HTTP_ERROR, UNREACHABLE

if TYPE_CHECKING:
    from tinyllm_actors.integrations.mcp.server import McpServer

__all__ = ["failure_of", "session_is_over", "unavailable_for_now"]

MAX_REASON_CHARS = 1_000
_FOR_NOW = frozenset({408, 425, 429, 500, 502, 503, 504})


def failure_of(server: McpServer, error: Exception) -> McpError:
    """Return the error of this library for one of the SDK; without secrets, and of bounded length."""
    while isinstance(error, ExceptionGroup):  # one of them tells enough
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    if isinstance(error, McpError):
        return error
    if isinstance(error, MCPError):
        return _of_protocol(server, error)
    if isinstance(error, httpx2.TransportError):
        return McpUnavailable(server.name, _shown(server, f"{type(error).__name__}: {error}"))
    if isinstance(error, TimeoutError):
        return McpTimeout(server.name, "it did not answer in time")
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        return McpMalformed(
            server.name, _shown(server, f"its answer does not fit the protocol: {place}: {first['msg']}")
        )
    return McpMalformed(server.name, _shown(server, str(error) or type(error).__name__))


def _of_protocol(server: McpServer, error: MCPError) -> McpError:
    reason = _shown(server, error.message)
    if error.code == UNREACHABLE:
        return McpUnavailable(server.name, f"it cannot be reached: {reason}")
    if error.code == CONNECTION_CLOSED:
        return McpUnavailable(server.name, f"the connection broke off: {reason}")
    if error.code == REQUEST_TIMEOUT:
        return McpTimeout(server.name, f"it did not answer in time: {reason}")
    if error.code == PARSE_ERROR:
        return McpMalformed(server.name, reason)
    data = cast("dict[str, Any]", error.data) if error.code == HTTP_ERROR else {}
    status: int | None = data.get("status")
    return McpRefused(
        server.name,
        reason,
        code=error.code,
        status=status,
        retryable=status in _FOR_NOW,
        retry_after=_seconds(data.get("retry_after")),
    )


def session_is_over(error: Exception) -> bool:
    """Whether a server of HTTP says that it does not know the session (any more)."""
    return isinstance(error, MCPError) and error.code == FORGOTTEN


def unavailable_for_now(error: MCPError) -> bool:
    """Whether the same request may be answered later."""
    return error.code in {CONNECTION_CLOSED, UNREACHABLE, REQUEST_TIMEOUT, HTTP_ERROR}


def _seconds(header: str | None) -> float | None:
    """Return the seconds of a `Retry-After`; a date, which is rare, is left out."""
    return float(header) if header is not None and header.isdecimal() else None


def _shown(server: McpServer, text: str) -> str:
    text = server.scrub(text)
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "…"
