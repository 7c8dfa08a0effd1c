"""Streams that nobody would send, by the thousand: whatever comes is an answer or a typed refusal.

The corpus runs in CI with a few thousand mutations. As a program it runs as many as it is told, or is guided by the
coverage of the reader if atheris is installed:

```text
python tests/llm/test_stream_fuzz.py --inputs 1000000 [--seed 1]
python tests/llm/test_stream_fuzz.py --inputs 1000000 --guided
```
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
from typing import Any, NamedTuple, cast

import msgspec
import pytest

from tinyllm_actors.errors import ModelError
from tinyllm_actors.integrations.openai_compatible.events import EventReader
from tinyllm_actors.llm import AssistantMessage, ReasoningDelta, TextDelta, ToolCallDelta
from tinyllm_actors.llm.answer import AnswerLimits, whole_arguments
from tinyllm_actors.llm.sse import EventStreamParser
from tinyllm_actors.testing.wire_answers import Dialect, WireAnswer

LIMITS = AnswerLimits(max_characters=4_000, max_argument_characters=1_000, max_tool_calls=20)


class Outcome(NamedTuple):
    """What came of a stream: events, and an answer or the name and the words of a refusal."""

    events: tuple[Any, ...]
    message: AssistantMessage | None
    refusal: tuple[str, str, str, bool]


def read(pieces: list[bytes]) -> Outcome:
    """Read a stream as the adapter does."""
    reader = EventReader("m", LIMITS)
    events: list[Any] = []
    try:
        for piece in pieces:
            events += reader.feed(piece)
            if reader.ended:
                break
        message = reader.finish().completion.message
    except ModelError as error:
        return Outcome(tuple(events), None, (type(error).__name__, str(error), reader.partial, reader.started))
    return Outcome(tuple(events), message, ("", "", "", False))


def check(wire: bytes, cuts: list[int]) -> Outcome:
    """Read a stream in two ways, and check what must hold for any bytes at all."""
    whole = read([wire])
    places = sorted({0, *(cut % (len(wire) + 1) for cut in cuts), len(wire)})
    assert read([wire[a:b] for a, b in itertools.pairwise(places)] or [wire]) == whole
    said = "".join(event.text for event in whole.events if type(event) is TextDelta)
    thought = "".join(event.text for event in whole.events if type(event) is ReasoningDelta)
    message = whole.message
    if message is None:
        assert whole.refusal[2] == said
        assert whole.refusal[3] == bool(whole.events)
        return whole
    assert (message.content or "") == said
    assert (message.reasoning_content or "") == thought
    pieces: dict[int, str] = {}
    names: dict[int, tuple[str, str]] = {}
    for event in whole.events:
        if type(event) is ToolCallDelta:
            pieces[event.index] = pieces.get(event.index, "") + event.arguments
            names[event.index] = event.id, event.name
    assert len(message.tool_calls) == len(pieces)
    for call, index in zip(message.tool_calls, sorted(pieces), strict=True):
        msgspec.json.decode(call.arguments)  # what runs is whole
        assert call.arguments == whole_arguments(pieces[index])
        assert call.id == names[index][0]
        assert call.id
        assert call.name
    assert len({call.id for call in message.tool_calls}) == len(message.tool_calls)
    return whole


# --- inputs ---------------------------------------------------------------------------------------

CALLS: list[tuple[str, dict[str, object]]] = [("find", {"q": "ä\n", "n": [1, {"x": None}]}), ("send", {}), ("find", {})]


def stream_of(answer: WireAnswer, *, usage: bool = True, done: bool = True, crlf: bool = False) -> bytes:
    """Return an answer as a provider streams it."""
    end = "\r\n\r\n" if crlf else "\n\n"
    events = [f"data: {json.dumps(chunk)}{end}" for chunk in answer.chunks(usage=usage)]
    return "".join([*events, f"data: [DONE]{end}"] if done else events).encode()


def corpus() -> list[bytes]:
    """Return streams that providers do send, in all their dialects, and some that none should."""
    streams = [
        stream_of(WireAnswer(content="It is on January 1st. 🎂", reasoning="hm, let me see")),
        stream_of(WireAnswer(content="x", finish_reason="length"), done=False),
        stream_of(WireAnswer(content="no reason", finish_reason=None), crlf=True),
        b'data: {"error":{"message":"overloaded","code":529}}\n\n',
        b": OPENROUTER PROCESSING\r\n\r\nevent: message\r\ndata: {}\r\n\r\n",
        b'\xef\xbb\xbfdata: {"choices":[{"delta":\rdata: {"content":"a"},"finish_reason":"stop"}]}\r\r',
        b'data: {"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"thinking","thinking":"b"}]}}'
        b"]}\n\n",
        b'error: {"message":"no"}\n\ndata:::: \n\n:\n\nid\nretry: x\n\n',
    ]
    for ids, index, arguments in itertools.product(
        ("first", "each", "changing", "same", "never"), ("each", "zero", "missing"), ("text", "object", "none")
    ):
        dialect = Dialect(ids=cast("Any", ids), index=cast("Any", index), arguments=cast("Any", arguments))
        streams.append(stream_of(WireAnswer(calls=CALLS, finish_reason="tool_calls", dialect=dialect)))
    streams.append(stream_of(WireAnswer(content="both", calls=CALLS[:2], dialect=Dialect(summary=True))))
    return streams


CORPUS = corpus()
ODD: list[Any] = [
    *(None, 0, -1, 2**70, 1e308, True, "", "null", "{", '{"a":', "\\ud800", "}", [], {}, [[]], {"text": 1}),
    *("stop", "length", "error", "call_1_0", "find", " ", '"{}"', "{}{}", "[DONE]", {"name": None}, [None]),
]
GLUE = [
    *(b"\r", b"\n", b"\r\n", b"\n\n", b"data:", b"data: ", b":", b"\x00", b"\xef\xbb\xbf", b"[DONE]", b"\xff", b'"'),
    *(b"{", b"}", b"[", b"]", b",", b"\\u", b"\\ud83d", b"error:", b"null", b"1e999", b"[" * 1200),
]


def mutate(chance: random.Random, wire: bytes) -> bytes:
    """Return a stream with something wrong with it: in its values, in its events, or in its bytes."""
    kind = chance.randrange(4)
    if kind == 0:
        wire = b"\n\n".join(_odd_event(chance, event) for event in wire.split(b"\n\n"))
    if kind == 1:
        events = wire.split(b"\n\n")
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(events))
            match chance.randrange(3):
                case 0:
                    events.insert(place, chance.choice(events))
                case 1:
                    events[place : place + 1] = []
                case _:
                    events.insert(place, chance.choice(chance.choice(CORPUS).split(b"\n\n")))
            events = events or [b""]
        wire = b"\n\n".join(events)
    if kind == 2 or chance.random() < 0.1:
        data = bytearray(wire)
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(data) + 1)
            match chance.randrange(4):
                case 0:
                    data[place:place] = chance.choice(GLUE)
                case 1:
                    del data[place : place + chance.randint(1, 20)]
                case 2:
                    data[place : place + 1] = bytes([chance.randrange(256)])
                case _:
                    end = place + chance.randint(1, 60)
                    data[place:place] = data[place:end]
        wire = bytes(data)
    if kind == 3:
        wire = wire[: chance.randrange(len(wire) + 1)]
    return wire


def _odd_event(chance: random.Random, event: bytes) -> bytes:
    if chance.random() < 0.5 or not event.startswith(b"data: {"):
        return event
    try:
        said: Any = json.loads(event[6:])
    except (ValueError, RecursionError):
        return event
    return b"data: " + json.dumps(_odd_value(chance, said)).encode()


def _odd_value(chance: random.Random, value: Any) -> Any:
    if chance.random() < 0.06:
        return chance.choice(ODD)
    if type(value) is dict:
        fields = cast("dict[str, Any]", value)
        return {key: _odd_value(chance, below) for key, below in fields.items() if chance.random() > 0.03}
    if type(value) is list:
        return [
            _odd_value(chance, below) for below in cast("list[Any]", value) for _ in range(chance.choice((1, 1, 2)))
        ]
    return value


# --- tests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(CORPUS)))
def test_the_corpus_is_read_the_same_however_it_is_cut(number: int) -> None:
    """Byte by byte, in two, at once: the same events and the same end."""
    wire = CORPUS[number]
    check(wire, list(range(len(wire))))
    for cut in range(0, len(wire), 7):
        check(wire, [cut])


@pytest.mark.parametrize("number", range(len(CORPUS)))
def test_no_beginning_of_a_stream_is_taken_for_the_whole(number: int) -> None:
    """Cut anywhere, an answer is the whole one or none: no call runs with a part of its arguments."""
    wire = CORPUS[number]
    whole = read([wire])
    for end in range(0, len(wire), 3):
        part = read([wire[:end]])
        assert part.message is None or part.message == whole.message


def test_a_call_beyond_the_limits_never_runs_without_its_arguments() -> None:
    """What comes after the reason to end is no farewell if it is part of the answer."""
    answer = WireAnswer(calls=[("send", {"text": "x" * 2_000})])
    first = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    assert read([first + stream_of(answer)]).refusal[0] == "MalformedResponse"


@pytest.mark.parametrize("seed", range(8))
def test_mutated_streams_are_answers_or_refusals(seed: int) -> None:
    """Whatever is wrong with a stream: no untyped error, no call that is not whole, no matter how it is cut."""
    run(400, seed)


@pytest.mark.parametrize("size", [16, 40])
def test_limits_do_not_depend_on_the_cut(size: int) -> None:
    """An event that is too large is refused behind the same events, whether it came at once or in pieces."""
    chance = random.Random(size)
    for _ in range(300):
        wire = b"".join(chance.choice([b"data: ", b"x" * 9, b"\n", b"\r\n", b": c", b"\n\n"]) for _ in range(20))
        outcomes: set[tuple[tuple[bytes, ...], bool]] = set()
        cut = chance.randrange(len(wire) + 1)
        for pieces in ([wire], [wire[:cut], wire[cut:]], [wire[i : i + 1] for i in range(len(wire))]):
            parser = EventStreamParser(max_event_bytes=size)
            events: list[bytes] = []
            refused = False
            for piece in pieces:
                try:
                    events += parser.feed(piece)
                except ModelError:
                    events += parser.rescued
                    refused = True
                    break
            outcomes.add((tuple(events), refused))
        assert len(outcomes) == 1, wire


# --- as a program ---------------------------------------------------------------------------------


def run(inputs: int, seed: int) -> dict[str, int]:
    """Check that many mutated streams and return how many ended in which way."""
    chance = random.Random(seed)
    ends: dict[str, int] = {}
    for _ in range(inputs):
        wire = chance.choice(CORPUS)
        for _ in range(chance.randint(1, 3)):
            wire = mutate(chance, wire)
        cuts = [chance.randrange(1 << 16) for _ in range(chance.randint(1, 4))]
        try:
            outcome = check(wire, cuts)
        except Exception as error:
            error.add_note(f"the stream was {wire!r}, cut at {cuts}")
            raise
        ends[outcome.refusal[0] or "whole"] = ends.get(outcome.refusal[0] or "whole", 0) + 1
    return ends


def main() -> None:
    """Run as many inputs as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guided", action="store_true", help="let the coverage choose the inputs (needs atheris)")
    options = parser.parse_args()
    if options.guided:
        guided(options.inputs, options.seed)
        return
    start = time.process_time()
    ends = run(options.inputs, options.seed)
    seconds = time.process_time() - start
    sys.stdout.write(f"{options.inputs:,} inputs in {seconds:.0f} s of CPU: {ends}\n")


def guided(inputs: int, seed: int) -> None:
    """Let atheris choose the inputs; the first byte says where they are cut."""
    atheris: Any = __import__("atheris")
    for function in (EventReader.feed, EventStreamParser.feed):
        atheris.instrument_func(function)
    atheris.instrument_all()

    def mutator(data: bytes, max_size: int, number: int) -> bytes:
        chance = random.Random(number)
        if chance.random() < 0.3:
            return atheris.Mutate(data, max_size)
        source = data if data and chance.random() < 0.8 else chance.choice(CORPUS)
        return mutate(chance, source)[:max_size]

    def target(data: bytes) -> None:
        check(data, [data[0] * 7 if data else 0])

    arguments = [sys.argv[0], f"-runs={inputs}", f"-seed={seed}", "-max_len=8192", "-timeout=20", "-verbosity=0"]
    atheris.Setup(arguments, target, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
