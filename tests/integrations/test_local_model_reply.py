"""What the model writes, read piece by piece, and what follows from it. No server."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.errors import MalformedResponse, StreamInterrupted
from tinyllm_actors.integrations.local_model.chosen import chosen
from tinyllm_actors.integrations.local_model.conversation import canonical_call
from tinyllm_actors.integrations.local_model.reply import ReplyReader
from tinyllm_actors.llm.messages import AssistantMessage
from tinyllm_actors.llm.model import Completed, Completion, StreamEvent, TextDelta, ToolCallDelta, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)
SPACES = st.sampled_from([None, 1, 2])
RAW = Completion(AssistantMessage("raw"), "stop", "smol", "id-1", 7, Usage(10, 5, 15))


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    """Cut `text` where `cuts` say, modulo its length."""
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[begin:end] for begin, end in pairwise(places)]


def read(pieces: list[str]) -> tuple[ReplyReader, list[StreamEvent]]:
    """Feed all the pieces."""
    reader = ReplyReader("call_1")
    return reader, [event for piece in pieces for event in reader.feed(piece)]


@given(st.text(), st.lists(st.integers(0, 500)), SPACES, st.booleans())
def test_an_answer_is_the_same_however_it_is_cut(text: str, cuts: list[int], indent: int | None, ascii: bool) -> None:
    """Text of any kind, escapes and pairs of surrogates cut through included, comes out as it went in, as it grows."""
    reader, events = read(pieces_of(json.dumps({"answer": text}, indent=indent, ensure_ascii=ascii), cuts))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text == reader.text
    assert reader.whole
    message = reader.finish(RAW).message
    assert message == AssistantMessage(text)


@given(st.text(min_size=1), OBJECTS, st.lists(st.integers(0, 500)), SPACES)
def test_a_call_is_the_same_however_it_is_cut(
    name: str, arguments: dict[str, Any], cuts: list[int], indent: int | None
) -> None:
    """Any arguments, braces inside strings included, come out whole, and the pieces add up to them."""
    text = json.dumps({"name": name, "arguments": arguments}, indent=indent)
    reader, events = read(pieces_of(text, cuts))
    assert reader.call is not None
    assert reader.call.name == name
    assert json.loads(reader.call.arguments) == arguments
    deltas = [event for event in events if isinstance(event, ToolCallDelta)]
    assert deltas == events
    assert "".join(delta.arguments for delta in deltas) == reader.call.arguments
    completion = reader.finish(RAW)
    assert completion.finish_reason == "tool_calls"
    assert completion.message.tool_calls == [reader.call]
    assert (completion.id, completion.usage) == (RAW.id, RAW.usage)


@given(OBJECTS, st.lists(st.integers(0, 500)))
def test_an_answer_with_a_schema_is_passed_on_as_json(answer: dict[str, Any], cuts: list[int]) -> None:
    """An answer that is an object is the JSON text of that object."""
    reader, events = read(pieces_of(json.dumps({"answer": answer}), cuts))
    assert json.loads(reader.text) == answer
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reader.text


@given(OBJECTS, st.integers(0, 500))
def test_a_call_that_is_cut_short_is_no_call(arguments: dict[str, Any], length: int) -> None:
    """However much of a call has come, without its end it is an error that says what to raise."""
    text = json.dumps({"name": "tool", "arguments": arguments})[:-1]
    reader, _ = read([text[: length % len(text)]])
    if reader.call is None:
        with pytest.raises(StreamInterrupted, match="raise max_tokens"):
            reader.finish(Completion(AssistantMessage(), "length"))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"\ud83d\ude00", "😀"),
        (r"a\ud83d b", "a\ufffd b"),
        (r"\ud83d\n", "\ufffd\n"),
        (r"\ude00", "\ufffd"),
        (r"\ud83d", "\ufffd"),
    ],
)
def test_half_a_surrogate_pair_is_no_stumbling_block(written: str, text: str) -> None:
    """What cannot be encoded is replaced, and what follows it is read."""
    for pieces in ([f'{{"answer": "{written}"}}'], list(f'{{"answer": "{written}"}}')):
        reader, _ = read(pieces)
        assert reader.text == text
        assert reader.whole


def test_an_answer_that_is_cut_short_keeps_its_reason() -> None:
    """Half an answer is an answer that ended for its length."""
    reader, _ = read(['{"answer": "It is Jan'])
    completion = reader.finish(Completion(AssistantMessage(), "length"))
    assert completion.message.content == "It is Jan"
    assert completion.finish_reason == "length"


@pytest.mark.parametrize("text", ["", "Hello!", '{"reply": "x"}', "[1]"])
def test_what_is_no_reply_is_malformed(text: str) -> None:
    """A server that ignores the grammar is noticed."""
    reader, events = read([text])
    assert not events
    with pytest.raises(MalformedResponse, match="neither an answer nor a tool call"):
        reader.finish(RAW)


async def replay(*events: StreamEvent) -> AsyncIterator[StreamEvent]:
    """Yield what a server would."""
    for event in events:
        yield event


async def never() -> Completion:
    """Fail the test: nobody may ask."""
    raise AssertionError("asked for an answer")


CALL = '{"name": "look", "arguments": {"at": "sea"}}'


@pytest.mark.anyio
async def test_a_new_call_is_passed_on_after_others() -> None:
    """With earlier results a call is held back until it is known to be a new one, and then passed on in its pieces."""
    repeated = {canonical_call("look", '{"at": "sky"}')}
    said = replay(TextDelta(CALL[:35]), TextDelta(CALL[35:]), Completed(RAW))
    events = [event async for event in chosen(said, repeated, never)]
    last = events.pop()
    assert isinstance(last, Completed)
    assert len(events) == 2
    assert last.completion.message.tool_calls[0].arguments == '{"at": "sea"}'


@pytest.mark.anyio
async def test_a_repeated_call_becomes_an_answer_and_both_are_paid() -> None:
    """The answer takes the place of the repeated call, however its arguments are spaced; tokens of both are counted."""
    answer = Completion(AssistantMessage("It is blue."), "stop", usage=Usage(20, 4, 24))

    async def ask() -> Completion:
        return answer

    said = replay(TextDelta(CALL), Completed(RAW))
    events = [event async for event in chosen(said, {canonical_call("look", '{ "at":"sea" }')}, ask)]
    assert events[0] == TextDelta("It is blue.")
    assert isinstance(events[1], Completed)
    assert events[1].completion.usage == Usage(30, 9, 39)


@pytest.mark.anyio
async def test_a_repeated_call_without_usage_keeps_the_other_one() -> None:
    """Where a server does not count, what is known is kept."""
    usage = Usage(20, 4, 24)

    async def ask() -> Completion:
        return Completion(AssistantMessage(""), usage=usage)

    said = replay(TextDelta(CALL), Completed(Completion(AssistantMessage())))
    (event,) = [event async for event in chosen(said, {canonical_call("look", '{"at": "sea"}')}, ask)]
    assert isinstance(event, Completed)
    assert event.completion.usage == usage
