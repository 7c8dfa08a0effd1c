"""The agent against a provider on loopback that answers, refuses, breaks off or hangs, with both adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import anyio
import pytest

from tinyllm_actors import ActorSystem, Agent, BufferMemory, tool
from tinyllm_actors.agent import RunFinished, TextDelta
from tinyllm_actors.testing.behaviours import answer, answer_tool_calls, drop_stream, hang, rate_limited, slow_drip
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from tinyllm_actors.testing.behaviours import Behaviour

pytestmark = pytest.mark.anyio


@tool
def get_user_property(asked_property: Literal["name", "birthday"]) -> str:
    """Look up a property of the current user."""
    return {"name": "Elias", "birthday": "January 1st"}[asked_property]


async def ask(agent: Any, content: str, *, streamed: bool) -> Any:
    """Ask plainly or as a stream, and return the dictionary either way."""
    if not streamed:
        return await agent(content=content)
    last: Any = None
    async with agent.stream(content=content) as events:
        async for event in events:
            last = event
    assert isinstance(last, RunFinished)
    return last.result


def spec(model: str, server: FaultServer, **options: Any) -> Any:
    """Return the agent of these tests."""
    return Agent.spec(
        model=model,
        model_options={"api_base": server.base_url, "api_key": "x"},
        tools=[get_user_property],
        memory=BufferMemory.spec(buffer_size=10),
        **options,
    )


def messages_of(server: FaultServer) -> list[dict[str, Any]]:
    """Return the messages of the last request."""
    return cast("dict[str, Any]", server.requests[-1].json)["messages"]


def said(server: FaultServer) -> list[str]:
    """Return the roles of the last request's messages."""
    return [message["role"] for message in messages_of(server)]


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    "script",
    [
        pytest.param([answer("January 1st.")], id="answers"),
        pytest.param(
            [
                answer_tool_calls(
                    [
                        ("get_user_property", {"asked_property": "birthday"}),
                        ("get_user_property", {"asked_property": "name"}),
                    ]
                ),
                answer("January 1st."),
            ],
            id="two-parallel-calls",
        ),
        pytest.param(
            [rate_limited(retry_after=0.05), rate_limited(retry_after=0.05), answer("January 1st.")], id="429-twice"
        ),
    ],
)
async def test_a_question_is_answered(model: str, script: list[Behaviour], streamed: bool) -> None:
    """An answer, parallel tool calls and two refusals with Retry-After all end in success."""
    with anyio.fail_after(30):
        async with FaultServer(script) as server, ActorSystem("test") as system:
            agent = await system.spawn(spec(model, server), name="Agent")
            result = await ask(agent, "What is the user's birthday?", streamed=streamed)
            assert result["status"] == "success", result
            assert "January 1st" in str(result["output"]["response"])
            assert server.unexpected == 0
            assert len(server.requests) == len(script)


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_parallel_results_go_back_in_call_order(model: str, streamed: bool) -> None:
    """Each call id has exactly one result, in the order of the calls."""
    calls = [("get_user_property", {"asked_property": asked}) for asked in ("birthday", "name")]
    with anyio.fail_after(30):
        async with FaultServer([answer_tool_calls(calls), answer("done")]) as server, ActorSystem("test") as system:
            agent = await system.spawn(spec(model, server), name="Agent")
            await ask(agent, "Who?", streamed=streamed)
            messages = messages_of(server)
            assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool", "tool"]
            ids = [call["id"] for call in messages[2]["tool_calls"]]
            assert [message["tool_call_id"] for message in messages[3:]] == ids
            assert [message["content"] for message in messages[3:]] == ["January 1st", "Elias"]


async def test_a_dropped_stream_is_an_error_that_names_it(model: str) -> None:
    """A stream that breaks off ends in an error; the partial answer is kept and the next question answered."""
    with anyio.fail_after(30):
        async with FaultServer([drop_stream(), answer("January 1st.")]) as server, ActorSystem("test") as system:
            agent = await system.spawn(spec(model, server), name="Agent")
            result = await ask(agent, "When?", streamed=True)
            assert result["status"] == "error"
            assert result["error"]["type"] == "StreamInterrupted"
            again = await ask(agent, "When, please?", streamed=True)
            assert again["status"] == "success"
            assert said(server) in (["system", "user", "assistant", "user"], ["system", "user", "user"])


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_a_silent_server_is_an_error(model: str, streamed: bool) -> None:
    """A server that hangs is given up, with its silence as the cause; the next question works."""
    with anyio.fail_after(30):
        async with FaultServer([hang(), answer("January 1st.")]) as server, ActorSystem("test") as system:
            agent = await system.spawn(spec(model, server, max_retries=0, idle_timeout=1.0), name="Agent")
            result = await ask(agent, "When?", streamed=streamed)
            assert result["status"] == "error"
            assert result["error"]["type"] == "ModelTimeout"
            again = await ask(agent, "When, please?", streamed=streamed)
            assert again["status"] == "success", again
            assert said(server) == ["system", "user", "user"]


async def test_cancelling_a_stream_closes_the_connection(model: str) -> None:
    """Leaving a streamed run makes the server see the connection close before the answer is complete."""
    with anyio.fail_after(30):
        script = [slow_drip(0.05, "word " * 200), answer("fine")]
        async with FaultServer(script) as server, ActorSystem("test") as system:
            agent = await system.spawn(spec(model, server), name="Agent")
            async with agent.stream(content="Tell me everything.") as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        break
            await server.wait_closed_connection()
            again = await ask(agent, "Briefly?", streamed=False)
            assert again["status"] == "success", again
