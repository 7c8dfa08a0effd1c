"""Answer MCP clients, through the server of the SDK."""

from __future__ import annotations

import hmac
import itertools
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
import msgspec
from mcp.server.lowlevel.server import Server
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError

from tinyllm_actors.agent import TextDelta, ToolStarted
from tinyllm_actors.integrations.mcp.pipes import open_pipes
from tinyllm_actors.integrations.mcp.progress import McpProgress
from tinyllm_actors.kernel import DynamicSupervisor, Restart
from tinyllm_actors.tool.result import cut_result, render_result

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from mcp.server.context import ServerRequestContext

    from tinyllm_actors.function import FunctionRef, Result
    from tinyllm_actors.integrations.mcp.service import AsgiApp, McpService
    from tinyllm_actors.kernel import ActorSystem, SupervisorRef
    from tinyllm_actors.tool import Tool

__all__ = ["http_app", "make_server", "serve_stdio"]

MAX_PENDING_REPORTS = 16
MAX_REPORT_CHARS = 500

_numbers = itertools.count(1)


async def serve_stdio(service: McpService, system: ActorSystem) -> None:
    """See `McpService.serve_stdio`."""
    server = make_server(service, system)
    async with open_pipes(service.max_message_bytes) as (read, write):
        await server.run(read, write, server.create_initialization_options())


def http_app(
    service: McpService, system: ActorSystem, *, path: str, token: str | None, hosts: Sequence[str]
) -> AsgiApp:
    """See `McpService.http_app`."""
    local = ("127.0.0.1", "[::1]") if "localhost" in hosts else ()
    names = [*hosts, *local]
    app = make_server(service, system).streamable_http_app(
        streamable_http_path=path,
        max_request_body_size=service.max_message_bytes,
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=[name for host in names for name in (host, f"{host}:*")],
            allowed_origins=[
                f"{scheme}://{host}{port}" for scheme in ("http", "https") for host in names for port in ("", ":*")
            ],
        ),
    )
    return app if token is None else _Guard(app, token)


class _Guard:
    """Lets requests with the token through."""

    def __init__(self, app: AsgiApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._wanted):
                headers = [(b"content-length", b"0"), (b"www-authenticate", b"Bearer")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)


def make_server(service: McpService, system: ActorSystem) -> Server[None]:
    """Return the server of the SDK that offers a service's tools; to be run once."""
    desk = _Desk(service, system)
    return Server(
        service.name,
        version=service.version,
        instructions=service.instructions,
        lifespan=desk.open,
        on_list_tools=desk.list_tools,
        on_call_tool=desk.call_tool,
    )


class _Desk:
    def __init__(self, service: McpService, system: ActorSystem) -> None:
        self._service = service
        self._system = system
        self._limiter = anyio.CapacityLimiter(service.max_concurrency)
        self._calls: SupervisorRef | None = None

    @asynccontextmanager
    async def open(self, server: Server[None]) -> AsyncGenerator[None]:
        """Have a supervisor for the calls; leaving the block ends those that run."""
        name = f"mcp {self._service.name} {next(_numbers)}".replace("/", "_")
        self._calls = await self._system.supervise(DynamicSupervisor(), [], name=name)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):  # bounded by the calls' own shutdown
                await self._calls.stop()

    async def list_tools(
        self, context: ServerRequestContext[None], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        """Return all tools."""
        return types.ListToolsResult(
            tools=[
                types.Tool(name=tool.name, description=tool.description, input_schema=tool.parameters)
                for tool in self._service.tools.values()
            ]
        )

    async def call_tool(
        self, context: ServerRequestContext[None], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        """Run one call in an actor of its own."""
        tool = self._service.tools.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:100]}")
        if self._limiter.statistics().tasks_waiting >= self._service.max_waiting:
            return _answer("Error: too many calls at once; try again later", failed=True)
        async with self._limiter:
            result = await self._run(tool, params.arguments or {}, context)
        if result["status"] == "error":
            return _answer(f"Error: {result['message']}", failed=True)
        return _answer(result["output"]["content"])

    async def _run(
        self, tool: Tool[..., Any], arguments: dict[str, Any], context: ServerRequestContext[None]
    ) -> Result:
        assert self._calls is not None
        number = next(_numbers)
        spec = tool.spec().with_options(restart=Restart.TEMPORARY)
        ref: FunctionRef = await self._calls.spawn(spec, name=f"{tool.name}-{number}")
        ref = ref.within(self._service.bound_of(tool))
        call: dict[str, Any] = {"arguments": json.dumps(arguments), "call_id": str(context.request_id or number)}
        try:
            if (context.meta or {}).get("progress_token") is None:
                return await ref(**call)
            return await _with_progress(ref, call, context)
        finally:
            with anyio.CancelScope(shield=True):  # bounded: its call has ended, or is cancelled
                await ref.stop(timeout=0)


async def _with_progress(ref: FunctionRef, call: dict[str, Any], context: ServerRequestContext[None]) -> Result:
    """Make a call and tell the client what it reports meanwhile, dropping what the client does not take in time."""
    send, receive = anyio.create_memory_object_stream[object](MAX_PENDING_REPORTS)

    def report(progress: object) -> None:
        with suppress(anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            send.send_nowait(progress)

    async def pass_on() -> None:
        done = 0
        async for progress in receive:
            if isinstance(progress, McpProgress):  # of a server behind this one
                await context.session.report_progress(progress.progress, progress.total, progress.message)
            elif (text := _as_text(progress)) is not None:
                done += 1
                await context.session.report_progress(done, None, text)

    result: list[Result] = []
    with send, receive:
        async with anyio.create_task_group() as group:
            group.start_soon(pass_on)
            result.append(await ref(**call, report=report))
            send.close()
    return result[0]


def _as_text(progress: object) -> str | None:
    """Return what the client is told of a report; None for events of an agent that say nothing to it."""
    if isinstance(progress, TextDelta):
        return progress.text
    if isinstance(progress, ToolStarted):
        return f"calls {progress.name}"
    if isinstance(progress, msgspec.Struct):
        return None
    return cut_result(render_result(progress), MAX_REPORT_CHARS)


def _answer(text: str, *, failed: bool = False) -> types.CallToolResult:
    structured: Any = None
    if text.startswith("{") and not failed:
        with suppress(ValueError):  # text that looks like it, or was cut
            structured = json.loads(text)
    return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=structured, is_error=failed)
