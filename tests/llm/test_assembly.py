"""Answers put together from chunks of every dialect, and refused when they are not whole."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tinyllm_actors.errors import MalformedResponse, ModelError, StreamInterrupted
from tinyllm_actors.llm.answer import AnswerLimits, whole_arguments
from tinyllm_actors.llm.assembly import ChunkAssembler, completion_from_wire
from tinyllm_actors.llm.messages import AssistantMessage
from tinyllm_actors.llm.model import Completion, ReasoningDelta, TextDelta, ToolCallDelta
from tinyllm_actors.llm.wire import decode_answer
from tinyllm_actors.testing.wire_answers import Dialect, WireAnswer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc{}\"' ", max_size=3), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text("abcxyz", min_size=1, max_size=5), JSON, max_size=4)
CALLS = st.lists(st.tuples(st.sampled_from(["look_up", "think", "send"]), ARGUMENTS), max_size=4)
WORDS = st.text("ab \n😀é", max_size=30)


def delta(finish_reason: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a chunk with one piece of an answer."""
    return {"id": "c1", "choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]}


def piece(arguments: Any = None, *, name: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a chunk with one piece of a tool call."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return delta(tool_calls=[{**fields, "function": function}])


def assemble(*chunks: dict[str, Any], ended: bool = False) -> Completion:
    """Return the answer that chunks make up."""
    assembler = ChunkAssembler("m")
    for chunk in chunks:
        assembler.feed(chunk)
    return assembler.finish(ended=ended).completion


def calls_of(message: AssistantMessage) -> list[tuple[str, Any]]:
    """Return names and decoded arguments."""
    return [(call.name, json.loads(call.arguments)) for call in message.tool_calls]


# --- properties -----------------------------------------------------------------------------------


@given(
    WORDS,
    WORDS,
    CALLS,
    st.sampled_from(["first", "each", "changing", "never"]),
    st.sampled_from(["each", "missing"]),
    st.sampled_from(["text", "object"]),
    st.booleans(),
)
def test_streamed_and_whole_answers_are_the_same(
    content: str, reasoning: str, calls: list[Any], ids: Any, index: Any, arguments: Any, summary: bool
) -> None:
    """Whatever the dialect, the chunks of an answer make up what its body says, each call with an id of its own."""
    # Without an index, pieces belong together by id; ids that change leave nothing to go by.
    assume(not (index == "missing" and ids == "changing" and arguments == "text"))
    # Two calls to one tool, without index and id, the first without arguments: nobody can tell them apart.
    assume(index == "each" or ids != "never" or all(a != b for (a, _), (b, _) in itertools.pairwise(calls)))
    dialect = Dialect(ids=ids, index=index, arguments=arguments, summary=summary)
    wire = WireAnswer(content=content, reasoning=reasoning, calls=calls, dialect=dialect)
    whole = completion_from_wire(wire.body(), "m")
    chunks = wire.chunks(usage=True)
    streamed = assemble(*chunks)
    assert calls_of(streamed.message) == calls_of(whole.message) == calls
    assert (streamed.message.content, streamed.message.reasoning_content) == (content or None, reasoning or None) or (
        not content and not calls and streamed.message.content == ""
    )
    assert streamed.message.content == whole.message.content
    assert (streamed.usage, streamed.finish_reason, streamed.id) == (whole.usage, whole.finish_reason, whole.id)
    ids_seen = [call.id for call in streamed.message.tool_calls]
    assert all(ids_seen)
    assert len(set(ids_seen)) == len(ids_seen)
    assert streamed == assemble(*chunks)


@given(WORDS, CALLS, st.data())
def test_the_events_say_what_the_answer_says(content: str, calls: list[Any], data: st.DataObject) -> None:
    """The pieces that a reader sees, joined, are the answer; `partial` is the text at each moment."""
    dialect = Dialect(ids=data.draw(st.sampled_from(["first", "each", "never"])))
    assembler = ChunkAssembler("m")
    text, arguments = "", dict[int, str]()
    for chunk in WireAnswer(content=content, calls=calls, dialect=dialect).chunks():
        for event in assembler.feed(chunk):
            if isinstance(event, TextDelta):
                text += event.text
            elif isinstance(event, ToolCallDelta):
                assert event.id
                assert event.name == calls[event.index][0]
                arguments[event.index] = arguments.get(event.index, "") + event.arguments
        assert assembler.partial == text
        assert assembler.started is bool(text or arguments)
    message = assembler.finish().completion.message
    assert text == (message.content or "")
    assert [json.loads(arguments[i]) for i in sorted(arguments)] == [call[1] for call in calls]


@given(WORDS, CALLS, st.data())
def test_an_answer_that_is_cut_short_never_completes(content: str, calls: list[Any], data: st.DataObject) -> None:
    """Without the chunk that gives the reason to end, there is an error with the text so far, and no answer."""
    chunks = WireAnswer(content=content, calls=calls).chunks()
    kept = chunks[: data.draw(st.integers(0, len(chunks) - 1))]
    assembler = ChunkAssembler("m")
    for chunk in kept:
        assembler.feed(chunk)
    with pytest.raises(StreamInterrupted) as caught:
        assembler.finish()
    assert content.startswith(caught.value.partial)
    assert caught.value.output_started is assembler.started


@given(ARGUMENTS, st.data())
def test_truncated_arguments_never_run(arguments: dict[str, Any], data: st.DataObject) -> None:
    """A tool call whose JSON text is cut anywhere is refused, even though the provider says that it ended well."""
    assume(arguments)
    text = json.dumps(arguments)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    with pytest.raises(StreamInterrupted, match="'send'"):
        assemble(piece(cut, name="send", index=0, id="a"), delta("tool_calls"))
    with pytest.raises(MalformedResponse, match="'send'"):
        completion_from_wire(
            {"choices": [{"message": {"tool_calls": [{"id": "a", "function": {"name": "send", "arguments": cut}}]}}]}
        )


CORPUS: list[Any] = [
    *WireAnswer(content="hello you", calls=[("f", {"a": [1]})], dialect=Dialect(summary=True)).chunks(usage=True),
    WireAnswer(content="hello", calls=[("f", {})]).body(),
    {"error": {"message": "no", "code": 1}},
    {"choices": [{"delta": {"content": [{"type": "text", "text": "x"}, {"type": "thinking", "thinking": "y"}]}}]},
]
ODD: list[Any] = [
    None,
    0,
    -1,
    1e999,
    True,
    "",
    "x",
    [],
    [None],
    {},
    {"a": None},
    "\ud800",
    2**70,
    [[[]]],
    {"content": 3},
]


@pytest.mark.parametrize("seed", range(300))
def test_no_chunk_breaks_the_assembler(seed: int) -> None:
    """Chunks with anything in the place of anything are read or refused with a `ModelError`; never another error."""
    chance = random.Random(seed)

    def mutate(value: Any) -> Any:
        if chance.random() < 0.08:
            return chance.choice(ODD)
        if isinstance(value, dict):
            return {key: mutate(item) for key, item in value.items() if chance.random() > 0.03}  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, list):
            return [mutate(item) for item in value for _ in range(chance.choice([1, 1, 1, 2]))]  # pyright: ignore[reportUnknownVariableType]
        return value

    assembler = ChunkAssembler("m")
    for _ in range(20):
        chunk = mutate(chance.choice(CORPUS))
        try:
            assembler.feed(chunk)
            text = msgspec.json.encode(chunk)
            assembler.feed_wire(decode_answer(text), text)
        except ModelError:
            continue
        except UnicodeEncodeError:
            continue  # half a surrogate pair cannot be encoded by the test itself
        try:
            completion_from_wire(chunk)
        except ModelError:
            continue
    try:
        completion = assembler.finish(ended=True).completion
    except ModelError:
        return
    for call in completion.message.tool_calls:
        json.loads(call.arguments)


# --- cases ----------------------------------------------------------------------------------------


def test_parallel_calls_with_index_zero() -> None:
    """Calls that all have index 0 are told apart by their ids when each comes whole."""
    completion = assemble(
        piece('{"a":1}', name="f", index=0, id="x"),
        piece('{"a":2}', name="f", index=0, id="y"),
        delta("stop"),
    )
    assert calls_of(completion.message) == [("f", {"a": 1}), ("f", {"a": 2})]
    assert [call.id for call in completion.message.tool_calls] == ["x", "y"]


def test_an_id_on_each_piece_that_differs() -> None:
    """An index holds a call together even if each of its pieces has another id."""
    completion = assemble(
        piece("", name="f", index=0, id="x1"),
        piece('{"a"', index=0, id="x2"),
        piece(":1}", index=0, id="x3"),
        delta("stop"),
    )
    assert calls_of(completion.message) == [("f", {"a": 1})]
    assert completion.message.tool_calls[0].id == "x1"


def test_the_same_id_for_two_calls() -> None:
    """An id that is given twice is made distinct, so that each call can have its own result."""
    completion = assemble(piece("{}", name="f", index=0, id="x"), piece("{}", name="g", index=1, id="x"), delta("stop"))
    assert [call.id for call in completion.message.tool_calls] == ["x", "x_2"]


def test_two_calls_in_one_chunk_without_index() -> None:
    """Calls that come in one list are different calls, whatever they lack."""
    both: list[Any] = [{"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "f", "arguments": "{}"}}]
    completion = assemble(delta(tool_calls=both), delta("tool_calls"))
    assert [call.name for call in completion.message.tool_calls] == ["f", "f"]


def test_two_calls_in_one_chunk_with_the_same_id() -> None:
    """An id that two calls of one list share does not make them one."""
    both: list[Any] = [
        {"id": "x", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "x", "function": {"name": "f", "arguments": '{"a":2}'}},
    ]
    completion = assemble(delta(tool_calls=both), delta("tool_calls"))
    assert [(call.id, call.arguments) for call in completion.message.tool_calls] == [
        ("x", '{"a":1}'),
        ("x_2", '{"a":2}'),
    ]


def test_a_summary_of_calls_in_other_words() -> None:
    """What comes after the reason to end adds nothing to a call that is whole, even if it is spaced differently."""
    completion = assemble(
        piece('{"a":1}', name="f", index=0, id="x"),
        delta("tool_calls"),
        piece('{"a": 1}', name="f", index=0, id="x"),
    )
    assert calls_of(completion.message) == [("f", {"a": 1})]


def test_interleaved_pieces() -> None:
    """Pieces of two calls may alternate."""
    completion = assemble(
        piece("", name="f", index=0, id="x"),
        piece("", name="g", index=1, id="y"),
        piece('{"a":', index=0),
        piece('{"b":', index=1),
        piece("1}", index=0),
        piece("2}", index=1),
        delta("tool_calls"),
    )
    assert calls_of(completion.message) == [("f", {"a": 1}), ("g", {"b": 2})]


def test_calls_come_out_in_the_order_of_their_indexes() -> None:
    """The order is the provider's index, not the order of arrival."""
    completion = assemble(piece("{}", name="g", index=1, id="y"), piece("{}", name="f", index=0, id="x"), delta("stop"))
    assert [call.name for call in completion.message.tool_calls] == ["f", "g"]


def test_a_name_in_pieces() -> None:
    """A name that comes in two pieces, before the arguments, is one name."""
    completion = assemble(
        piece(name="get_", index=0, id="x"), piece(name="user", index=0), piece("{}", index=0), delta("stop")
    )
    assert completion.message.tool_calls[0].name == "get_user"


def test_made_ids_differ_between_answers() -> None:
    """Ids that the provider does not give are the same for the same answer and differ from answer to answer."""
    first, again, other = (
        assemble({**piece("{}", name="f"), "id": name}, {**delta("stop"), "id": name}).message.tool_calls[0].id
        for name in ("a", "a", "b")
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("", "{}"),
        ("  \n", "{}"),
        ("null", "{}"),
        ('{"a":1}', '{"a":1}'),
        (' {"a": 1} ', '{"a": 1}'),
        ('{"a":1}{"a":1}', '{"a":1}'),
        ('"{\\"a\\":1}"', '{"a":1}'),
        ('{"a":"line\nbreak"}', '{"a":"line\\nbreak"}'),
        ("[1]", "[1]"),
        ('"text"', '"text"'),
        ('{"a":1', None),
        ('{"a":1}{"b":2}', None),
        ('{"a":NaN}', None),
        ("{'a':1}", None),
        ("call me", None),
        ("[" * 100_000, None),
    ],
)
def test_whole_arguments(sent: str, meant: str | None) -> None:
    """What models write for arguments, and what is made of it."""
    assert whole_arguments(sent) == meant


def test_a_call_that_the_length_cut_is_not_tried_again() -> None:
    """When the answer ran into `max_tokens`, the same call would again, and the error says what to raise."""
    with pytest.raises(StreamInterrupted, match="max_tokens") as caught:
        assemble(piece('{"a":', name="f", index=0, id="x"), delta("length"))
    assert not caught.value.retryable


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_an_answer_that_ended_with_an_error(reason: str) -> None:
    """A provider that gives an error for its reason has not answered."""
    with pytest.raises(StreamInterrupted, match=reason) as caught:
        assemble(delta(content="some"), delta(reason))
    assert caught.value.partial == "some"


def test_an_error_in_place_of_a_chunk() -> None:
    """An error object ends the answer with the text so far."""
    assembler = ChunkAssembler("m")
    assembler.feed(delta(content="some"))
    with pytest.raises(StreamInterrupted, match="no memory") as caught:
        assembler.feed({"error": {"message": "no memory"}})
    assert (caught.value.partial, caught.value.output_started) == ("some", True)


def test_done_without_a_reason() -> None:
    """An explicit end makes an answer whole, unless nothing was said at all."""
    assert assemble(delta(content="hi"), ended=True).finish_reason == "unknown"
    with pytest.raises(StreamInterrupted):
        assemble(ended=True)


@pytest.mark.parametrize("reason", ["", "null", None])
def test_what_is_no_reason_to_end(reason: str | None) -> None:
    """Some providers fill in the reason of each chunk with nothing."""
    assert assemble(delta(reason, content="a"), delta(reason, content="b"), delta("stop")).message.content == "ab"


def test_an_echo_is_not_a_summary() -> None:
    """Text that says the same twice is kept; only a repetition of all in the last chunk is dropped."""
    assert assemble(delta(content="ha"), delta(content="ha"), delta("stop")).message.content == "haha"
    assert assemble(delta(content="ha"), delta("stop", content="ha")).message.content == "haha"
    assert assemble(delta(content="a"), delta(content="b"), delta("stop", content="ab")).message.content == "ab"
    summary: Any = {"choices": [{"message": {"content": "ab"}, "finish_reason": "stop"}]}
    assert assemble(delta(content="a"), delta(content="b"), summary).message.content == "ab"


def test_an_answer_in_one_piece() -> None:
    """A `message` where a `delta` was due is the answer."""
    whole: Any = {"choices": [{"message": {"content": "ab"}, "finish_reason": "stop"}]}
    assert assemble(whole).message.content == "ab"


def test_other_alternatives_are_not_mixed_in() -> None:
    """Only the choice at index 0 is read."""
    other: Any = {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}]}
    assert assemble(delta(content="mine"), other, delta("stop")).message.content == "mine"


def test_an_empty_answer_says_nothing() -> None:
    """An answer without text and calls has the content `""`, since history may hold no message without content."""
    assert assemble(delta("stop")).message == AssistantMessage("")
    assert completion_from_wire({"choices": [{"message": {"content": None}}]}).message == AssistantMessage("")


def test_what_else_the_provider_says_is_kept() -> None:
    """Log probabilities, fingerprints, citations and details of usage end up in `extra`, streamed or not."""
    extras = {"system_fingerprint": "fp", "citations": ["http://x"]}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cached": 1}
    first: Any = delta(content="a")
    first["choices"][0]["logprobs"] = {"content": [{"token": "a"}]}
    last: Any = {**delta("stop"), **extras, "usage": usage}
    last["choices"][0]["logprobs"] = {"content": [{"token": "b"}]}
    streamed = assemble(first, last)
    whole = completion_from_wire(
        {
            **extras,
            "usage": usage,
            "choices": [
                {
                    "message": {"content": "a", "role": "assistant", "annotations": [1]},
                    "logprobs": {"content": [{"token": "a"}, {"token": "b"}]},
                    "stop_reason": 7,
                }
            ],
        }
    )
    expected = {
        **extras,
        "logprobs": {"content": [{"token": "a"}, {"token": "b"}]},
        "usage_details": {"cached": 1},
    }
    assert streamed.extra == expected
    assert whole.extra == {**expected, "annotations": [1], "stop_reason": 7}
    assert streamed.usage == whole.usage


def test_content_in_parts() -> None:
    """Text and thinking in a list of parts are told apart, streamed or not."""
    parts: Any = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "yes"},
        {"type": "image", "x": 1},
    ]
    assembler = ChunkAssembler("m")
    assert assembler.feed(delta("stop", content=parts)) == [ReasoningDelta("hm"), TextDelta("yes")]
    whole = completion_from_wire({"choices": [{"message": {"content": parts}}]})
    assert assembler.finish().completion.message == whole.message == AssistantMessage("yes", reasoning_content="hm")


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_both_names_of_reasoning(field: str) -> None:
    """Providers call it `reasoning` or `reasoning_content`."""
    assert assemble(delta(**{field: "hm"}), delta("stop", content="x")).message.reasoning_content == "hm"
    whole = completion_from_wire({"choices": [{"message": {"content": "x", field: "hm"}}]})
    assert whole.message.reasoning_content == "hm"


def test_a_refusal_is_kept() -> None:
    """A refusal is a part of the message and not its text."""
    assert assemble(delta(refusal="I can"), delta("stop", refusal="not")).message == AssistantMessage(
        refusal="I cannot"
    )


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"choices":[]}',
        '{"choices":null}',
        '{"choices":[{}]}',
        '{"choices":[{"message":null}]}',
        '{"choices":"x"}',
    ],
)
def test_a_body_that_is_no_answer(body: str) -> None:
    """A body without a message is malformed."""
    with pytest.raises(MalformedResponse):
        completion_from_wire(json.loads(body), "m")


def test_limits_of_a_stream() -> None:
    """Text, arguments and calls beyond the limits are refused, with what had come."""
    limits = AnswerLimits(max_characters=100, max_argument_characters=10, max_tool_calls=2)

    def feed(*chunks: dict[str, Any]) -> None:
        assembler = ChunkAssembler("m", limits=limits)
        for chunk in chunks:
            assembler.feed(chunk)

    feed(delta(content="x" * 50), delta(reasoning="x" * 50))
    with pytest.raises(MalformedResponse, match="max_characters=100") as caught:
        feed(delta(content="x" * 50), delta(reasoning="x" * 51))
    assert caught.value.partial == "x" * 50
    assert not caught.value.retryable
    with pytest.raises(MalformedResponse, match="max_argument_characters=10"):
        feed(piece("x" * 6, name="f", index=0), piece("x" * 6, index=0))
    with pytest.raises(MalformedResponse, match="max_tool_calls=2"):
        feed(*(piece("{}", name="f", index=i) for i in range(3)))


def test_limits_of_a_whole_answer() -> None:
    """The same limits hold for an answer that comes in one piece."""
    limits = AnswerLimits(max_characters=100, max_argument_characters=10, max_tool_calls=2)

    def read(content: str, *arguments: str) -> None:
        calls = [{"id": str(i), "function": {"name": "f", "arguments": a}} for i, a in enumerate(arguments)]
        completion_from_wire({"choices": [{"message": {"content": content, "tool_calls": calls}}]}, limits=limits)

    read("x" * 90, '"xxxxxxx"')
    with pytest.raises(MalformedResponse, match="max_characters allows 100"):
        read("x" * 101)
    with pytest.raises(MalformedResponse, match="max_argument_characters allows 10"):
        read("", '"xxxxxxxxx"')
    with pytest.raises(MalformedResponse, match="max_tool_calls allows 2"):
        read("", "{}", "{}", "{}")
