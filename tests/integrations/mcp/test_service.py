"""Functions, tools and agents of an actor system as MCP tools: our client at our server, over pipes and HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import ModuleType
from typing import Any, cast

import anyio
import h11
import mcp_types as types
import pytest
import structlog
from anyio.abc import SocketAttribute, SocketStream, TaskStatus
from mcp.server.lowlevel.server import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ToolsListChanged

from tinyllm_actors import ActorSystem, Agent, Backoff, Function, Supervisor, Toolkit, tool
from tinyllm_actors.errors import ConfigurationError, McpError, McpMalformed, McpRefused, McpUnavailable, StartFailed
from tinyllm_actors.function import as_function
from tinyllm_actors.integrations.mcp import McpProgress, McpServer, McpService, McpSessionRef, connection, expose
from tinyllm_actors.testing import ScriptedModel, text
from tinyllm_actors.tool import ListTools

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.leaves_behind("tasks", reason="sse-starlette, in the SDK's server, keeps a watcher on each event loop"),
    # The SDK and its HTTP client leave iterators of answers to the garbage collector.
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore2|mcp|sse_starlette):ResourceWarning"),
]

GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionResetError, h11.LocalProtocolError)
TOKEN = "t0ken-of-the-service"


@asynccontextmanager
async def serving(app: Any, port: int = 0) -> AsyncGenerator[str]:
    """Serve an ASGI application on the loop of the test, whichever it is; yields the address of the service in it."""
    async with anyio.create_task_group() as group:
        events: list[Any] = [anyio.Event(), anyio.Event()]  # started, to be stopped

        async def receive() -> dict[str, Any]:
            if not events[0].is_set():
                return {"type": "lifespan.startup"}
            await events[1].wait()
            return {"type": "lifespan.shutdown"}

        async def send(message: dict[str, Any]) -> None:
            assert message["type"] in {"lifespan.startup.complete", "lifespan.shutdown.complete"}
            events[0].set()

        group.start_soon(app, {"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
        await events[0].wait()

        def serve(stream: SocketStream) -> Any:
            return _serve(app, stream)

        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
        async with listener, anyio.create_task_group() as connections:
            connections.start_soon(listener.serve, serve)
            try:
                yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/mcp"
            finally:
                connections.cancel_scope.cancel()
        events[1].set()


async def _serve(app: Any, stream: SocketStream) -> None:
    """Serve one connection."""
    connection = h11.Connection(h11.SERVER)

    async def event() -> Any:
        while (found := connection.next_event()) is h11.NEED_DATA:
            try:
                connection.receive_data(await stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                connection.receive_data(b"")
        return found

    async def receive() -> dict[str, Any]:
        if connection.their_state is h11.SEND_BODY:
            found = await event()
            if isinstance(found, h11.Data):
                return {"type": "http.request", "body": bytes(found.data), "more_body": True}
            if isinstance(found, h11.EndOfMessage):
                return {"type": "http.request", "body": b"", "more_body": False}
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await stream.receive(1)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            head = h11.Response(status_code=message["status"], headers=[*message["headers"], (b"connection", b"close")])
            await stream.send(connection.send(head) or b"")
            return
        await stream.send(connection.send(h11.Data(data=message.get("body", b""))) or b"")
        if not message.get("more_body"):
            await stream.send(connection.send(h11.EndOfMessage()) or b"")

    async with stream:
        request = await event()
        if not isinstance(request, h11.Request):
            return
        path, _, query = request.target.partition(b"?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": request.method.decode(),
            "scheme": "http",
            "path": path.decode(),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name, value) for name, value in request.headers],
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
        }
        with suppress(
            anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionResetError, h11.LocalProtocolError
        ):
            await app(scope, receive, send)


@asynccontextmanager
async def session_with(server: McpServer) -> AsyncGenerator[McpSessionRef]:
    """Hold a session open, under a supervisor that hardly waits."""
    async with ActorSystem("client") as system:
        quick = Supervisor(max_restarts=10, period=60.0, backoff=Backoff(0.01, 0.01, jitter=0.0))
        await system.supervise(quick, [server.spec().named("session")], name="quick")
        yield system["quick/session"]


@asynccontextmanager
async def own(kind: str, offered: ModuleType, backend: tuple[str, dict[str, Any]]) -> AsyncGenerator[McpSessionRef]:
    """Hold a session of our client with our server open."""
    if kind == "stdio":
        name = "uvloop" if backend[1].get("use_uvloop") else backend[0]
        async with session_with(McpServer.stdio(sys.executable, [str(offered.__file__), name], name="own")) as ref:
            yield ref
        return
    async with (
        ActorSystem("service") as system,
        serving(offered.service().http_app(system, token=TOKEN)) as url,
        session_with(McpServer.http(url, token=TOKEN, protocol=kind)) as ref,
    ):
        yield ref


async def call(session: McpSessionRef, name: str, **arguments: Any) -> tuple[bool, str, list[McpProgress]]:
    """Call a tool; returns whether it worked, what it said, and its progress."""
    progress: list[McpProgress] = []
    result = await session.call_tool(name, arguments, on_progress=progress.append)
    return not result.is_error, cast("Any", result.content[0]).text, progress


@pytest.mark.parametrize("kind", ["stdio", "auto", "legacy"])
async def test_our_client_at_our_server(
    kind: str, offered: ModuleType, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    """Over pipes and HTTP, in both eras of the protocol: results, errors, progress, cancellation."""
    async with own(kind, offered, anyio_backend) as session:
        tools = {found.name: found for found in await session.tools()}
        assert list(tools) == ["Double", "Count", "wait", "cancelled", "crash", "loud", "die", "assistant"]
        assert tools["Double"].description == "Double a number."
        assert tools["Double"].parameters["properties"] == {"n": {"title": "N", "type": "integer"}}
        assert tools["Count"].parameters["properties"] == {"to": {"type": "integer"}}
        assert (await session.call_tool("Double", {"n": 4})).structured_content == {"n": 8}
        ok, said, _ = await call(session, "Double", n="many")
        assert not ok
        assert "n: Input should be a valid integer" in said
        ok, said, progress = await call(session, "Count", to=3)
        assert (ok, said) == (True, "[0,1,2]")
        assert [(it.progress, it.message) for it in progress] == [(1, "0"), (2, "1"), (3, "2")]
        assert not (await call(session, "Count", to=9))[0]
        ok, said, progress = await call(session, "assistant", content="How is the weather?")
        assert (ok, said) == (True, "It is sunny.")
        assert "".join(it.message or "" for it in progress) == "It is sunny."
        assert await call(session, "crash") == (False, "Error: tool 'crash' tried to end the process", [])
        if kind == "stdio":
            assert (await call(session, "loud", words='{"jsonrpc": "2.0"}\n'))[0]
        with pytest.raises(McpRefused, match="Unknown tool: nothing"):
            await session.call_tool("nothing")
        await _cancel_when_at_work(session)
        assert json.loads((await call(session, "cancelled"))[1])[-1] == "wait"


async def _cancel_when_at_work(session: McpSessionRef) -> None:
    with anyio.CancelScope() as scope:
        await session.call_tool("wait", on_progress=lambda _: scope.cancel())
    assert scope.cancelled_caught


def test_the_program_ends_with_its_input(offered: ModuleType) -> None:
    """A client that leaves ends the service over pipes in good order, and leaves no thread that waits."""
    program = [sys.executable, str(offered.__file__), "asyncio"]
    done = subprocess.run(program, input=b"no message\n", capture_output=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (0, b"")


# --- HTTP -----------------------------------------------------------------------------------------


async def test_the_token_is_asked_for_and_never_shown(offered: ModuleType) -> None:
    """Without the right token there is no session, the error says 401 and not the token, and no `repr` shows one."""
    async with ActorSystem("service") as system, serving(offered.service().http_app(system, token=TOKEN)) as url:
        wrong = McpServer.http(
            url + "?key=another-secret", token="wrong-token-of-ours", headers={"X-Key": "key-of-ours-too"}
        )
        with pytest.raises(StartFailed) as caught:
            await system.spawn(wrong)
        assert isinstance(caught.value.cause, McpRefused)
        assert (caught.value.cause.status, caught.value.cause.retryable) == (401, False)
        for shown in (repr(wrong), str(caught.value), system.inspect().render(), repr(wrong.spec())):
            assert "ours" not in shown
            assert "another-secret" not in shown


async def _host(
    app: Any, port: int, stop: anyio.Event, *, task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED
) -> None:
    async with serving(app, port) as url:
        task_status.started(url)
        await stop.wait()


async def test_a_service_that_comes_back(offered: ModuleType) -> None:
    """Calls fail typed and retryable while it is away; a session that it has forgotten is opened anew."""
    async with ActorSystem("service") as system, anyio.create_task_group() as group:
        stop = anyio.Event()
        url = await group.start(_host, offered.service().http_app(system), 0, stop)
        port = int(url.split(":")[2].split("/")[0])
        async with session_with(McpServer.http(url, protocol="legacy")) as session:
            assert (await call(session, "Double", n=1))[0]
            stop.set()
            with anyio.fail_after(30):
                while await _reachable(port):  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            with pytest.raises(McpUnavailable, match="cannot be reached: ConnectError") as caught:
                await session.call_tool("Double", {"n": 1})
            assert caught.value.retryable
            stop = anyio.Event()
            await group.start(_host, offered.service().http_app(system), port, stop)
            with pytest.raises(McpUnavailable, match="forgotten the session"):
                await session.call_tool("Double", {"n": 1})
            assert (await call(session, "Double", n=1))[0]
            stop.set()


async def _reachable(port: int) -> bool:
    try:
        async with await anyio.connect_tcp("127.0.0.1", port):
            return True
    except OSError:
        return False


class Faulty:
    """The service, but for calls of tools, which are answered in a way of the test's own."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.status, self.headers, self.body, self.breaks = 500, dict[str, str](), b"", False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if (b"mcp-method", b"tools/call") not in scope.get("headers", ()):
            await self._app(scope, receive, send)
            return
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": self.breaks})
        if self.breaks:
            raise ConnectionResetError


JSON = {"content-type": "application/json"}


FAULTS: list[tuple[tuple[int, dict[str, str], bytes], type[McpError], str, dict[str, Any]]] = [
    (
        (429, {"retry-after": "7"}, b"slow down"),
        McpRefused,
        "429",
        {"retryable": True, "retry_after": 7.0, "status": 429},
    ),
    ((503, JSON, b'{"detail": "no"}'), McpRefused, "503", {"retryable": True, "status": 503}),
    ((403, JSON, b"[not json"), McpRefused, "403", {"retryable": False, "retry_after": None}),
    ((404, {}, b""), McpRefused, "Not Found", {"retryable": False}),
    (
        (400, JSON, b'{"jsonrpc":"2.0","id":null,"error":{"code":-7,"message":"no"}}'),
        McpRefused,
        "no",
        {"code": -7},
    ),
    ((200, {"content-type": "text/html"}, b"<p>"), McpRefused, "text/html", {"retryable": False}),
    ((200, JSON, b"{not json"), McpMalformed, "Failed to parse", {}),
    ((200, JSON, b'"' + b"x" * 200_000), McpMalformed, "more than 100,000 bytes", {}),
    ((500, JSON, b'"' + b"x" * 200_000), McpRefused, "500", {"retryable": True}),
    ((200, {"content-type": "text/event-stream"}, b"data: " + b"x" * 200_000), McpUnavailable, "SSE", {}),
    ((200, {"content-type": "text/event-stream"}, b"data: {}\n\n"), McpMalformed, "SSE", {}),
    (
        (200, {"content-type": "text/event-stream"}, b'data: {"jsonrpc":"2.0","id":1,"result":{"content":5}}\n\n'),
        McpMalformed,
        "does not fit the protocol",
        {},
    ),
]


@pytest.mark.parametrize(
    ("answer", "error", "says", "fields"),
    FAULTS,
    ids=lambda value: f"{value[0]}-{value[2][:12]!r}" if isinstance(value, tuple) else "",
)
async def test_http_faults(
    offered: ModuleType,
    answer: tuple[int, dict[str, str], bytes],
    error: type[McpError],
    says: str,
    fields: dict[str, Any],
) -> None:
    """Each way in which a request can fail is a typed error of that request, and the session goes on."""
    async with ActorSystem("service") as system:
        app = Faulty(offered.service().http_app(system))
        app.status, app.headers, app.body = answer
        async with serving(app) as url, session_with(McpServer.http(url, max_message_bytes=100_000)) as session:
            with pytest.raises(error, match=says) as caught:
                await session.call_tool("Double", {"n": 1}, timeout=20.0)
            assert {name: getattr(caught.value, name) for name in fields} == fields
            assert len(await session.tools()) == 8
            assert session.cell.incarnation == 1


async def test_an_answer_that_breaks_off(offered: ModuleType) -> None:
    """A connection that is cut in the middle of an answer fails this call alone."""
    async with ActorSystem("service") as system:
        app = Faulty(offered.service().http_app(system))
        app.status, app.headers, app.body, app.breaks = 200, {**JSON, "content-length": "9"}, b"{", True
        async with serving(app) as url, session_with(McpServer.http(url)) as session:
            with pytest.raises(McpMalformed, match="broke off"):
                await session.call_tool("Double", {"n": 1})
            assert session.cell.incarnation == 1


async def test_where_nobody_listens() -> None:
    """An address without a server is `McpUnavailable` at once."""
    async with ActorSystem("test") as system:
        with pytest.raises(StartFailed) as caught:
            await system.spawn(McpServer.http("http://127.0.0.1:9/mcp"))
        assert isinstance(caught.value.cause, McpUnavailable)


class Changing:
    """A server of the SDK's own whose tools change, in the way of the protocol's version of 2026-07-28."""

    def __init__(self) -> None:
        self.names, self.broken, self.listens = ["change"], False, 0
        self.bus = InMemorySubscriptionBus()
        self.open = ListenHandler(self.bus)

    def app(self) -> Any:
        return Server(
            "changing", on_list_tools=self.list, on_call_tool=self.call, on_subscriptions_listen=self.listen
        ).streamable_http_app()

    async def list(self, context: Any, params: Any) -> types.ListToolsResult:
        if self.broken:
            raise MCPError(types.INTERNAL_ERROR, "no list today")
        tools = [types.Tool(name=name, input_schema={"type": "object"}) for name in self.names]
        return types.ListToolsResult(tools=tools)

    async def call(self, context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        return types.CallToolResult(content=[])

    async def listen(self, context: Any, params: Any) -> types.SubscriptionsListenResult:
        self.listens += 1
        return await self.open(context, params)


async def _until(check: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(30):
        while not await check():  # noqa: ASYNC110 - it comes about in actors and on the wire
            await anyio.sleep(0.01)


async def test_tools_that_change_are_listed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """News reaches the toolkit, also news that came while nobody listened; a list that fails changes nothing."""
    monkeypatch.setattr(connection, "WATCH_AGAIN", 0.05)
    server = Changing()
    async with serving(server.app()) as url, ActorSystem("client") as system:
        toolkit = await system.spawn(Toolkit([McpServer.http(url)]))

        async def lists(*names: str) -> bool:
            return [found.name for found in await toolkit.ask(ListTools())] == [*names]

        async def listens(times: int) -> bool:
            return server.listens == times

        assert await lists("change")
        await _until(lambda: listens(1))
        server.names.append("fresh")
        await server.bus.publish(ToolsListChanged())
        await _until(lambda: lists("change", "fresh"))
        server.names.append("late")
        closed, server.open = server.open, ListenHandler(server.bus)
        closed.close()
        await _until(lambda: lists("change", "fresh", "late"))
        await _until(lambda: listens(2))
        server.broken = True
        with structlog.testing.capture_logs() as lines:
            await server.bus.publish(ToolsListChanged())

            async def logged() -> bool:
                return any(line["event"] == "tools not listed" for line in lines)

            await _until(logged)
        assert await lists("change", "fresh", "late")


async def test_a_server_that_tells_no_changes() -> None:
    """A server that says it would, and then refuses, is used all the same."""
    server, asked = Changing(), anyio.Event()

    async def refuse(context: Any, params: Any) -> types.SubscriptionsListenResult:
        asked.set()
        raise MCPError(types.METHOD_NOT_FOUND, "no")

    server.open = cast("Any", refuse)
    async with serving(server.app()) as url, session_with(McpServer.http(url)) as session:
        await asked.wait()
        assert not (await session.call_tool("change")).is_error
        assert (await session.call_tool("change")).content == []


# --- a service ------------------------------------------------------------------------------------


async def test_calls_are_bounded_in_number() -> None:
    """So many run at once, so many wait, and one more is told to come back later."""
    running: list[int] = []
    release = anyio.Event()

    async def work(number: int) -> str:
        """Work."""
        running.append(number)
        await release.wait()
        return "done"

    service = McpService("busy", [work], max_concurrency=2, max_waiting=1)
    said: list[str] = []
    async with (
        ActorSystem("service") as system,
        serving(service.http_app(system)) as url,
        session_with(McpServer.http(url)) as session,
    ):

        async def one(number: int) -> None:
            said.append((await call(session, "work", number=number))[1])

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(one, number)
            with anyio.fail_after(30):
                while len(running) < 2 or not said:  # noqa: ASYNC110
                    await anyio.sleep(0.005)
            assert (len(running), said) == (2, ["Error: too many calls at once; try again later"])
            release.set()
    assert said[1:] == ["done"] * 3


async def test_a_service_in_front_of_a_server(offered: ModuleType) -> None:
    """Tools of one server can be offered by another service, and progress comes through."""
    async with (
        ActorSystem("test") as system,
        serving(offered.service().http_app(system)) as url,
        session_with(McpServer.http(url)) as behind,
    ):
        front = McpService("front", [Toolkit([found for found in await behind.tools() if found.name == "Count"])])
        async with serving(front.http_app(system)) as url2, session_with(McpServer.http(url2)) as session:
            ok, said, progress = await call(session, "Count", to=2)
            assert (ok, said, [it.message for it in progress]) == (True, "[0,1]", ["0", "1"])


async def test_what_can_be_exposed() -> None:
    """Functions of every kind, references and agents, with the names, descriptions and schemas that they have."""

    async def shout(text: str) -> str:
        """Say it loud."""
        return text.upper()

    async def letters(text: str) -> AsyncGenerator[str]:
        """Spell it."""
        for letter in text:
            yield letter

    @tool
    async def quiet() -> str:
        """Say nothing."""
        return ""

    async with ActorSystem("test") as system:
        ref = await system.spawn(as_function(shout), name="shouter")
        agent = await system.spawn(Agent.spec(model=ScriptedModel([text("yes"), text("no")])), name="oracle")
        exposed = [expose(it) for it in (as_function(shout), as_function(letters), quiet, shout, ref)]
        assert [(it.name, it.description) for it in exposed] == [
            ("shout", "Say it loud."),
            ("letters", "Spell it."),
            ("quiet", "Say nothing."),
            ("shout", "Say it loud."),
            ("shout", "Say it loud."),
        ]
        assert all(it.parameters["properties"] == {"text": {"type": "string"}} for it in [exposed[0], exposed[4]])
        assert expose(shout, name="cry", timeout=2.0).with_options().timeout == 2.0
        oracle = await system.spawn(expose(agent, name="ask", description="Ask."))  # one agent, which remembers
        found = [(await oracle(arguments='{"content": "?"}'))["output"]["content"] for _ in range(2)]
        assert found == ["yes", "no"]
        spelled = await system.spawn(exposed[1])
        assert (await spelled(arguments='{"text": "ab"}'))["output"] == {"content": '["a","b"]'}
    free = expose(Function, name="free", parameters={"type": "object"})
    assert free.parameters == {"type": "object"}
    with pytest.raises(ConfigurationError, match="give parameters"):
        expose(Function)
    with pytest.raises(ConfigurationError, match="makes no Function"):
        expose(McpServer.stdio("x").spec())
    with pytest.raises(ConfigurationError, match="two tools are called 'shout'"):
        McpService("twice", [shout, as_function(shout)])
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        McpService("none", [], max_concurrency=0)
    assert repr(McpService("s", [quiet])) == "McpService('s', quiet)"


@pytest.mark.parametrize(
    "make",
    [
        lambda: McpServer.stdio(""),
        lambda: McpServer.http("ftp://host"),
        lambda: McpServer.http("host"),
        lambda: McpServer.stdio("a", name="a/b"),
        lambda: McpServer.stdio("a", request_timeout=0),
        lambda: McpServer.stdio("a", max_message_bytes=0),
        lambda: McpServer.stdio("a", prefix="a.b"),
        lambda: McpServer.stdio("a", timeout=-1.0),
    ],
    ids=["command", "scheme", "host", "name", "request_timeout", "size", "prefix", "timeout"],
)
def test_what_has_no_meaning_is_refused(make: Callable[[], McpServer]) -> None:
    """A server that cannot be is a `ConfigurationError` where it is written."""
    with pytest.raises(ConfigurationError):
        make()
