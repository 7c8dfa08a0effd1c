"""The spec of an agent: what is done once for all the agents that it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.errors import ConfigurationError, StartFailed
from tinyllm_actors.testing import ScriptedModel, text, tool_call

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


def look() -> str:
    """Look."""
    return "seen"


async def test_tools_from_an_iterator_last_for_every_agent() -> None:
    """A spec may get its tools from a generator; the second agent has them too."""

    def tools() -> Iterator[Any]:
        yield look

    model = ScriptedModel([tool_call("look"), text("A"), tool_call("look"), text("B")])
    spec = Agent.spec(model=model, tools=tools())
    async with ActorSystem("test") as system:
        for _ in range(2):
            agent = await system.spawn(spec)
            assert (await agent(content="Look"))["status"] == "success"
    assert [[tool.name for tool in request.tools] for request in model.requests] == [["look"]] * 4


async def test_a_function_is_described_once() -> None:
    """All agents of a spec tell their model of the same tool, which was looked at once."""
    model = ScriptedModel([text("A"), text("B")])
    spec = Agent.spec(model=model, tools=[look])
    async with ActorSystem("test") as system:
        for _ in range(2):
            await (await system.spawn(spec))(content="Hi")
    first, second = (request.tools[0].parameters for request in model.requests)
    assert first is second


def test_what_can_be_no_tool_is_refused_at_once() -> None:
    """The error comes where the spec is made, and not when the agent starts."""
    with pytest.raises(ConfigurationError):
        Agent.spec(model=ScriptedModel([]), tools=[3])  # pyright: ignore[reportArgumentType] - checkers know it too


async def test_an_option_of_the_model_is_sent_to_where_it_belongs() -> None:
    """What an agent does not know is refused by name, with the place where options of models go."""
    async with ActorSystem("test") as system:
        with pytest.raises(StartFailed, match=r"Agent has no option 'base_url'.*model_options=\{'base_url'"):
            await system.spawn(Agent.spec(model=ScriptedModel([]), base_url="http://127.0.0.1:1/v1"))
