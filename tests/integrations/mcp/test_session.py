"""A session with an MCP server over pipes: what it offers, and what becomes of it when the server misbehaves."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog

from tinyllm_actors import ActorSystem, Agent, Backoff, Supervisor, Toolkit
from tinyllm_actors.errors import (
    ActorFailed,
    McpMalformed,
    McpRefused,
    McpTimeout,
    McpUnavailable,
    StartFailed,
)
from tinyllm_actors.function import FunctionRef
from tinyllm_actors.integrations.mcp import McpProgress, McpServer, McpSessionRef
from tinyllm_actors.llm import AssistantMessage, UserMessage
from tinyllm_actors.testing import ScriptedModel, text, tool_call
from tinyllm_actors.tool import ListTools, ToolOutcome, ToolProgress, ToolRequest

pytestmark = pytest.mark.anyio

FAKE = str(Path(__file__).parent / "fake_server.py")
SECRET = "s3cret-value-of-the-environment"


def fake(mode: str = "", **options: Any) -> McpServer:
    """Return the fake server in a mode."""
    options.setdefault("name", "fake")
    return McpServer.stdio(sys.executable, ["-I", FAKE, mode], **options)


@asynccontextmanager
async def session_with(server: McpServer) -> AsyncGenerator[tuple[ActorSystem, McpSessionRef]]:
    """Hold a session open, under a supervisor that hardly waits."""
    async with ActorSystem("test") as system:
        quick = Supervisor(max_restarts=10, period=60.0, backoff=Backoff(0.01, 0.01, jitter=0.0))
        await system.supervise(quick, [server.spec().named("session")], name="quick")
        yield system, system["quick/session"]


async def outcome(toolkit: FunctionRef, name: str, **arguments: Any) -> ToolOutcome:
    """Call one tool as a model does."""
    result = await toolkit(calls=[ToolRequest("1", name, json.dumps(arguments))])
    assert result["status"] == "success", result
    return result["output"]["outcomes"][0]


async def said(session: McpSessionRef, name: str, text: str = "") -> str:
    """Call one tool as a program does, and return its text."""
    result = await session.call_tool(name, {"text": text})
    return "".join(getattr(block, "text", "") for block in result.content)


@asynccontextmanager
async def hanging(session: McpSessionRef, ends: Callable[[BaseException], None]) -> AsyncGenerator[int]:
    """Make a call that is never answered; yields the process that works on it."""
    at_work = anyio.Event()
    pids: list[int] = []

    def note(progress: McpProgress) -> None:
        pids.append(int(progress.message or "0"))
        at_work.set()

    async def call() -> None:
        try:
            await session.call_tool("hang", on_progress=note)
        except Exception as error:
            ends(error)

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await at_work.wait()
        yield pids[0]


def sessions(system: ActorSystem) -> list[str]:
    """Return the names of the shared sessions."""
    return [node.name for node in system.inspect("services").children if node.actor == "McpSession"]


# --- what it offers -------------------------------------------------------------------------------


async def test_tools_resources_and_prompts() -> None:
    """All that a server has is there, page by page, in the types of this library where it has any."""
    async with session_with(fake(prefix="f_", only=["echo", "fail", "blob/all"], timeout=5.0)) as (_, session):
        tools = await session.tools()
        assert [tool.name for tool in tools] == ["f_echo", "f_fail", "f_blob_all"]
        assert (tools[0].description, tools[0].timeout) == ("The tool echo.", 5.0)
        assert tools[0].parameters["properties"] == {"text": {"type": "string"}}
        assert await said(session, "echo", "hello") == "hello"
        assert [resource.name for resource in await session.resources()] == ["a"]
        assert await session.read_resource("file:///a") == ["text", b"hello"]
        assert [prompt.name for prompt in await session.prompts()] == ["greet"]
        assert await session.prompt("greet", {"name": "Ann"}) == [
            UserMessage("Greet Ann."),
            AssistantMessage(content="Hi"),
        ]


async def test_a_server_with_nothing_has_nothing() -> None:
    """What a server does not offer is not asked for."""
    async with session_with(fake("bare")) as (_, session):
        assert (await session.tools(), await session.resources(), await session.prompts()) == ([], [], [])


async def test_a_server_may_print() -> None:
    """Lines on its output that are no messages, and any amount on its standard error, do no harm."""
    for mode in ("banner", "chatty"):
        async with session_with(fake(mode)) as (_, session):
            assert await said(session, "echo", "hello") == "hello"


async def test_results_as_the_model_sees_them() -> None:
    """Text is text, what cannot be shown is named, a failed tool is a failed outcome, too much is cut."""
    async with ActorSystem("test") as system:
        kit = await system.spawn(Toolkit([fake(max_result_chars=1000)]))
        assert (await outcome(kit, "echo", text="hello")).content == "hello"
        assert (await outcome(kit, "blob_all", text="by another name")).content == "by another name"
        assert (await outcome(kit, "structured")).content == '{"n":1}'
        assert (await outcome(kit, "picture")).content.splitlines() == [
            "[image/png, 6 bytes, not shown]",
            "[resource file:///a.txt]",
            "inside",
            "[resource file:///b.bin, binary, 6 bytes, not shown]",
            "[resource c, file:///c: the third]",
        ]
        big = (await outcome(kit, "big", text="200000")).content
        assert len(big) <= 1000
        assert "200,000 characters" in big
        failed = await outcome(kit, "fail", text="no such file")
        assert (failed.status, failed.error, failed.content) == ("error", "ToolError", "Error: no such file")
        assert "did not say why" in (await outcome(kit, "fail")).content
        lie = await outcome(kit, "lie")
        assert (lie.status, lie.error) == ("error", "McpMalformed")


async def test_progress_is_the_tools_progress() -> None:
    """What a server reports comes out of the toolkit's stream, and the tool's time-out ends a call that hangs."""
    async with ActorSystem("test") as system:
        kit = await system.spawn(Toolkit([fake(timeout=1.0)]))
        async with kit.stream(calls=[ToolRequest("1", "hang", "{}")]) as events:
            seen = [event async for event in events]
        progress = next(event.progress for event in seen if isinstance(event, ToolProgress))
        assert isinstance(progress, McpProgress)
        assert (progress.progress, progress.total) == (1, 2)
        assert seen[-1]["output"]["outcomes"][0].error == "ToolTimeout"
        assert json.loads((await outcome(kit, "cancelled")).content)


async def test_all_agents_share_one_session() -> None:
    """Equal servers are one process, started with the first agent; unequal ones are two."""
    async with ActorSystem("test") as system:
        for name in ("a", "b"):
            model = ScriptedModel([tool_call("echo", text="ping"), text("pong")])
            agent = await system.spawn(Agent.spec(model=model, tools=[fake()]), name=name)
            assert (await agent(content="ping?"))["status"] == "success"
            assert "ping" in str(model.requests[-1].messages)
        assert len(sessions(system)) == 1
        await system.spawn(Toolkit([fake(prefix="x")]))
        assert len(sessions(system)) == 2


async def test_changed_tools_reach_the_toolkit() -> None:
    """After `tools/list_changed` the next call of the model sees the tools there are now."""
    async with session_with(fake()) as (system, session):
        kit = await system.spawn(Toolkit([_Own(session)]))
        assert "no tool 'fresh'" in (await outcome(kit, "fresh")).content
        await outcome(kit, "change", text="fresh")
        with anyio.fail_after(30):
            while "fresh" not in [tool.name for tool in await kit.ask(ListTools())]:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        assert (await outcome(kit, "fresh")).status == "success"


class _Own(McpServer):
    """A source that is a session of one's own."""

    def __init__(self, session: McpSessionRef) -> None:
        object.__setattr__(self, "session", session)

    async def open(self, system: ActorSystem) -> McpSessionRef:
        return self.session  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


async def test_tools_that_cannot_be_used_are_left_out() -> None:
    """A tool whose schema is far too long, or whose name is taken, is logged; the others are there."""
    with structlog.testing.capture_logs() as lines:
        async with session_with(fake("odd")) as (_, session):
            assert len(await session.tools()) == 14
    assert [line["tool"] for line in lines if line["event"] == "tool left out"] == ["blob_all", "long"]


# --- what can go wrong ----------------------------------------------------------------------------


async def test_a_killed_server_is_started_again() -> None:
    """Kill -9 in the middle of a call: the call fails typed and retryable, and the next one works."""
    errors: list[BaseException] = []
    async with session_with(fake()) as (system, session):
        async with hanging(session, errors.append) as pid:
            os.kill(pid, signal.SIGKILL)
        assert isinstance(errors[0], McpUnavailable)
        assert errors[0].retryable
        assert "ended by SIGKILL" in str(errors[0])
        assert await said(session, "echo", "again") == "again"
        assert system.inspect("quick/session").incarnation == 2


async def test_a_server_that_dies_while_nobody_calls() -> None:
    """It is started again at once, and toolkits learn which tools it has now."""
    pid = 0
    async with session_with(fake()) as (system, session):
        kit = await system.spawn(Toolkit([_Own(session)]))
        with anyio.CancelScope() as scope:
            async with hanging(session, lambda _: None) as pid:
                scope.cancel()
        await outcome(kit, "change", text="fresh")

        async def has(name: str) -> bool:
            return name in [tool.name for tool in await kit.ask(ListTools())]

        with anyio.fail_after(30):
            while not await has("fresh"):  # noqa: ASYNC110
                await anyio.sleep(0.01)
            os.kill(pid, signal.SIGKILL)
            while await has("fresh"):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        assert system.inspect("quick/session").incarnation == 2


async def test_a_server_that_ends_says_why_without_secrets() -> None:
    """Its exit code and last words are in the error, what its environment holds is not, and toolkits go on."""
    async with ActorSystem("test") as system:
        kit = await system.spawn(Toolkit([fake(env={"SECRET": SECRET})]))
        failed = await outcome(kit, "die")
        assert (failed.status, failed.error) == ("error", "McpUnavailable")
        assert "exit code 3: a last word with ***" in failed.content
        assert SECRET not in failed.content
        assert (await outcome(kit, "echo", text="alive")).content == "alive"
        assert (await kit.ask(ListTools()))[0].name == "echo"


async def test_cancelling_a_call_tells_the_server() -> None:
    """The server gets `notifications/cancelled`, and the session goes on."""
    async with session_with(fake()) as (_, session):
        with anyio.CancelScope() as scope:
            async with hanging(session, lambda _: None):
                scope.cancel()
        assert len(json.loads(await said(session, "cancelled"))) == 1


async def test_a_call_has_its_own_time_out() -> None:
    """A call that is not answered in time is `McpTimeout`, and cancelled."""
    async with session_with(fake()) as (_, session):
        with pytest.raises(McpTimeout, match="did not answer in time"):
            await session.call_tool("hang", timeout=0.3)
        assert json.loads(await said(session, "cancelled"))


@pytest.mark.parametrize(
    ("server", "error", "says"),
    [
        (fake("garbage"), McpMalformed, "100 lines that are no messages"),
        (fake("huge", max_message_bytes=10_000), McpMalformed, "more than 10,000 bytes"),
        (fake("silent", protocol="legacy", request_timeout=0.3), McpTimeout, "did not answer in time"),
        (fake("leave"), McpUnavailable, "exit code 1: cannot open the files"),
        (fake("schema"), McpMalformed, "does not fit the protocol"),
        (fake("endless"), McpMalformed, "more than 100 pages"),
        (fake("many"), McpMalformed, "more than 1,000 things"),
        (fake("ancient"), McpMalformed, "1999-01-01"),
        (McpServer.stdio("/no/such/program"), McpUnavailable, "cannot start '/no/such/program'"),
    ],
    ids=lambda value: value.args[-1] if isinstance(value, McpServer) and value.args else None,
)
async def test_a_server_that_cannot_be_used(server: McpServer, error: type[Exception], says: str) -> None:
    """A session with it does not start, and the error is typed and says what is wrong."""
    async with ActorSystem("test") as system:
        with pytest.raises(StartFailed) as caught:
            await system.spawn(server)
        assert type(caught.value.cause) is error
        assert says in str(caught.value.cause)


async def test_an_answer_that_is_too_large() -> None:
    """It ends the connection, the call fails as malformed, and the next one works."""
    async with session_with(fake(max_message_bytes=100_000)) as (_, session):
        with pytest.raises(McpMalformed, match="more than 100,000 bytes"):
            await session.call_tool("big", {"text": "200000"})
        assert await said(session, "echo", "again") == "again"


@pytest.mark.parametrize("how", ["deafen", "freeze"])
async def test_a_server_that_hears_nothing_any_more(how: str) -> None:
    """After some calls that it does not answer it counts as gone, although its process is there, and is replaced."""
    async with session_with(fake(request_timeout=2.0)) as (system, session):
        for name in (how, "echo", "echo", "echo"):
            with suppress(McpTimeout, McpUnavailable):
                await session.call_tool(name, timeout=0.2)
        with anyio.fail_after(30):
            while system.inspect("quick/session").incarnation == 1:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        assert await said(session, "echo", "again") == "again"


async def test_a_server_that_does_not_want_to_end_is_killed() -> None:
    """Neither the end of its input nor SIGTERM moves it; nothing of it is left."""
    async with session_with(fake("stubborn")) as (_, session):
        assert await said(session, "echo", "hello") == "hello"


def _runs(pid: str) -> bool:
    try:
        return " Z " not in Path("/proc", pid, "stat").read_text()  # a zombie has ended, and waits to be noticed
    except FileNotFoundError:
        return False


async def test_what_a_server_started_ends_with_it() -> None:
    """A process that the server leaves behind is killed too."""
    async with session_with(fake()) as (_, session):
        pid = await said(session, "fork")
        assert _runs(pid)
    with anyio.fail_after(30):
        while _runs(pid):  # noqa: ASYNC110 - it is no child of this process
            await anyio.sleep(0.01)


async def test_errors_of_requests() -> None:
    """What the server refuses is `McpRefused` with its code; what it sends wrong is malformed."""
    async with session_with(fake(env={"SECRET": SECRET})) as (_, session):
        with pytest.raises(McpRefused, match=r"no such resource \*\*\*") as caught:
            await session.read_resource("file:///none")
        assert (caught.value.code, caught.value.retryable) == (-32002, False)
        with pytest.raises(McpMalformed, match="no base64"):
            await session.read_resource("file:///bad")
        with pytest.raises(ActorFailed, match="takes no str"):
            await session.ask("hello")
        assert await said(session, "echo", "hello") == "hello"


async def test_without_a_session_calls_fail_in_time() -> None:
    """A session that is closed, or not there within the time-out, is `McpUnavailable`."""
    async with ActorSystem("test") as system:
        session: McpSessionRef = await system.spawn(fake(request_timeout=0.2), name="s")
        await session.suspend()
        with pytest.raises(McpUnavailable, match=r"no connection within 0\.2 s"):
            await session.tools()
        await session.resume()
        await session.stop()
        with pytest.raises(McpUnavailable, match="there is no session") as caught:
            await session.call_tool("echo")
        assert not caught.value.retryable
