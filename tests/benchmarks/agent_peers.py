"""Other frameworks holding the same conversations, each as its documentation shows it; all are optional."""

from __future__ import annotations

import importlib
import sys
import warnings
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_subjects import CHARACTER, get_user_property

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from agent_subjects import Conversation, Subject

__all__ = ["PEERS"]

load: Callable[[str], Any] = importlib.import_module  # none of them need be installed where types are checked


@asynccontextmanager
async def pydantic_ai() -> AsyncGenerator[Subject]:
    """Open pydantic-ai: one agent for all conversations, a history for each."""
    agents: dict[str, Any] = {}

    class Talk:
        def __init__(self, agent: Any, forgetful: bool) -> None:
            self.agent = agent
            self.forgetful = forgetful
            self.history: list[Any] = []

        async def turn(self, content: str) -> None:
            result = await self.agent.run(content, message_history=self.history)
            assert result.output
            if not self.forgetful:
                self.history = result.all_messages()

        async def stream(self, content: str) -> int:
            count = 0
            async with self.agent.run_stream(content, message_history=self.history) as result:
                async for _ in result.stream_text(delta=True, debounce_by=None):
                    count += 1
            return count

    class Agents:
        async def conversation(self, base: str, *, forgetful: bool = False) -> Conversation:
            if base not in agents:
                provider = load("pydantic_ai.providers.openai").OpenAIProvider(base_url=base, api_key="x")
                model = load("pydantic_ai.models.openai").OpenAIChatModel("bench", provider=provider)
                agents[base] = load("pydantic_ai").Agent(model, system_prompt=CHARACTER, tools=[get_user_property])
            return Talk(agents[base], forgetful)

    yield Agents()


@asynccontextmanager
async def openai_agents() -> AsyncGenerator[Subject]:
    """Open openai-agents: one agent for all conversations, a list of items for each."""
    # Beside this file there is one of the same name.
    sys.path.remove(str(Path(__file__).parent))
    agents = load("agents")
    agents.set_tracing_disabled(True)
    known: dict[str, Any] = {}
    tool = agents.function_tool(get_user_property)

    class Talk:
        def __init__(self, agent: Any, forgetful: bool) -> None:
            self.agent = agent
            self.forgetful = forgetful
            self.items: list[Any] = []

        async def turn(self, content: str) -> None:
            result = await agents.Runner.run(self.agent, [*self.items, {"role": "user", "content": content}])
            assert result.final_output
            if not self.forgetful:
                self.items = result.to_input_list()

        async def stream(self, content: str) -> int:
            count = 0
            result = agents.Runner.run_streamed(self.agent, [*self.items, {"role": "user", "content": content}])
            async for event in result.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    count += 1
            return count

    class Agents:
        async def conversation(self, base: str, *, forgetful: bool = False) -> Conversation:
            if base not in known:
                client = load("openai").AsyncOpenAI(base_url=base, api_key="x", max_retries=0, timeout=600)
                model = agents.OpenAIChatCompletionsModel(model="bench", openai_client=client)
                known[base] = agents.Agent(name="bench", instructions=CHARACTER, model=model, tools=[tool])
            return Talk(known[base], forgetful)

    yield Agents()


@asynccontextmanager
async def langgraph() -> AsyncGenerator[Subject]:
    """Open langgraph: one graph for all conversations, a list of messages for each, without a saver."""
    graphs: dict[str, Any] = {}

    class Talk:
        def __init__(self, graph: Any, forgetful: bool) -> None:
            self.graph = graph
            self.forgetful = forgetful
            self.messages: list[Any] = []

        async def turn(self, content: str) -> None:
            result = await self.graph.ainvoke({"messages": [*self.messages, {"role": "user", "content": content}]})
            assert result["messages"][-1].content
            if not self.forgetful:
                self.messages = result["messages"]

        async def stream(self, content: str) -> int:
            count = 0
            said = {"messages": [*self.messages, {"role": "user", "content": content}]}
            async for piece, _ in self.graph.astream(said, stream_mode="messages"):
                count += bool(piece.content)
            return count

    class Graphs:
        async def conversation(self, base: str, *, forgetful: bool = False) -> Conversation:
            if base not in graphs:
                model = load("langchain_openai").ChatOpenAI(
                    model="bench", base_url=base, api_key="x", max_retries=0, timeout=600
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    graphs[base] = load("langgraph.prebuilt").create_react_agent(
                        model, [get_user_property], prompt=CHARACTER
                    )
            return Talk(graphs[base], forgetful)

    yield Graphs()


@asynccontextmanager
async def agno() -> AsyncGenerator[Subject]:
    """Open agno: one agent for all conversations, a list of messages for each, without a database."""
    known: dict[str, Any] = {}
    message = load("agno.models.message").Message

    class Talk:
        def __init__(self, agent: Any, forgetful: bool) -> None:
            self.agent = agent
            self.forgetful = forgetful
            self.messages: list[Any] = []

        async def turn(self, content: str) -> None:
            result = await self.agent.arun([*self.messages, message(role="user", content=content)])
            assert result.content
            if not self.forgetful:
                self.messages = [said for said in result.messages if said.role != "system"]

        async def stream(self, content: str) -> int:
            count = 0
            async for event in self.agent.arun([*self.messages, message(role="user", content=content)], stream=True):
                count += event.event == "RunContent"
            return count

    class Agents:
        async def conversation(self, base: str, *, forgetful: bool = False) -> Conversation:
            if base not in known:
                model = load("agno.models.openai").OpenAIChat(
                    id="bench", base_url=base, api_key="x", max_retries=0, timeout=600
                )
                known[base] = load("agno.agent").Agent(
                    model=model, system_message=CHARACTER, tools=[get_user_property], telemetry=False
                )
            return Talk(known[base], forgetful)

    yield Agents()


@asynccontextmanager
async def autogen() -> AsyncGenerator[Subject]:
    """Open autogen: one client for all conversations, an agent for each, as an agent of it holds its own messages."""
    warnings.filterwarnings("ignore", "Resolved model mismatch")
    clients: dict[str, Any] = {}
    chat = load("autogen_agentchat.messages")

    class Talk:
        def __init__(self, client: Any, forgetful: bool) -> None:
            self.client = client
            self.forgetful = forgetful
            self.agent = self.fresh()

        def fresh(self, *, streaming: bool = False) -> Any:
            return load("autogen_agentchat.agents").AssistantAgent(
                "bench",
                self.client,
                tools=[get_user_property],
                system_message=CHARACTER,
                reflect_on_tool_use=True,
                model_client_stream=streaming,
            )

        async def turn(self, content: str) -> None:
            result = await self.agent.run(task=content)
            assert result.messages[-1].content
            if self.forgetful:
                self.agent = self.fresh()

        async def stream(self, content: str) -> int:
            count = 0
            async for event in self.fresh(streaming=True).run_stream(task=content):
                count += isinstance(event, chat.ModelClientStreamingChunkEvent)
            return count

    class Agents:
        async def conversation(self, base: str, *, forgetful: bool = False) -> Conversation:
            if base not in clients:
                about = {"vision": False, "function_calling": True, "json_output": False, "family": "unknown"}
                clients[base] = load("autogen_ext.models.openai").OpenAIChatCompletionClient(
                    model="bench",
                    base_url=base,
                    api_key="x",
                    max_retries=0,
                    timeout=600,
                    model_info={**about, "structured_output": False},
                )
            return Talk(clients[base], forgetful)

    yield Agents()


PEERS: dict[str, Callable[[], AbstractAsyncContextManager[Subject]]] = {
    "pydantic-ai": pydantic_ai,
    "openai-agents": openai_agents,
    "langgraph": langgraph,
    "agno": agno,
    "autogen": autogen,
}
