"""Another framework in one scenario: `python others.py PEER SCENARIO URL` prints how both turns ended, as JSON.

Each is set up as its documentation shows, on its defaults. It runs where that framework is installed; see `table.py`.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import anyio
from scenarios import BUDGET, SCENARIOS, Chat, Tools, play

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

load: Callable[[str], Any] = importlib.import_module  # none of them need be installed where types are checked
NO_BUDGET = "there is no such limit"


class PydanticAI:
    """pydantic-ai, with the messages of the turns that ended well as history."""

    def __init__(self, url: str, tools: Tools, budget: bool) -> None:
        package = load("pydantic_ai")
        provider = load("pydantic_ai.providers.openai").OpenAIProvider(base_url=url, api_key="x")
        model = load("pydantic_ai.models.openai").OpenAIChatModel("bench", provider=provider)
        self.agent = package.Agent(model, tools=tools.all())
        self.limits = package.UsageLimits(total_tokens_limit=BUDGET, request_limit=None) if budget else None
        self.history: list[Any] = []

    async def turn(self, content: str) -> str:
        limits = self.limits if content == "Go." else None
        result = await self.agent.run(content, message_history=self.history, usage_limits=limits)
        self.history = result.all_messages()
        return "an answer"

    async def stream(self, content: str, on_piece: Callable[[], Awaitable[bool]]) -> str:
        async with self.agent.run_stream(content, message_history=self.history) as result:
            async for _ in result.stream_text(delta=True, debounce_by=None):
                if not await on_piece():
                    return "left"
            self.history = result.all_messages()
        return "an answer"


class OpenAIAgents:
    """openai-agents, with the items of a session in memory as history."""

    def __init__(self, url: str, tools: Tools, budget: bool) -> None:
        if budget:
            raise NotImplementedError
        self.agents = agents = load("agents")
        agents.set_tracing_disabled(True)
        model = agents.OpenAIChatCompletionsModel(
            model="bench", openai_client=load("openai").AsyncOpenAI(base_url=url, api_key="x")
        )
        self.agent = agents.Agent(name="a", model=model, tools=[agents.function_tool(f) for f in tools.all()])
        self.session = agents.SQLiteSession("conversation")

    async def turn(self, content: str) -> str:
        await self.agents.Runner.run(self.agent, content, session=self.session)
        return "an answer"

    async def stream(self, content: str, on_piece: Callable[[], Awaitable[bool]]) -> str:
        result = self.agents.Runner.run_streamed(self.agent, content, session=self.session)
        async for event in result.stream_events():
            is_text = event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
            if is_text and not await on_piece():
                return "left"
        return "an answer"


class LangGraph:
    """langgraph, with a saver in memory."""

    def __init__(self, url: str, tools: Tools, budget: bool) -> None:
        if budget:
            raise NotImplementedError
        model = load("langchain_openai").ChatOpenAI(model="bench", base_url=url, api_key="x")
        saver = load("langgraph.checkpoint.memory").InMemorySaver()
        self.graph = load("langgraph.prebuilt").create_react_agent(model, tools.all(), checkpointer=saver)
        self.config = {"configurable": {"thread_id": "1"}}

    async def turn(self, content: str) -> str:
        await self.graph.ainvoke({"messages": [{"role": "user", "content": content}]}, self.config)
        return "an answer"

    async def stream(self, content: str, on_piece: Callable[[], Awaitable[bool]]) -> str:
        said = {"messages": [{"role": "user", "content": content}]}
        async for piece, _ in self.graph.astream(said, self.config, stream_mode="messages"):
            if piece.content and not await on_piece():
                return "left"
        return "an answer"


class Caught:
    """A chat whose errors are told by name."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def turn(self, content: str) -> str:
        try:
            return await self._chat.turn(content)
        except Exception as error:
            return f"`{type(error).__name__}`"

    async def stream(self, content: str, on_piece: Callable[[], Awaitable[bool]]) -> str:
        try:
            return await self._chat.stream(content, on_piece)
        except Exception as error:
            return f"`{type(error).__name__}`"


PEERS: dict[str, Any] = {"pydantic-ai": PydanticAI, "openai-agents": OpenAIAgents, "langgraph": LangGraph}


async def main(peer: str, name: str, url: str) -> dict[str, str]:
    """Play one scenario with one peer."""
    tools = Tools()
    try:
        chat = PEERS[peer](url, tools, SCENARIOS[name].budget)
    except NotImplementedError:
        return {"first": NO_BUDGET, "second": ""}
    return await play(name, Caught(chat), tools)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    print(json.dumps(anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])), flush=True)
    os._exit(0)  # whatever a tool that was not cancelled still waits for
