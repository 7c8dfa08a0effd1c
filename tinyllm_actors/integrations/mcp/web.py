"""The HTTP client under the streamable HTTP transport: each failure stays one of its request, each answer bounded.

The transport of the SDK lets a connection that fails end the whole session, and keeps of an HTTP error only that
there was one. This client answers such requests itself, with an error of JSON-RPC.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tinyllm_actors.integrations.mcp.server import McpServer

__all__ = ["FORGOTTEN", "HTTP_ERROR", "TOO_LARGE", "UNREACHABLE", "http_client"]

UNREACHABLE = -32_950
"""Code of our own: no connection, or none any more."""

HTTP_ERROR = -32_951
"""Code of our own: a status of HTTP that says no; `data` holds it."""

FORGOTTEN = -32_952
"""Code of our own: the server does not know the session (any more)."""

TOO_LARGE = "the answer is larger than it may be"


def http_client(server: McpServer) -> httpx2.AsyncClient:
    """Return a client with the server's headers; to be closed by the caller.

    It follows no proxies of the environment. A request waits for its answer as long as its caller does.
    """
    return httpx2.AsyncClient(
        transport=_Guarded(httpx2.AsyncHTTPTransport(), server.max_message_bytes),
        headers=dict(server.headers),
        timeout=httpx2.Timeout(server.request_timeout, read=None),
        trust_env=False,
    )


class _Guarded(httpx2.AsyncBaseTransport):
    def __init__(self, inner: httpx2.AsyncBaseTransport, max_bytes: int) -> None:
        self._inner = inner
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError as error:
            # Only requests with a body are messages; the stream for the server's own is opened again by the SDK.
            if request.method != "POST":
                raise
            return _refusal(
                503, UNREACHABLE, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            )
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Bounded(response.stream, self._max_bytes)
        if request.method != "POST" or response.status_code < 400:
            return response
        if response.status_code != 404:
            return await _explained(response)
        if "mcp-session-id" not in request.headers:
            return response  # the SDK's own business: to such a server the method is unknown
        await response.aclose()
        return _refusal(404, FORGOTTEN, "the server has forgotten the session")

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """A body that fails when it gets too long, in a way that stays with its request."""

    def __init__(self, inner: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._inner = inner
        self._max_bytes = max_bytes
        self._size = 0
        self._chunks: AsyncIterator[bytes] | None = None

    def __aiter__(self) -> _Bounded:
        self._chunks = aiter(self._inner)
        return self

    async def __anext__(self) -> bytes:
        assert self._chunks is not None
        try:
            chunk = await anext(self._chunks)
        except httpx2.TransportError as error:
            raise httpx2.StreamError(f"the answer broke off: {type(error).__name__}") from error
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise httpx2.StreamError(f"{TOO_LARGE}: more than {self._max_bytes:,} bytes")
        return chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _explained(response: httpx2.Response) -> httpx2.Response:
    """Return an error of HTTP as it is if an error of JSON-RPC explains it, or else with one that says what it is."""
    try:
        body = await response.aread()
        message: Any = json.loads(body)
        if isinstance(message, dict) and "jsonrpc" in message and "error" in message:
            return httpx2.Response(response.status_code, headers={"content-type": "application/json"}, content=body)
    except (httpx2.StreamError, ValueError):
        pass
    finally:
        await response.aclose()
    data = {"status": response.status_code, "retry_after": response.headers.get("retry-after")}
    return _refusal(response.status_code, HTTP_ERROR, f"HTTP status {response.status_code}", data)


def _refusal(status: int, code: int, message: str, data: object = None) -> httpx2.Response:
    # Without an id: the SDK puts that of the request.
    error = {"code": code, "message": message, "data": data}
    return httpx2.Response(status, json={"jsonrpc": "2.0", "id": None, "error": error})
