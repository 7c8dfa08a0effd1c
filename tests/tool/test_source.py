"""Sources: tools that are known only at run time, and change while toolkits use them."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import structlog

from tinyllm_actors import Actor, ActorRef, ActorSystem, Agent, Tool, Toolkit, tool
from tinyllm_actors.agent import AgentRef, ApprovalRequested
from tinyllm_actors.errors import StartFailed
from tinyllm_actors.function import FunctionRef
from tinyllm_actors.testing import ScriptedModel, text, tool_call
from tinyllm_actors.tool import ListTools, ToolRequest, ToolsChanged, ToolSource, topic

pytestmark = pytest.mark.anyio


def make(name: str, answer: str) -> Tool[..., Any]:
    """Return a tool that answers always the same."""

    async def run() -> str:
        return answer

    return Tool.from_function(run, name=name, description=answer)


@tool
async def own() -> str:
    """Be there from the start."""
    return "mine"


class Shelf(Actor):
    """Has tools; a list of others replaces them."""

    def __init__(self, *tools: Tool[..., Any]) -> None:
        self.tools = tools

    async def receive(self, message: ListTools | tuple[Tool[..., Any], ...]) -> Any:
        if isinstance(message, ListTools):
            return list(self.tools)
        self.tools = message
        path = self.context.path
        return await self.context.system.group(topic(path)).publish(ToolsChanged(path, message))


class Source(ToolSource):
    def __init__(self, ref: ActorRef) -> None:
        self.ref = ref

    async def open(self, system: ActorSystem) -> ActorRef:
        return self.ref


async def content(toolkit: FunctionRef, name: str) -> str:
    """Call one tool and return what the model is told."""
    result = await toolkit(calls=[ToolRequest("1", name, "{}")])
    assert result["status"] == "success"
    return result["output"]["outcomes"][0].content


async def test_a_toolkit_has_its_own_tools_and_those_of_its_sources() -> None:
    """A source may stand among tools and in toolkits within toolkits, and alone it makes a toolkit that counts."""
    async with ActorSystem("test") as system:
        source = Source(await system.spawn(Shelf, make("theirs", "1")))
        toolkit = await system.spawn(Toolkit([own, Toolkit([source])]))
        assert [found.name for found in await toolkit.ask(ListTools())] == ["own", "theirs"]
        assert (await content(toolkit, "own"), await content(toolkit, "theirs")) == ("mine", "1")
        assert "'theirs'" in await content(toolkit, "their")
    assert Toolkit([source])
    assert not Toolkit([])


async def test_a_change_reaches_the_next_call() -> None:
    """What is new can be called, what is other runs anew, what is gone is unknown, and no actor of it stays."""
    async with ActorSystem("test") as system:
        shelf = await system.spawn(Shelf, make("a", "1"), make("b", "1"))
        toolkit = await system.spawn(Toolkit([Source(shelf)]), name="kit")
        assert (await content(toolkit, "a"), await content(toolkit, "b")) == ("1", "1")
        assert await shelf.ask((make("b", "2"), make("c", "2"))) == 1
        assert "no tool" in await content(toolkit, "a")
        assert (await content(toolkit, "b"), await content(toolkit, "c")) == ("2", "2")
        assert len(system.inspect("kit").children) == 2


async def test_a_name_that_comes_twice() -> None:
    """It is a failed start that says what to do; after a later change the tool that had the name first keeps it."""
    async with ActorSystem("test") as system:
        shelf = await system.spawn(Shelf)
        toolkit = await system.spawn(Toolkit([make("a", "own"), Source(shelf)]))
        with structlog.testing.capture_logs() as lines:
            await shelf.ask((make("a", "other"),))
            assert await content(toolkit, "a") == "own"
        assert [line["tool"] for line in lines if "tool" in line] == ["a"]
        with pytest.raises(StartFailed, match="'a'; give those of a source a prefix"):
            await system.spawn(Toolkit([make("a", "own"), Source(shelf)], name="second"))


async def test_an_agent_shows_its_model_the_tools_of_the_moment() -> None:
    """Each call of the model carries the tools there are then."""
    async with ActorSystem("test") as system:
        shelf = await system.spawn(Shelf, make("a", "1"))
        changed = anyio.Event()

        async def change() -> str:
            """Change the tools while the agent runs."""
            await shelf.ask((make("b", "2"),))
            changed.set()
            return "done"

        model = ScriptedModel([tool_call("change"), tool_call("b"), text("fine")])
        agent = await system.spawn(Agent.spec(model=model, tools=[change, Source(shelf)]))
        assert (await agent(content="go"))["status"] == "success"
        assert changed.is_set()
        shown = [[schema.name for schema in request.tools] for request in model.requests]
        assert shown == [["change", "a"], ["change", "b"], ["change", "b"]]


async def test_a_person_is_asked_about_a_tool_of_a_source() -> None:
    """A tool that needs approval is asked about, wherever it comes from."""
    async with ActorSystem("test") as system:
        shelf = await system.spawn(Shelf, make("pay", "paid").with_options(requires_approval=True))
        model = ScriptedModel([tool_call("pay"), text("fine")])
        agent: AgentRef = await system.spawn(Agent.spec(model=model, tools=[Source(shelf)]))
        async with agent.stream(content="go") as events:
            async for event in events:
                if isinstance(event, ApprovalRequested):
                    await agent.approve(event.request.call_id)
        assert "paid" in str(model.requests[-1].messages[-1])
