"""The limits of a run: each ends it in a stated, typed way, or takes the tools away."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Agent, tool
from tinyllm_actors.agent.scope import RunScope
from tinyllm_actors.errors import ConfigurationError, DelegationTooDeep, StepLimitExceeded
from tinyllm_actors.llm import ToolMessage
from tinyllm_actors.testing import ScriptedModel, VirtualClock, hang, text, tool_call, tool_calls


def answer_of(result: Any) -> str:
    """Return the text of a success."""
    assert result["status"] == "success", result
    return result["output"]["response"]["choices"][0]["message"]["content"]


@tool
async def look(n: int) -> str:
    """Look."""
    return f"saw {n}"


@tool(requires_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_a_run_has_a_limit_of_time(backend: str) -> None:
    """It ends with an error that says which limit; the next one has its own time."""
    model = ScriptedModel([hang(), text("Here.")])

    async def main() -> None:
        async with ActorSystem("test") as system:
            agent = await system.spawn(Agent.spec(model=model, max_seconds=30.0))
            result = await agent(content="Hello?")
            assert anyio.current_time() == pytest.approx(30.0)
            assert (result["error"]["type"], result["message"][:38]) == (
                "TimeLimitExceeded",
                "the run reached its limit of 30 s; rai",
            )
            assert answer_of(await agent(content="Hello?")) == "Here."

    VirtualClock(backend).run(main)


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_a_call_that_nobody_decides_on_is_denied(backend: str) -> None:
    """After the time-out the model is told, and the run goes on."""
    model = ScriptedModel([tool_call("pay", amount=5), text("Nobody said so.")])

    async def main() -> None:
        async with ActorSystem("test") as system:
            agent = await system.spawn(Agent.spec(model=model, tools=[pay], approval_timeout=0.05))
            assert answer_of(await agent(content="Pay")) == "Nobody said so."

    VirtualClock(backend).run(main)
    last = model.requests[-1].messages[-1]
    assert isinstance(last, ToolMessage)
    assert "nobody decided in time" in last.content


@pytest.mark.anyio
async def test_the_last_step_is_an_answer() -> None:
    """With one model call left the tools are withheld."""
    model = ScriptedModel([tool_call("look", n=1), text("I saw 1.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, tools=[look], max_steps=2))
        assert answer_of(await agent(content="Look")) == "I saw 1."
    assert [len(request.tools) for request in model.requests] == [1, 0]


@pytest.mark.anyio
async def test_a_run_has_a_limit_of_tool_calls() -> None:
    """Calls over the limit are answered instead of run, in their order, and no more tools are offered."""
    calls = tool_calls(*[("look", {"n": n}) for n in range(5)])
    model = ScriptedModel([calls, text("Enough.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, tools=[look], max_tool_calls=3))
        assert answer_of(await agent(content="Look")) == "Enough."
    results = [message for message in model.requests[-1].messages if isinstance(message, ToolMessage)]
    assert [result.content[:8] for result in results] == ["saw 0", "saw 1", "saw 2", "Error: n", "Error: n"]
    assert model.requests[-1].tools == ()


@pytest.mark.anyio
async def test_a_turn_has_a_limit_of_tool_calls() -> None:
    """It holds for each model message by itself."""
    calls = tool_calls(("look", {"n": 1}), ("look", {"n": 2}))
    model = ScriptedModel([calls, calls, text("Enough.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, tools=[look], max_tool_calls_per_turn=1))
        assert answer_of(await agent(content="Look")) == "Enough."
    results = [message.content for message in model.requests[-1].messages if isinstance(message, ToolMessage)]
    assert [content[:8] for content in results] == ["saw 1", "Error: n"] * 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_steps", 0),
        ("tool_retries", 0),
        ("max_tool_calls_per_turn", 0),
        ("max_depth", 0),
        ("max_tool_calls", -1),
        ("max_tokens", -1),
        ("max_usd", 0.0),
        ("max_seconds", 0.0),
        ("approval_timeout", -1.0),
    ],
)
def test_a_limit_without_meaning_is_refused(name: str, value: float) -> None:
    """The error names the limit and what was given."""
    limit: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=f"{name} must be .*{value!r}"):
        Agent.spec(model=ScriptedModel([]), **limit).make()


def scope(agent: str = "a", parent: RunScope | None = None, **limits: Any) -> RunScope:
    """Return a scope with wide limits, but for those given."""
    wide: dict[str, Any] = {"max_steps": 100, "max_tool_calls": 100, "max_depth": 10}
    return RunScope(agent, parent=parent, **(wide | limits))


def test_inner_runs_count_on_the_outer_ones() -> None:
    """Steps and tool calls are taken from every run around, all or nothing."""
    outer = scope(max_steps=2, max_tool_calls=3)
    inner = scope(parent=outer)
    inner.take_step()
    outer.take_step()
    assert (outer.steps, inner.steps, inner.steps_left()) == (2, 1, 0)
    with pytest.raises(StepLimitExceeded):
        inner.take_step()
    assert inner.steps == 1
    assert inner.take_tool_calls(2) == 2
    assert outer.take_tool_calls(2) == 1
    assert (outer.tool_calls_left(), inner.tool_calls_left(), inner.take_tool_calls(1)) == (0, 0, 0)


def test_depth_can_only_be_tightened() -> None:
    """What an agent allows inside of it holds whatever those inside allow; the error names them all."""
    a = scope("a", max_depth=3)
    b = scope("b", a, max_depth=9)
    c = scope("c", b, max_depth=9)
    with pytest.raises(DelegationTooDeep, match="'d' inside of 'c' inside of 'b' inside of 'a'") as caught:
        scope("d", c)
    assert (caught.value.max_depth, caught.value.agents) == (3, ("d", "c", "b", "a"))
    with pytest.raises(DelegationTooDeep):
        scope("e", scope("d", a, max_depth=1))
