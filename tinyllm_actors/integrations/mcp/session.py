"""The actor that holds a session with an MCP server open, and the way to use it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.errors import ActorError, AskTimeout, McpError, McpTimeout, McpUnavailable
from tinyllm_actors.integrations.mcp.loading import load
from tinyllm_actors.integrations.mcp.tools import to_tools
from tinyllm_actors.kernel import Actor, ActorRef, ChildOptions, InFlight
from tinyllm_actors.tool import ListTools, ToolsChanged, topic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_types import CallToolResult, Prompt, Resource
    from mcp_types import Tool as Definition

    from tinyllm_actors.integrations.mcp.connection import Connection
    from tinyllm_actors.integrations.mcp.progress import McpProgress
    from tinyllm_actors.integrations.mcp.server import McpServer
    from tinyllm_actors.kernel import ExitReason
    from tinyllm_actors.llm import Message
    from tinyllm_actors.tool import Tool

__all__ = ["McpSession", "McpSessionRef"]

PAUSE = 0.1
"""Seconds after news of a change before the tools are listed again; more news meanwhile is the same news."""


@dataclass(frozen=True, slots=True)
class Borrow:
    """Ask for the connection."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection has ended."""

    connection: object
    error: McpError


@dataclass(frozen=True, slots=True)
class Changed:
    """The tools may be others now, or the server is silent: either way they are listed again."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """List the tools again."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The tools there are now, or why they could not be listed."""

    found: list[Definition] | BaseException


class McpSessionRef(ActorRef):
    """The way to an MCP server: its tools, resources and prompts.

    A call runs in the task that makes it: cancelling that tells the server. While the session connects again, calls
    wait for it, at most `McpServer.request_timeout` seconds.
    """

    __slots__ = ()

    @property
    def server(self) -> McpServer:
        """What the session is with."""
        return cast("McpServer", self.cell.spec.args[0])

    async def tools(self) -> list[Tool[..., Any]]:
        """Return the server's tools, for a toolkit of your own; an agent takes the `McpServer` itself.

        Raises:
            McpError: there is no session.
        """
        return cast("list[Tool[..., Any]]", await self._ask(ListTools()))

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        on_progress: Callable[[McpProgress], None] | None = None,
    ) -> CallToolResult:
        """Call a tool and return its result as the SDK has it; one that failed says so in `is_error`.

        Args:
            name: as the server calls it, without a prefix.
            arguments: as its schema says.
            timeout: seconds; None for no bound but the caller's own.
            on_progress: told how far the server is; must be quick.

        Raises:
            McpError: the call failed.
        """
        connection = await self.connection()
        return await connection.call_tool(name, arguments or {}, timeout=timeout, on_progress=on_progress)

    async def resources(self) -> list[Resource]:
        """Return what there is to read; none if the server has no resources.

        Raises:
            McpError: the call failed.
        """
        return await (await self.connection()).list_resources()

    async def read_resource(self, uri: str) -> list[str | bytes]:
        """Return what is at `uri`, in parts: text, or bytes where it is not text.

        Raises:
            McpError: the call failed.
        """
        return await (await self.connection()).read_resource(uri)

    async def prompts(self) -> list[Prompt]:
        """Return the prompts; none if the server has none.

        Raises:
            McpError: the call failed.
        """
        return await (await self.connection()).list_prompts()

    async def prompt(self, name: str, arguments: Mapping[str, str] | None = None) -> list[Message]:
        """Return a prompt as messages for a model.

        Raises:
            McpError: the call failed.
        """
        return await (await self.connection()).get_prompt(name, arguments or {})

    async def connection(self) -> Connection:
        """Return the open connection.

        Raises:
            McpError: there is none, and there was none within `McpServer.request_timeout` seconds.
        """
        return cast("Connection", await self._ask(Borrow()))

    async def _ask(self, message: object) -> object:
        server = self.server
        try:
            return await self.ask(message, timeout=server.request_timeout)
        except AskTimeout as error:
            raise McpUnavailable(server.name, f"no connection within {error.timeout:g} s") from None
        except ActorError as error:
            raise McpUnavailable(server.name, f"there is no session: {error}", retryable=False) from error


class McpSession(Actor):
    """Holds the connection to one MCP server, and knows its tools.

    It answers `ListTools`. It fails when the connection breaks, so that its supervisor starts it again, after a
    back-off; whoever asks meanwhile is answered by the next incarnation.

    Args:
        server: which one.

    Raises:
        McpError: no session could be opened; of `started()`, so it is the cause of a `StartFailed`.
        MissingDependency: the SDK is not installed; likewise.
    """

    # It has nothing to lose by an answer that is given twice.
    options = ChildOptions(dedicated=True, shutdown=10.0, on_inflight=InFlight(redeliveries=3))
    ref_type = McpSessionRef

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self._held = AsyncExitStack()
        self._connection: Connection | None = None
        self._tools: list[Tool[..., Any]] = []
        self._refreshing = False

    async def started(self) -> None:
        """Connect and list the tools."""
        module = await load("connection")
        ref = self.context.ref

        def on_end(connection: object, error: McpError) -> None:
            ref.tell_nowait(Ended(connection, error))

        def on_change() -> None:
            ref.tell_nowait(Changed())

        self._connection = connection = await self._held.enter_async_context(
            module.connect(self.server, on_end, on_change)
        )
        self._tools = to_tools(cast("McpSessionRef", ref), await connection.list_tools())
        if connection.may_change:
            self.context.start_task(connection.watch)
        if self.context.incarnation > 1:
            await self._publish()

    async def receive(self, message: object) -> object:
        """Lend the connection, list the tools, or note what became of them."""
        connection = self._connection
        assert connection is not None
        match message:
            case Borrow():
                if connection.ended is not None:
                    raise connection.ended
                return connection
            case ListTools():
                return list(self._tools)
            case Ended(which, error):
                if which is connection:
                    raise error
            case Changed():
                if not self._refreshing:
                    self._refreshing = True
                    self.context.send_after(PAUSE, Refresh(), name="refresh")
            case Refresh():
                self._refreshing = False  # what changes from now on is listed once more
                self.context.pipe_to_self(connection.list_tools, on_result=Listed, on_error=Listed)
            case Listed(found):
                await self._take(found)
            case _:
                # A failure of whoever asks, which is nothing to lose the connection for.
                wrong = TypeError(f"a session takes no {type(message).__name__}; use the methods of its reference")
                self.context.reply_later().fail(wrong)
        return None

    async def _take(self, found: list[Definition] | BaseException) -> None:
        if isinstance(found, McpTimeout):
            raise found  # it answers nothing; a new one may
        if isinstance(found, BaseException):
            import structlog

            # The old list stays; if the connection is gone, that is told in another way.
            structlog.get_logger("tinyllm_actors.mcp").warning(
                "tools not listed", server=self.server.name, error=str(found)
            )
            return
        self._tools = to_tools(cast("McpSessionRef", self.context.ref), found)
        await self._publish()

    async def _publish(self) -> None:
        path = self.context.path
        await self.context.system.group(topic(path)).publish(ToolsChanged(path, tuple(self._tools)))

    async def stopped(self, reason: ExitReason) -> None:
        """Close the connection."""
        await self._held.aclose()
