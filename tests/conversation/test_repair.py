"""Histories are mended so that a provider takes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.conversation import INTERRUPTED, repair
from tinyllm_actors.llm import (
    AssistantMessage,
    FunctionCall,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)

IDS = st.sampled_from("abc")


def calling(*ids: str) -> AssistantMessage:
    """Return a message that asks for calls."""
    return AssistantMessage(tool_calls=[ToolCall(call_id, FunctionCall("look")) for call_id in ids])


MESSAGES = st.one_of(
    st.builds(UserMessage, st.just("hello")),
    st.builds(SystemMessage, st.just("be kind")),
    st.builds(AssistantMessage, st.sampled_from(["fine", "", None])),
    st.lists(IDS, min_size=1, max_size=3, unique=True).map(lambda ids: calling(*ids)),
    st.builds(ToolMessage, IDS, st.text(max_size=3), st.just("look")),
)


def is_valid(history: list[Message]) -> bool:
    """Whether each call is followed by exactly its results, in order, and no result stands elsewhere."""
    index = 0
    while index < len(history):
        message = history[index]
        index += 1
        if isinstance(message, ToolMessage):
            return False
        if isinstance(message, AssistantMessage):
            for call in message.tool_calls:
                result = history[index] if index < len(history) else None
                if not isinstance(result, ToolMessage) or result.tool_call_id != call.id:
                    return False
                index += 1
            if not message.tool_calls and not message.content:
                return False
    return True


@given(st.lists(MESSAGES, max_size=12))
def test_any_history_becomes_valid_and_stays_so(history: list[Message]) -> None:
    """Repair makes any sequence valid, and a second repair changes nothing."""
    mended = repair(history)
    assert is_valid(mended)
    assert repair(mended) == mended


@given(st.lists(MESSAGES, max_size=12))
def test_what_was_valid_is_not_touched(history: list[Message]) -> None:
    """A valid history comes back as it is."""
    if is_valid(history):
        assert repair(history) == history


def test_completed_results_are_kept_and_open_calls_closed() -> None:
    """A crash between two results loses neither the first nor the history."""
    mended = repair([UserMessage("?"), calling("a", "b"), ToolMessage("b", "done", "look"), UserMessage("well?")])
    assert [message.content for message in mended if isinstance(message, ToolMessage)] == [INTERRUPTED, "done"]


def test_orphans_and_duplicates_go() -> None:
    """A result without its call, and the second result of a call, are left out."""
    history = [ToolMessage("x", "orphan"), calling("a"), ToolMessage("a", "1"), ToolMessage("a", "2"), UserMessage("!")]
    assert repair(history) == [calling("a"), ToolMessage("a", "1"), UserMessage("!")]
