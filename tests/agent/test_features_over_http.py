"""What an agent can do besides answering, over HTTP, with both adapters."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest
from pydantic import BaseModel

from tinyllm_actors import ActorSystem, Agent, tool
from tinyllm_actors.agent import ApprovalRequested, HandedOff, RunFinished, ToolStarted, handoff
from tinyllm_actors.conversation.history_repair import INTERRUPTED
from tinyllm_actors.testing.behaviours import answer, answer_tool_calls, hang
from tinyllm_actors.testing.fault_server import FaultServer

pytestmark = pytest.mark.anyio


def spec(model: str, server: FaultServer, **options: Any) -> Any:
    """Return an agent that talks to that server."""
    return Agent.spec(model=model, model_options={"api_base": server.base_url, "api_key": "x"}, **options)


def body(server: FaultServer, index: int = -1) -> dict[str, Any]:
    """Return a request."""
    return cast("dict[str, Any]", server.requests[index].json)


def results(server: FaultServer) -> list[str]:
    """Return the results of tools in the last request."""
    return [message["content"] for message in body(server)["messages"] if message["role"] == "tool"]


@tool
async def wait() -> str:
    """Wait."""
    await anyio.sleep_forever()
    return ""


@tool(requires_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@tool
async def look(n: int) -> str:
    """Look."""
    return f"saw {n}"


class Person(BaseModel):
    name: str
    age: int


async def test_cancelling_closes_the_call_and_keeps_the_history_valid(model: str) -> None:
    """A run that is cancelled at a tool leaves a result for its call, and the provider takes the next turn."""
    with anyio.fail_after(30):
        script = [answer_tool_calls([("wait", {})]), answer("Fine.")]
        async with FaultServer(script) as server, ActorSystem("test") as system:
            agent = await system.spawn(spec(model, server, tools=[wait]))
            async with agent.stream(content="Go.") as events:
                async for event in events:
                    if isinstance(event, ToolStarted):
                        await agent.cancel("enough")
                    elif isinstance(event, RunFinished):
                        assert event.result["status"] == "error"
                        assert event.result["error"]["type"] == "RunCancelled"
            assert (await agent(content="And now?"))["status"] == "success"
            assert results(server) == [INTERRUPTED]


async def test_cancelling_a_model_call_closes_its_connection(model: str) -> None:
    """The provider sees the client leave, and stops to generate."""
    with anyio.fail_after(30):
        async with FaultServer([hang(), answer("Fine.")]) as server, ActorSystem("test") as system:
            agent = await system.spawn(spec(model, server))

            async def ask() -> None:
                assert (await agent(content="Go."))["status"] == "error"

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await server.wait_request()
                assert await agent.cancel()
            await server.wait_closed_connection()
            assert (await agent(content="And now?"))["status"] == "success"


async def test_a_person_approves_a_call(model: str) -> None:
    """The call waits, runs with what the person made of it, and its result goes back to the model."""
    with anyio.fail_after(30):
        script = [answer_tool_calls([("pay", {"amount": 500})]), answer("Paid.")]
        async with FaultServer(script) as server, ActorSystem("test") as system:
            agent = await system.spawn(spec(model, server, tools=[pay]))
            async with agent.stream(content="Pay 500.") as events:
                async for event in events:
                    if isinstance(event, ApprovalRequested):
                        await agent.approve(event.request.call_id, arguments='{"amount": 50}')
            assert results(server) == ["paid 50"]


async def test_an_answer_of_a_type_is_asked_for_again(model: str) -> None:
    """A wrong answer goes back with what was wrong; the right one is a value."""
    with anyio.fail_after(30):
        script = [answer('{"name": "Ada", "age": "old"}'), answer('{"name": "Ada", "age": 36}')]
        async with FaultServer(script) as server, ActorSystem("test") as system:
            agent = await system.spawn(spec(model, server, output_model=Person))
            result = await agent(content="Who?")
            assert result["status"] == "success", result
            assert result["output"]["value"] == Person(name="Ada", age=36)
            assert body(server, 0)["response_format"]["type"] == "json_schema"
            assert "age" in body(server)["messages"][-1]["content"]


async def test_another_agent_goes_on(model: str) -> None:
    """A hand-off is one more call of the same provider, without the tools of the first agent."""
    with anyio.fail_after(30):
        script = [answer_tool_calls([("transfer_to_billing", {"message": "Elias"})]), answer("You owe nothing.")]
        async with FaultServer(script) as server, ActorSystem("test") as system:
            billing = spec(model, server, system_role="Money.").named("billing")
            front = await system.spawn(spec(model, server, tools=[look, handoff(billing, description="Money.")]))
            async with front.stream(content="What do I owe?") as events:
                seen = [event async for event in events]
            assert sum(isinstance(event, HandedOff) for event in seen) == 1
            assert "You owe nothing." in str(seen[-1])
            assert body(server)["messages"][0] == {"role": "system", "content": "Money."}
            assert "tools" not in body(server)


async def test_limits_hold(model: str) -> None:
    """The last model call is made without tools; tokens that the provider counted end a run."""
    with anyio.fail_after(30):
        async with (
            FaultServer(
                lambda request: (
                    answer_tool_calls([("look", {"n": len(server.requests)})])
                    if cast("dict[str, Any]", request.json).get("tools")
                    else answer("Enough.")
                )
            ) as server,
            ActorSystem("test") as system,
        ):
            agent = await system.spawn(spec(model, server, tools=[look], max_steps=3))
            assert (await agent(content="Look around."))["status"] == "success"
            assert ["tools" in body(server, n) for n in range(3)] == [True, True, False]
            poor = await system.spawn(spec(model, server, tools=[look], max_tokens=200))
            result = await poor(content="Look around.")
            assert result["status"] == "error"
            assert result["error"]["type"] == "BudgetExceeded"
