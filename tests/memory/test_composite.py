"""Several memories in one."""

from __future__ import annotations

from typing import Any

import pytest

from tinyllm_actors import ActorSystem, BufferMemory, Memory
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.llm import UserMessage
from tinyllm_actors.memory import CompositeMemory
from tinyllm_actors.memory.composite import without_repetition

pytestmark = pytest.mark.anyio


class Broken(Memory):
    """Fails each call."""

    def remember(self, messages: Any) -> None:
        raise RuntimeError("no disk")


def said(*words: str) -> list[UserMessage]:
    """Return messages of a user."""
    return [UserMessage(word) for word in words]


async def test_each_part_shows_its_share() -> None:
    """A budget cuts what one shows to its newest; what the later one has is shown once."""
    async with ActorSystem("test") as system:
        shared = await system.spawn(Memory)
        spec = CompositeMemory.spec({"all": shared, "newest": BufferMemory.spec(buffer_size=2)}, budgets={"all": 3})
        memory = await system.spawn(spec)
        result = await memory(messages=said("a", "b", "c", "d"))
        assert result["output"]["memories"] == said("b", "c", "d")
        assert (await shared())["output"]["memories"] == said("a", "b", "c", "d")


async def test_a_part_that_fails_is_left_out() -> None:
    """The last one must answer, as nothing else holds the question."""
    async with ActorSystem("test") as system:
        first = await system.spawn(CompositeMemory.spec({"a": Broken.spec(), "b": BufferMemory.spec()}))
        assert (await first(messages=said("x")))["output"]["memories"] == said("x")
        last = await system.spawn(CompositeMemory.spec({"a": BufferMemory.spec(), "b": Broken.spec()}))
        result = await last(messages=said("x"))
        assert result["status"] == "error"
        assert "no disk" in result["message"]


def test_what_one_memory_has_twice_was_said_twice() -> None:
    """Only what several show is shown once, by the last of them."""
    assert without_repetition([said("a", "yes"), said("yes", "b", "yes")]) == said("a", "yes", "b", "yes")


@pytest.mark.parametrize(("parts", "budgets"), [({}, {}), ({"a": 1}, {"b": 1}), ({"a": 1}, {"a": 0})])
async def test_what_has_no_meaning_is_refused(parts: dict[str, Any], budgets: dict[str, int]) -> None:
    """No parts, a budget of nobody, and a budget of nothing."""
    with pytest.raises(ConfigurationError, match=r"at least one part|names 'b'|\['a'\]"):
        CompositeMemory(parts, budgets=budgets)
