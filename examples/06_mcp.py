"""Offer tools to MCP clients, and let an agent use them: this program is the server, the client and the agent.

python examples/06_mcp.py [--model local|scripted|openai/gpt-4o-mini|…] [--backend asyncio|uvloop|trio]
python examples/06_mcp.py --serve          what it starts: an MCP server over standard input and output
"""

import argparse
import sys
from typing import Any

import anyio

from tinyllm_actors import ActorSystem, Agent, FunctionStream
from tinyllm_actors.agent import RunFinished, ToolProgress
from tinyllm_actors.integrations.local_model import LocalModel
from tinyllm_actors.integrations.mcp import McpServer, McpService
from tinyllm_actors.llm import ChatModel
from tinyllm_actors.testing import ScriptedModel, text, tool_call

QUESTION = "Add up the numbers from 1 to 4, one after another."
ANSWER = "The sums are 1, 3, 6 and 10."


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


class Sums(FunctionStream):
    """Add up the numbers from 1 to n, and tell each sum on the way."""

    async def run(self, n: int):  # type: ignore[override]
        total = 0
        for number in range(1, n + 1):
            total += number
            yield total


async def serve() -> None:
    async with ActorSystem("sums") as system:
        await McpService("sums", [multiply, Sums]).serve_stdio(system)


def choose_model(name: str) -> str | ChatModel:
    if name == "local" and (reason := LocalModel.available()):
        print(f"{reason}; a scripted model answers instead", file=sys.stderr)
        name = "scripted"
    return ScriptedModel([tool_call("Sums", n=4), text(ANSWER)]) if name == "scripted" else name


async def main(model: str, backend: str) -> None:
    server = McpServer.stdio(sys.executable, [__file__, "--serve", "--backend", backend], name="sums")
    async with ActorSystem("example") as system:
        agent = await system.spawn(Agent.spec(model=choose_model(model), tools=[server]), name="Agent")
        print(system.inspect().render())
        async with agent.stream(content=QUESTION) as events:
            async for event in events:
                if isinstance(event, ToolProgress):
                    print("progress:", event.progress)
                elif isinstance(event, RunFinished):
                    print(event.result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="local", help="local, scripted, or a name such as openai/gpt-4o-mini")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    parser.add_argument("--serve", action="store_true", help="be the server")
    given = parser.parse_args()
    loop: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    if given.serve:
        anyio.run(serve, **loop)
    else:
        anyio.run(main, given.model, given.backend, **loop)
