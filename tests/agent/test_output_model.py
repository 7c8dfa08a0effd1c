"""Agents that answer in a type."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from pydantic import BaseModel

from tinyllm_actors import ActorSystem, Agent, BufferMemory, tool
from tinyllm_actors.agent import PartialOutput, RunFinished
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.llm import LLM, AssistantMessage, Budget, Capabilities, StructuredOutput, ToolMessage, UserMessage
from tinyllm_actors.testing import ScriptedModel, text, tool_call, tool_calls

pytestmark = pytest.mark.anyio


class City(BaseModel):
    """A city."""

    name: str
    people: int


@tool
async def look(n: int = 0) -> str:
    """Look."""
    return f"saw {n}"


class Weak(ScriptedModel):
    """A model that has tools and no schemas."""

    capabilities = Capabilities(json_schema=False)


async def test_the_answer_is_a_value_of_the_type() -> None:
    """The dictionary holds the value beside the response, after the model used its tools."""
    model = ScriptedModel([tool_call("look"), text('{"name": "Ulm", "people": 126000}')])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, tools=[look], output_model=City))
        result = await agent(content="Which?")
    assert result["output"]["value"] == City(name="Ulm", people=126000)
    assert model.requests[0].response_schema is not None


async def test_an_answer_that_does_not_fit_is_corrected() -> None:
    """The model is told what is wrong; what it said is remembered as it was."""
    model = ScriptedModel([text('{"name": "Ulm"}'), text('{"name": "Ulm", "people": 1}')])
    async with ActorSystem("test") as system:
        memory = await system.spawn(BufferMemory)
        agent = await system.spawn(Agent.spec(model=model, output_model=City, memory=memory))
        result = await agent(content="Which?")
        held = (await memory())["output"]["memories"]
    assert result["output"]["value"].people == 1
    told = model.requests[1].messages[-1]
    assert isinstance(told, UserMessage)
    assert "people" in str(told.content)
    assert len(held) == 4


async def test_corrections_are_bounded() -> None:
    """An answer that never fits is a typed error with what the model said."""
    model = ScriptedModel([text("no"), text("never")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, output_model=StructuredOutput(City, max_reasks=1)))
        result = await agent(content="Which?")
    assert (result["error"]["type"], result["error"]["partial"]) == ("OutputInvalid", "never")


async def test_a_model_without_schemas_answers_by_a_call() -> None:
    """The call is the answer: nothing is run, and the history holds text. Too early, it is put off."""
    early = tool_calls(("look", {"n": 1}), ("final_answer", {"name": "?", "people": 0}))
    model = Weak([early, tool_call("final_answer", name="Ulm", people=2)])
    async with ActorSystem("test") as system:
        memory = await system.spawn(BufferMemory)
        agent = await system.spawn(Agent.spec(model=model, tools=[look], output_model=City, memory=memory))
        result = await agent(content="Which?")
        assert result["output"]["value"] == City(name="Ulm", people=2)
        held = (await memory())["output"]["memories"]
    results = [message.content for message in model.requests[1].messages if isinstance(message, ToolMessage)]
    assert results[0] == "saw 1"
    assert "Not taken" in results[1]
    assert held[-1] == AssistantMessage('{"name":"Ulm","people":2}')


async def test_a_streamed_value_grows() -> None:
    """The reader gets the value as far as it has come, and in the end the whole one."""
    model = ScriptedModel([text('{"name": "Llanfairpwllgwyngyll", "people": 3107}')], chunk=4)
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, output_model=City))
        async with agent.stream(content="Which?") as events:
            seen: list[Any] = [event async for event in events if isinstance(event, PartialOutput | RunFinished)]
    *grown, last = seen
    names = [event.value.name for event in grown]
    assert names
    assert all(len(a) <= len(b) for a, b in pairwise(names))
    assert last.result["output"]["value"] == City(name="Llanfairpwllgwyngyll", people=3107)


async def test_a_run_has_a_budget() -> None:
    """A run that would use more tokens than it may ends with a typed error; the next has its own."""
    model = ScriptedModel([text("one"), text("two")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, max_tokens=1))
        result = await agent(content="Hello?")
        assert result["error"]["type"] == "BudgetExceeded"
        assert not model.requests
        other = await system.spawn(Agent.spec(model=model, max_tokens=100_000))
        assert (await other(content="1?"))["status"] == (await other(content="2?"))["status"] == "success"


async def test_the_model_may_be_the_spec_of_an_llm() -> None:
    """Its options are its own; options of calls beside it are refused."""
    model = ScriptedModel([])
    budget = Budget(max_calls=0)
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=LLM.spec(model, budget=budget)))
        assert (await agent(content="Hello?"))["error"]["type"] == "BudgetExceeded"
    with pytest.raises(ConfigurationError, match="max_retries=1"):
        Agent.spec(model=LLM.spec(model), max_retries=1).make()


def test_a_type_that_cannot_be_answered_is_refused() -> None:
    """The error names it, when the agent is made."""
    bad: Any = object()
    with pytest.raises(ConfigurationError, match="object"):
        Agent.spec(model=ScriptedModel([]), output_model=bad).make()
