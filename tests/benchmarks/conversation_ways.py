"""Holds conversations in one way, kept in one store, and prints what a turn costs; `conversations.py` starts it.

    python conversation_ways.py WAY TARGET CONVERSATIONS

A process of its own for each way, with an interpreter that may have other packages. The model is scripted, the same for
all: each of five turns is a question, a call of a tool and an answer of 280 characters. TARGET is a folder for SQLite,
or a URL of PostgreSQL. All keep what their documentation says to keep, with the settings they come with.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    Turn = Callable[[str, str], Awaitable[str]]

TURNS = 5
ANSWER = "A line of a conversation that goes on about birthdays and their dates. " * 4
ARGUMENTS = '{"asked_property": "birthday"}'


def load(module: str) -> Any:
    """Import what may not be here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(module)


def get_user_property(asked_property: str) -> str:
    """Look up a property of the current user."""
    return {"birthday": "January 1st"}[asked_property]


# --- ways: each yields a function of a conversation's key and a question ----------------------------


@asynccontextmanager
async def tinyllm(store: str) -> AsyncGenerator[Turn]:
    """Open a set of conversations."""
    ours, llm = load("tinyllm_actors"), load("tinyllm_actors.llm")

    class Scripted(llm.ChatModel):
        name = "bench"

        async def complete(self, request: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            if isinstance(request.messages[-1], llm.ToolMessage):
                message = llm.AssistantMessage(ANSWER)
            else:
                call = llm.FunctionCall("get_user_property", ARGUMENTS)
                message = llm.AssistantMessage(tool_calls=[llm.ToolCall(f"c{len(request.messages)}", call)])
            return llm.Completion(message, model="bench", usage=llm.Usage(500, 50, 550))

        @asynccontextmanager
        async def stream(self, request: Any) -> AsyncGenerator[Any]:
            async def events() -> AsyncGenerator[Any]:
                yield llm.Completed(await self.complete(request))

            yield events()

    async with ours.ActorSystem("bench") as system:
        agent = ours.Agent.spec(model=Scripted(), tools=[get_user_property])
        chats = await system.conversations(agent, store=store)

        async def turn(key: str, question: str) -> str:
            result = await chats[key](content=question)
            return result["output"]["response"]["choices"][0]["message"]["content"]

        yield turn


async def _graph(saver: Any) -> Turn:
    messages = load("langchain_core.messages")
    results = load("langchain_core.outputs")

    class Scripted(load("langchain_core.language_models").BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "bench"

        def bind_tools(self, tools: Any, **_: Any) -> Any:
            return self

        def _generate(self, said: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
            usage = {"input_tokens": 500, "output_tokens": 50, "total_tokens": 550}
            if said[-1].type == "tool":
                message = messages.AIMessage(ANSWER, usage_metadata=usage)
            else:
                call = {"name": "get_user_property", "args": json.loads(ARGUMENTS), "id": f"c{len(said)}"}
                message = messages.AIMessage("", tool_calls=[call], usage_metadata=usage)
            return results.ChatResult(generations=[results.ChatGeneration(message=message)])

        async def _agenerate(self, said: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            return self._generate(said)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = load("langgraph.prebuilt").create_react_agent(Scripted(), [get_user_property], checkpointer=saver)

    async def turn(key: str, question: str) -> str:
        said = {"messages": [{"role": "user", "content": question}]}
        result = await graph.ainvoke(said, {"configurable": {"thread_id": key}})
        return result["messages"][-1].content

    return turn


@asynccontextmanager
async def langgraph_sqlite(path: str) -> AsyncGenerator[Turn]:
    """Open a graph with its SQLite saver."""
    async with load("langgraph.checkpoint.sqlite.aio").AsyncSqliteSaver.from_conn_string(path) as saver:
        yield await _graph(saver)


@asynccontextmanager
async def langgraph_postgres(url: str) -> AsyncGenerator[Turn]:
    """Open a graph with its PostgreSQL saver."""
    async with load("langgraph.checkpoint.postgres.aio").AsyncPostgresSaver.from_conn_string(url) as saver:
        await saver.setup()
        yield await _graph(saver)


@asynccontextmanager
async def openai_agents(path: str) -> AsyncGenerator[Turn]:
    """Open an agent with a SQLite session for each conversation."""
    agents = load("agents")
    agents.set_tracing_disabled(True)
    types = load("openai.types.responses")
    usage = load("agents.usage").Usage(requests=1, input_tokens=500, output_tokens=50, total_tokens=550)

    class Scripted(load("agents.models.interface").Model):
        async def get_response(self, *given: Any, **named: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            said = named["input"] if "input" in named else given[1]
            if not isinstance(said, str) and said[-1].get("type") == "function_call_output":
                text = types.ResponseOutputText(text=ANSWER, type="output_text", annotations=[])
                item = types.ResponseOutputMessage(
                    id="m", content=[text], role="assistant", status="completed", type="message"
                )
            else:
                item = types.ResponseFunctionToolCall(
                    arguments=ARGUMENTS, call_id=f"c{len(said)}", name="get_user_property", type="function_call"
                )
            return agents.ModelResponse(output=[item], usage=usage, response_id=None)

        def stream_response(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    agent = agents.Agent(name="bench", model=Scripted(), tools=[agents.function_tool(get_user_property)])

    sessions: dict[str, Any] = {}

    async def turn(key: str, question: str) -> str:
        session = sessions.get(key)
        if session is None:
            session = sessions[key] = agents.SQLiteSession(key, path)
        return (await agents.Runner.run(agent, question, session=session)).final_output

    yield turn
    for session in sessions.values():
        session.close()


WAYS: dict[str, tuple[str, Callable[[str], AbstractAsyncContextManager[Turn]]]] = {
    "tinyllm": ("sqlite", lambda path: tinyllm(f"sqlite:///{path}")),
    "langgraph": ("sqlite", langgraph_sqlite),
    "openai-agents": ("sqlite", openai_agents),
    "tinyllm on PostgreSQL": ("postgres", tinyllm),
    "langgraph on PostgreSQL": ("postgres", langgraph_postgres),
}


def written() -> int:
    """Return the bytes that this process has given to the kernel to write."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["wchar"])


async def hold(name: str, target: str, conversations: int) -> dict[str, float]:
    """Hold conversations one after the other, and return what a turn costs."""
    kind, way = WAYS[name]
    async with way(f"{target}/bench.db" if kind == "sqlite" else target) as turn:
        for number in range(TURNS):
            assert await turn("warm", f"{number}: when is the birthday of the user?") == ANSWER
        start, cpu, before = time.perf_counter(), time.process_time(), written()
        for conversation in range(conversations):
            for number in range(TURNS):
                await turn(f"k{conversation}", f"{number}: when is the birthday of the user?")
        turns = conversations * TURNS
        return {
            "ms": (time.perf_counter() - start) / turns * 1e3,
            "cpu_ms": (time.process_time() - cpu) / turns * 1e3,
            "bytes": (written() - before) / turns,
        }


if __name__ == "__main__":
    if str(Path(__file__).parent) in sys.path:
        sys.path.remove(str(Path(__file__).parent))  # beside this file there is one that is called as a package is
    try:
        print(json.dumps(anyio.run(hold, sys.argv[1], sys.argv[2], int(sys.argv[3]))))
    except ModuleNotFoundError as missing:
        print(json.dumps({"missing": str(missing.name)}))
