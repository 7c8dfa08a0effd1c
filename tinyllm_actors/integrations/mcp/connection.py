"""One open session with a server. Requests may come from any task of the event loop."""

from __future__ import annotations

import base64
import binascii
import functools
import importlib
import math
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
import mcp_types as types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError

from tinyllm_actors.errors import McpError, McpMalformed, McpTimeout, McpUnavailable
from tinyllm_actors.integrations.mcp.content import to_message
from tinyllm_actors.integrations.mcp.failures import failure_of, session_is_over, unavailable_for_now
from tinyllm_actors.integrations.mcp.program import open_program
from tinyllm_actors.integrations.mcp.progress import McpProgress
from tinyllm_actors.integrations.mcp.web import http_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from mcp.client._transport import Transport

    from tinyllm_actors.integrations.mcp.server import McpServer
    from tinyllm_actors.llm import Message

__all__ = ["MAX_ITEMS", "MAX_PAGES", "Connection", "connect"]

importlib.import_module("jsonschema")  # the SDK would with the first result that has a schema, and block the event loop

T = TypeVar("T")

MAX_ITEMS = 1_000
"""Tools, resources or prompts that a server may have."""

MAX_PAGES = 100
"""Pages in which it may list them."""

_WE = types.Implementation(name="tinyllm_actors", version=version("tinyllm_actors"))

DOUBTFUL = 3
"""Requests in a row that were given up without an answer, after which the server has to show that it lives."""

WATCH_AGAIN = 5.0
"""Seconds until changes are watched again after the server ended that."""


class Connection:
    """What an open session can be asked for.

    Attributes:
        server: with which server.
        ended: why it is of no use any more; None while it is.
    """

    def __init__(
        self, server: McpServer, on_end: Callable[[Connection, McpError], None], on_change: Callable[[], None]
    ) -> None:
        self.server = server
        self.ended: McpError | None = None
        self._on_end = on_end
        self._on_change = on_change
        self._client: Client | None = None
        self._unanswered = 0

    @property
    def client(self) -> Client:
        """The client of the SDK."""
        assert self._client is not None
        return self._client

    @client.setter
    def client(self, client: Client) -> None:
        self._client = client

    def end(self, error: McpError) -> None:
        """Note that the connection is of no use any more, and tell so; once."""
        if self.ended is None:
            self.ended = error
            self._on_end(self, error)

    # --- tools -------------------------------------------------------------------------------------

    async def list_tools(self) -> list[types.Tool]:
        """Return the tools of the server.

        Raises:
            McpError: the request failed.
        """
        if self.client.server_capabilities.tools is None:
            return []
        return await self._pages(self.client.list_tools, lambda page: page.tools)

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        timeout: float | None = None,
        on_progress: Callable[[McpProgress], None] | None = None,
    ) -> types.CallToolResult:
        """Call a tool; see `McpSessionRef.call_tool`.

        Raises:
            McpError: the request failed.
        """

        async def report(progress: float, total: float | None, message: str | None) -> None:
            if on_progress is not None:
                on_progress(McpProgress(progress, total, message))

        call = functools.partial(
            self.client.call_tool,
            name,
            dict(arguments),
            read_timeout_seconds=math.inf,
            progress_callback=None if on_progress is None else report,
        )
        return await self._request(call, math.inf if timeout is None else timeout)

    @property
    def may_change(self) -> bool:
        """Whether the server tells when its tools become others."""
        tools = self.client.server_capabilities.tools
        return tools is not None and bool(tools.list_changed)

    async def watch(self) -> None:
        """Have the server tell of changes, as long as it does; earlier versions of the protocol do it unasked."""
        while self.ended is None:
            try:
                async with self.client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        pass  # `on_message` gets them too
            except ListenNotSupportedError:
                return
            except MCPError as error:
                if not unavailable_for_now(error):
                    return
            except (SubscriptionLost, TimeoutError):
                pass
            await anyio.sleep(WATCH_AGAIN)
            self._on_change()  # some news may have been missed

    async def on_message(self, message: object) -> None:
        """Take what the server says unasked."""
        if isinstance(message, types.ToolListChangedNotification):
            self._on_change()

    # --- resources and prompts ---------------------------------------------------------------------

    async def list_resources(self) -> list[types.Resource]:
        """Return what there is to read.

        Raises:
            McpError: the request failed.
        """
        if self.client.server_capabilities.resources is None:
            return []
        return await self._pages(self.client.list_resources, lambda page: page.resources)

    async def read_resource(self, uri: str) -> list[str | bytes]:
        """Return what is at `uri`.

        Raises:
            McpError: the request failed.
        """
        result = await self._request(functools.partial(self.client.read_resource, uri))
        try:
            return [
                part.text
                if isinstance(part, types.TextResourceContents)
                else base64.b64decode(part.blob, validate=True)
                for part in result.contents
            ]
        except binascii.Error as error:
            raise McpMalformed(self.server.name, f"resource {uri!r} holds what is no base64: {error}") from None

    async def list_prompts(self) -> list[types.Prompt]:
        """Return the prompts.

        Raises:
            McpError: the request failed.
        """
        if self.client.server_capabilities.prompts is None:
            return []
        return await self._pages(self.client.list_prompts, lambda page: page.prompts)

    async def get_prompt(self, name: str, arguments: Mapping[str, str]) -> list[Message]:
        """Return a prompt as messages for a model.

        Raises:
            McpError: the request failed.
        """
        result = await self._request(functools.partial(self.client.get_prompt, name, dict(arguments)))
        return [to_message(message) for message in result.messages]

    # --- requests ----------------------------------------------------------------------------------

    async def _pages(self, fetch: Callable[..., Awaitable[Any]], items_of: Callable[[Any], list[T]]) -> list[T]:
        items: list[T] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._request(functools.partial(fetch, cursor=cursor))
            items += items_of(page)
            if len(items) > MAX_ITEMS:
                break
            cursor = page.next_cursor
            if cursor is None:
                return items
        raise McpMalformed(
            self.server.name, f"it lists more than {MAX_ITEMS:,} things, or on more than {MAX_PAGES} pages"
        )

    def _doubt(self) -> None:
        """A request was given up before its answer came. After some in a row, see whether the server answers at all."""
        self._unanswered += 1
        if self._unanswered >= DOUBTFUL:
            self._unanswered = 0
            self._on_change()

    async def _request(self, request: Callable[[], Awaitable[T]], timeout: float | None = None) -> T:
        if self.ended is None:
            try:
                # The SDK's own time-out does not count while a full pipe keeps the request from being written.
                with anyio.fail_after(self.server.request_timeout if timeout is None else timeout):
                    result = await request()
            except Exception as error:  # the SDK raises what it likes for an answer that it does not understand
                if session_is_over(error):
                    self.end(McpUnavailable(self.server.name, "the server has forgotten the session"))
                if self.ended is None:
                    failure = failure_of(self.server, error)
                    if isinstance(failure, McpTimeout):
                        self._doubt()
                    else:
                        self._unanswered = 0
                    raise failure from None
            except BaseException:
                self._doubt()
                raise
            else:
                self._unanswered = 0
                return result
        # A new one, since many may raise it.
        raise type(self.ended)(self.ended.server, self.ended.reason)


@asynccontextmanager
async def connect(
    server: McpServer, on_end: Callable[[Connection, McpError], None], on_change: Callable[[], None]
) -> AsyncGenerator[Connection]:
    """Open a session; leaving the block closes it, and fails the requests that wait.

    Args:
        server: with which server.
        on_end: told when the connection has become of no use.
        on_change: told when the server's tools may have become others.

    Raises:
        McpError: it could not be opened.
    """
    connection = Connection(server, on_end, on_change)
    async with AsyncExitStack() as stack:
        transport: Transport
        if server.url:
            # In a thread, as it reads certificates.
            http = await stack.enter_async_context(await anyio.to_thread.run_sync(http_client, server))
            transport = streamable_http_client(
                server.url, http_client=http, max_sse_event_size=server.max_message_bytes
            )
        else:
            transport = open_program(server, connection.end)
        client = Client(
            transport,
            read_timeout_seconds=server.request_timeout,
            message_handler=connection.on_message,
            client_info=_WE,
            mode=server.protocol,
            cache=None,  # what is asked for is wanted as it is now
        )
        try:
            connection.client = await stack.enter_async_context(client)
        except Exception as error:
            raise connection.ended or failure_of(server, error) from None
        yield connection
