"""The memory of the newest messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors import ActorSystem, BufferMemory
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.llm import AssistantMessage, FunctionCall, Message, ToolCall, ToolMessage, UserMessage
from tinyllm_actors.memory import groups, newest_groups


def exchange(calls: int, index: int) -> list[Message]:
    """Return a question, or a message with so many calls and their results."""
    if calls == 0:
        return [UserMessage(f"question {index}")]
    ids = [f"{index}-{n}" for n in range(calls)]
    return [
        AssistantMessage(tool_calls=[ToolCall(call_id, FunctionCall("look")) for call_id in ids]),
        *[ToolMessage(call_id, "result") for call_id in ids],
    ]


HISTORIES = st.lists(st.integers(0, 4), max_size=10).map(
    lambda sizes: [message for index, calls in enumerate(sizes) for message in exchange(calls, index)]
)


@given(HISTORIES, st.integers(1, 12))
def test_what_is_kept_is_the_newest_in_whole_groups(history: list[Message], size: int) -> None:
    """The newest messages are kept in order and within the size, never a result without its call."""
    kept = newest_groups(history, size)
    assert kept == history[len(history) - len(kept) :]
    assert len(kept) <= size or len(groups(kept)) == 1
    assert not kept or not isinstance(kept[0], ToolMessage)
    rest = groups(history[: len(history) - len(kept)])
    assert not rest or len(kept) + len(rest[-1]) > size  # no further group would have fitted


@pytest.mark.anyio
async def test_a_memory_answers_like_any_function() -> None:
    """It takes messages in, shows what it holds, and can be cleared."""
    async with ActorSystem("test") as system:
        memory = await system.spawn(BufferMemory.spec(buffer_size=2))
        for n in range(3):
            await memory(messages=[UserMessage(str(n))])
        assert await memory() == {"status": "success", "output": {"memories": [UserMessage("1"), UserMessage("2")]}}
        assert (await memory(clear=True))["output"] == {"memories": []}


@pytest.mark.anyio
async def test_what_it_shows_is_not_what_it_holds() -> None:
    """Whoever changes the list it got does not change the memory."""
    async with ActorSystem("test") as system:
        memory = await system.spawn(BufferMemory)
        shown = (await memory(messages=[UserMessage("a")]))["output"]["memories"]
        shown.clear()
        assert (await memory())["output"]["memories"] == [UserMessage("a")]


def test_whoever_changes_its_messages_changes_a_copy() -> None:
    """`messages` is what it holds, in a list of the caller's own."""
    memory = BufferMemory(buffer_size=2)
    memory.remember([UserMessage(text) for text in "abc"])
    memory.messages.clear()
    assert memory.messages == [UserMessage("b"), UserMessage("c")]


def test_a_size_without_meaning_is_refused() -> None:
    """The message names the value."""
    with pytest.raises(ConfigurationError, match="0"):
        BufferMemory(buffer_size=0)


def test_a_second_result_of_a_call_is_left_out() -> None:
    """Each call has one result, the first; of two calls under one id, each has its own."""
    calls = AssistantMessage(tool_calls=[ToolCall("a", FunctionCall("look")), ToolCall("a", FunctionCall("look"))])
    results = [ToolMessage("a", str(n)) for n in range(3)]
    assert groups([calls, *results]) == [[calls, *results[:2]]]
