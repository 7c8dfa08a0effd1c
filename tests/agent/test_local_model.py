"""An agent on a real, small language model in this process's care: the whole way, with nothing scripted.

The model is greedy, so what it says does not change from run to run, nor with the event loop: one loop is enough. It is
too small to be judged by what it knows; what is tested is what the library promises whatever a model says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import anyio
import pytest
from pydantic import BaseModel

from tinyllm_actors import ActorSystem, Agent, BufferMemory, tool
from tinyllm_actors.agent import RunFinished, TextDelta, ToolFinished, ToolStarted
from tinyllm_actors.integrations.local_model import LocalModel
from tinyllm_actors.llm import UserMessage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MISSING = LocalModel.available()
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(300),  # a busy machine may compute a tenth as fast
]

ROLE = "You are a helpful assistant."


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run the tests of this module on asyncio only."""
    return "asyncio", {}


@pytest.fixture(scope="module")
async def model(anyio_backend: Any) -> AsyncIterator[LocalModel]:
    """One slot, so that a call that kept it would be noticed by the next one."""
    model = LocalModel(slots=1, context=2048, options={"temperature": 0, "max_tokens": 60})
    await model.open()
    yield model
    await model.aclose()


@tool
async def get_user_property(asked_property: Literal["name", "birthday"]) -> str:
    """Look up a property of the current user."""
    return {"name": "Elias", "birthday": "January 1st"}[asked_property]


@tool
async def broken(asked_property: Literal["name", "birthday"]) -> str:
    """Look up a property of the current user."""
    raise OSError("the database is away")


def said(result: Any) -> str:
    """Return the text of a successful answer."""
    assert result["status"] == "success", result
    return result["output"]["response"]["choices"][0]["message"]["content"]


async def test_it_looks_up_and_tells(model: LocalModel) -> None:
    """The model calls the tool with arguments that fit, gets its result, and answers with it; all of it is told."""
    async with ActorSystem("test") as system:
        spec = Agent.spec(model=model, system_role=ROLE, tools=[get_user_property], memory=BufferMemory.spec())
        agent = await system.spawn(spec)
        async with agent.stream(content="What is the user's birthday?") as events:
            seen = [event async for event in events]
    started = [event for event in seen if isinstance(event, ToolStarted)]
    finished = [event.outcome for event in seen if isinstance(event, ToolFinished)]
    last = seen[-1]
    assert isinstance(last, RunFinished)
    assert [event.name for event in started] == ["get_user_property"]
    assert [(outcome.status, outcome.content) for outcome in finished] == [("success", "January 1st")]
    assert "January 1st" in said(last.result)
    texts = [event.text for event in seen if isinstance(event, TextDelta)]
    assert "".join(texts).endswith(said(last.result))


async def test_a_tool_that_fails_ends_nothing(model: LocalModel) -> None:
    """The model is told of the failure and answers; the agent takes the next question."""
    async with ActorSystem("test") as system:
        spec = Agent.spec(model=model, system_role=ROLE, tools=[broken], tool_retries=1)
        agent = await system.spawn(spec)
        result = await agent(content="What is the user's birthday?")
        again = await agent(content="What is the user's name?")
    assert said(result)
    assert said(again)


async def test_it_remembers_what_was_said(model: LocalModel) -> None:
    """The second turn reads the first, its answer included; the same conversation is answered in the same words."""
    conversations: list[list[Any]] = []
    async with ActorSystem("test") as system:
        for _ in range(2):
            agent = await system.spawn(Agent.spec(model=model, system_role=ROLE, memory=BufferMemory.spec()))
            conversations.append([await agent(content=content) for content in ("My name is Elias.", "Who am I?")])
    first, second = (result["output"]["response"]["usage"] for result in conversations[0])
    assert second["prompt_tokens"] > first["prompt_tokens"] + first["completion_tokens"]
    one, other = ([said(result) for result in results] for results in conversations)
    assert one == other


async def test_it_answers_in_a_type(model: LocalModel) -> None:
    """An answer with a type is a value of it, whatever the model makes of the question."""

    class Weather(BaseModel):
        city: Literal["Paris", "Oslo"]
        warm: bool

    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, system_role=ROLE, output_model=Weather))
        result = await agent(content="It is hot in Paris today. Which city is it, and is it warm there?")
    assert result["status"] == "success", result
    value = result["output"]["value"]
    assert isinstance(value, Weather)
    assert value.city in ("Paris", "Oslo")


async def test_who_leaves_is_not_waited_for(model: LocalModel) -> None:
    """A reader that leaves in the middle of an answer ends the run, and the agent takes the next question."""
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, system_role=ROLE))
        with anyio.move_on_after(30) as scope:
            async with agent.stream(content="Tell a long story.") as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        scope.cancel()
        result = await agent(content="Say hello.", history=[UserMessage("Be brief.")])
    assert result["status"] == "success", result
