"""Our agent in the scenarios: on its defaults, but for shorter patience so that a test need not wait."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from provider import describe, scripted_server
from scenarios import BUDGET, SCENARIOS, Chat, Tools, play

from tinyllm_actors import ActorSystem, Agent, BufferMemory
from tinyllm_actors.agent import RunFinished, TextDelta
from tinyllm_actors.tool import Tool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["play_ours"]

TOOL_TIMEOUT = 0.5
IDLE_TIMEOUT = 0.5


class OurChat:
    """A conversation with an agent."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    async def turn(self, content: str) -> str:
        """Say something."""
        return self._end(await self._agent.within(None)(content=content))

    async def stream(self, content: str, on_piece: Callable[[], Awaitable[bool]]) -> str:
        """Say something and read."""
        async with self._agent.stream(content=content) as events:
            async for event in events:
                if isinstance(event, TextDelta) and not await on_piece():
                    break
                if isinstance(event, RunFinished):
                    return self._end(event.result)
        return "left"

    @staticmethod
    def _end(result: Any) -> str:
        return "an answer" if result["status"] == "success" else f"`{result['error']['type']}`"


@asynccontextmanager
async def open_chat(name: str, base_url: str, tools: Tools) -> AsyncGenerator[Chat]:
    """Start an agent."""
    spec = Agent.spec(
        model="openai/bench",
        model_options={"api_base": base_url, "api_key": "x"},
        tools=[Tool.from_function(function, timeout=TOOL_TIMEOUT) for function in tools.all()],
        memory=BufferMemory.spec(buffer_size=100),
        idle_timeout=IDLE_TIMEOUT,
        max_tokens=BUDGET if SCENARIOS[name].budget else None,
    )
    async with ActorSystem("behaviour") as system:
        yield OurChat(await system.spawn(spec))


async def play_ours(name: str) -> str:
    """Play one scenario, and return what happened."""
    tools = Tools()
    async with scripted_server(name) as server:
        async with open_chat(name, server.base_url, tools) as chat:
            ended = await play(name, chat, tools)
        return describe(server, ended)
