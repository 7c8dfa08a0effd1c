"""Servers that others wrote: one from PyPI, and those of the protocol's makers from npm, where node is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.integrations.mcp import McpProgress, McpServer, McpSessionRef
from tinyllm_actors.testing import ScriptedModel, text, tool_call

pytestmark = pytest.mark.anyio

NODE_MODULES = os.environ.get("MCP_NODE_MODULES", "")
"""A folder in which `npm install` has put the reference servers; the tests install nothing themselves."""


def npm(package: str, *args: str) -> McpServer:
    """Return a server from npm.

    Skips the test if it is not installed.
    """
    entry = Path(NODE_MODULES) / "@modelcontextprotocol" / package / "dist" / "index.js"
    node = shutil.which("node")
    if node is None or not NODE_MODULES or not entry.exists():
        pytest.skip("needs node, and MCP_NODE_MODULES with @modelcontextprotocol/server-{everything,memory,filesystem}")
    return McpServer.stdio(node, [str(entry), *args], name=package)


async def said(session: McpSessionRef, tool: str, **arguments: object) -> str:
    """Call a tool and return its text."""
    result = await session.call_tool(tool, arguments)
    assert not result.is_error, result
    return "".join(getattr(block, "text", "") for block in result.content)


async def test_an_agent_asks_for_the_time() -> None:
    """An agent uses the tools of `mcp-server-time` as its own."""
    pytest.importorskip("mcp_server_time")
    server = McpServer.stdio(sys.executable, ["-m", "mcp_server_time", "--local-timezone", "UTC"], name="time")
    model = ScriptedModel([tool_call("get_current_time", timezone="Asia/Tokyo"), text("Late.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, tools=[server]))
        assert (await agent(content="How late is it in Tokyo?"))["status"] == "success"
    assert {schema.name for schema in model.requests[0].tools} == {"get_current_time", "convert_time"}
    assert "+09:00" in str(model.requests[1].messages[-1])


async def test_everything() -> None:
    """The server that has everything: tools, progress, resources, prompts, and an answer in the middle of noise."""
    async with ActorSystem("test") as system:
        session: McpSessionRef = await system.spawn(npm("server-everything"))
        assert len(await session.tools()) > 5
        assert "hello" in await said(session, "echo", message="hello")
        progress: list[McpProgress] = []
        names = {tool.name for tool in await session.tools()}
        long = next(name for name in names if "long" in name.lower())
        await session.call_tool(long, {"duration": 0.3, "steps": 3}, on_progress=progress.append)
        assert [it.progress for it in progress] == [1, 2, 3]
        with anyio.move_on_after(0.1) as scope:
            await session.call_tool(long, {"duration": 60, "steps": 3})
        assert scope.cancelled_caught
        assert await session.resources()
        assert await session.read_resource(str((await session.resources())[0].uri))
        prompts = await session.prompts()
        simple = next(prompt for prompt in prompts if not prompt.arguments)
        assert await session.prompt(simple.name)


async def test_memory(tmp_path: Path) -> None:
    """The knowledge graph keeps what it is told."""
    server = npm("server-memory")
    server = McpServer.stdio(server.command, server.args, env={"MEMORY_FILE_PATH": str(tmp_path / "graph.json")})
    async with ActorSystem("test") as system:
        session: McpSessionRef = await system.spawn(server)
        ann = {"name": "Ann", "entityType": "person", "observations": ["likes tea"]}
        await session.call_tool("create_entities", {"entities": [ann]})
        assert json.loads(await said(session, "read_graph"))["entities"][0]["name"] == "Ann"


async def test_filesystem(tmp_path: Path) -> None:
    """Files are read, and what lies outside is a failed call."""
    (tmp_path / "a.txt").write_text("inside")
    async with ActorSystem("test") as system:
        session: McpSessionRef = await system.spawn(npm("server-filesystem", str(tmp_path)))
        assert await said(session, "read_text_file", path=str(tmp_path / "a.txt")) == "inside"
        result = await session.call_tool("read_text_file", {"path": "/etc/passwd"})
        assert result.is_error


def test_importing_the_package_imports_no_sdk() -> None:
    """Describing servers and services costs nothing; the SDK comes with the first session."""
    code = (
        "import sys, tinyllm_actors.integrations.mcp; print(sorted({'mcp', 'mcp_types', 'httpx2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_first_result_with_a_schema_imports_nothing() -> None:
    """However a connection came to be loaded, what checks results is there: to import it would block the event loop."""
    code = "import sys, tinyllm_actors.integrations.mcp.connection; print('jsonschema' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
