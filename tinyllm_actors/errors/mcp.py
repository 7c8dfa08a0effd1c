"""MCP servers that fail. See the package for the whole tree."""

from __future__ import annotations

from tinyllm_actors.errors.base import TinyLLMError

__all__ = ["McpError", "McpMalformed", "McpRefused", "McpTimeout", "McpUnavailable"]


class McpError(TinyLLMError):
    """A call to an MCP server failed.

    Attributes:
        server: what the server is called here.
        reason: the message without that.
        retryable: the same call may succeed later. The server may have done it already: repeat what may happen twice.
        retry_after: seconds that the server asks to wait, if it said so.
    """

    default_retryable = False

    def __init__(
        self, server: str, message: str, *, retryable: bool | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"MCP server {server!r}: {message}")
        self.server = server
        self.reason = message
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after


class McpUnavailable(McpError):
    """The server cannot be reached, or the connection broke off; the session connects again."""

    default_retryable = True


class McpTimeout(McpError, TimeoutError):
    """The server did not answer in time; it was told that nobody waits any more."""

    default_retryable = True


class McpMalformed(McpError):
    """What the server sent cannot be understood, or is more than may be sent at once."""


class McpRefused(McpError):
    """The server answered with an error.

    Attributes:
        code: the code of JSON-RPC.
        status: the status of HTTP, if that was the error.
    """

    def __init__(
        self,
        server: str,
        message: str,
        *,
        code: int,
        status: int | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(server, message, retryable=retryable, retry_after=retry_after)
        self.code = code
        self.status = status
