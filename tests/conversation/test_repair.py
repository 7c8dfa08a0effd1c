"""Histories are mended so that a provider takes them."""

from __future__ import annotations

import json
import random
from itertools import takewhile

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


def calling(*ids: str, arguments: str = "{}") -> AssistantMessage:
    """Return a message that asks for calls."""
    return AssistantMessage(tool_calls=[ToolCall(call_id, FunctionCall("look", arguments)) for call_id in ids])


IDS = ["a", "b", "a-2", ""]
ARGUMENTS = ["{}", "", " ", '{"a": 1}', '{"a":', "[1]", "null", '{"a": 1} x']


def drawn(rng: random.Random) -> Message:
    """Return any message, good or bad."""
    match rng.randrange(5):
        case 0:
            return UserMessage(rng.choice(["hello", ""]))
        case 1:
            return SystemMessage("be kind")
        case 2:
            return AssistantMessage(rng.choice(["fine", "", None]))
        case 3:
            ids = [rng.choice(IDS) for _ in range(rng.randint(1, 3))]
            return calling(*ids, arguments=rng.choice(ARGUMENTS))
        case _:
            return ToolMessage(rng.choice(IDS), rng.choice(["", "1", "2"]), "look")


def is_valid(history: list[Message]) -> bool:
    """Whether a provider takes it: results behind their calls, ids used once, arguments that are objects, no blanks."""
    index = 0
    seen: set[str] = set()
    while index < len(history):
        message = history[index]
        index += 1
        if isinstance(message, ToolMessage) or (isinstance(message, UserMessage) and not message.content):
            return False
        if isinstance(message, AssistantMessage):
            for call in message.tool_calls:
                result = history[index] if index < len(history) else None
                if not isinstance(result, ToolMessage) or result.tool_call_id != call.id or not result.content:
                    return False
                if not call.id or call.id in seen or not is_object(call.arguments):
                    return False
                seen.add(call.id)
                index += 1
            if not message.tool_calls and not message.content:
                return False
    return True


def is_object(written: str) -> bool:
    """Whether a text is a JSON object."""
    try:
        return isinstance(json.loads(written), dict)
    except ValueError:
        return False


def test_any_history_becomes_valid_and_stays_so() -> None:
    """Repair makes any sequence valid, a second repair changes nothing, and no completed result is lost."""
    rng = random.Random(7)
    for _ in range(20_000):
        history = [drawn(rng) for _ in range(rng.randrange(10))]
        mended = repair(history)
        assert is_valid(mended), history
        assert repair(mended) == mended, history
        kept = [m.content for m in mended if isinstance(m, ToolMessage) and m.content != INTERRUPTED]
        assert kept == completed(history), history
        if is_valid(history):
            assert mended == history


def completed(history: list[Message]) -> list[str]:
    """Return the results that belong to a call right before them, the first for each, in the order of the calls."""
    found: list[str] = []
    for index, message in enumerate(history):
        if isinstance(message, AssistantMessage) and message.tool_calls:
            behind = list(takewhile(lambda m: isinstance(m, ToolMessage), history[index + 1 :]))
            for call in message.tool_calls:
                mine = next((m for m in behind if isinstance(m, ToolMessage) and m.tool_call_id == call.id), None)
                if mine is not None:
                    behind.remove(mine)
                    found.append(str(mine.content) or "(no output)")
    return found


def test_completed_results_are_kept_and_open_calls_closed() -> None:
    """A crash between two results loses neither the first nor the history."""
    mended = repair([UserMessage("?"), calling("a", "b"), ToolMessage("b", "done", "look"), UserMessage("well?")])
    assert [message.content for message in mended if isinstance(message, ToolMessage)] == [INTERRUPTED, "done"]


def test_orphans_and_duplicates_go() -> None:
    """A result without its call, and the second result of a call, are left out."""
    history = [ToolMessage("x", "orphan"), calling("a"), ToolMessage("a", "1"), ToolMessage("a", "2"), UserMessage("!")]
    assert repair(history) == [calling("a"), ToolMessage("a", "1"), UserMessage("!")]


def test_ids_that_come_again_are_renamed_with_their_results() -> None:
    """Some models count their calls from the same number in each answer, and some providers refuse that."""
    mended = repair(
        [calling("a"), ToolMessage("a", "1"), calling("a", "a"), ToolMessage("a", "2"), ToolMessage("a", "3")]
    )
    ids = [[call.id for call in m.tool_calls] for m in mended if isinstance(m, AssistantMessage)]
    assert ids == [["a"], ["a-2", "a-3"]]
    assert [(m.tool_call_id, m.content) for m in mended if isinstance(m, ToolMessage)] == [
        ("a", "1"),
        ("a-2", "2"),
        ("a-3", "3"),
    ]


def test_arguments_that_are_no_object_are_wrapped() -> None:
    """A truncated call is kept as it was written, in a form that every provider reads."""
    (message, _) = repair([calling("a", arguments='{"city": "Ul')])
    assert isinstance(message, AssistantMessage)
    assert json.loads(message.tool_calls[0].arguments) == {"not_json": '{"city": "Ul'}


def test_arguments_that_are_no_unicode_are_kept_as_far_as_they_can() -> None:
    """Half of a surrogate pair, which no encoder takes, does not break the history."""
    (message, _) = repair([calling("a", arguments='{"a": "\ud800')])
    assert isinstance(message, AssistantMessage)
    assert json.loads(message.tool_calls[0].arguments) == {"not_json": '{"a": "?'}


def test_calls_that_are_always_named_alike_take_no_time() -> None:
    """Ten thousand calls under one id get names of their own in one pass, not by trying all numbers for each."""
    call = AssistantMessage(tool_calls=[ToolCall("call_0", FunctionCall("look"))])
    history = repair([message for _ in range(10_000) for message in (call, ToolMessage("call_0", "seen"))])
    ids = [message.tool_call_id for message in history if isinstance(message, ToolMessage)]
    assert ids[:3] == ["call_0", "call_0-2", "call_0-3"]
    assert len(set(ids)) == 10_000
    assert repair(history) == history
