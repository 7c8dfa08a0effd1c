"""Event streams, cut wherever they may be cut."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.errors import MalformedResponse
from tinyllm_actors.llm.sse import DONE, EventStreamParser

LINE = st.binary(max_size=20).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b""))
END = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Draw a stream and the data of its events."""
    wire = b"\xef\xbb\xbf" if draw(st.booleans()) else b""
    expected: list[bytes] = []
    for _ in range(draw(st.integers(0, 6))):
        lines = draw(st.lists(LINE, min_size=1, max_size=3))
        end = draw(END)
        for line in lines:
            if draw(st.booleans()):
                wire += draw(st.sampled_from([b": comment", b"id: 7", b"event: x", b"retry: 3", b"unknown"])) + end
            # One space after the colon is not data; a line that starts with one needs it.
            space = b" " if line[:1] == b" " or draw(st.booleans()) else b""
            wire += b"data:" + space + line + end
        wire += end
        expected.append(b"\n".join(lines))
    return wire, expected


def parse(pieces: list[bytes]) -> list[bytes]:
    """Return the events of a stream that comes in `pieces`."""
    parser = EventStreamParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@given(streams(), st.data())
def test_it_does_not_matter_where_a_stream_is_cut(stream: tuple[bytes, list[bytes]], data: st.DataObject) -> None:
    """Any cutting of any stream gives the events that were written."""
    wire, expected = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert parse(pieces) == expected
    assert parse([wire]) == expected
    assert parse([wire[i : i + 1] for i in range(len(wire))]) == expected


@pytest.mark.parametrize(
    ("wire", "events"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data\n\n", [b""]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b": keep alive\n\n: again\n\n", []),
        (b"event: error\ndata: x\n\n", [b"x"]),
        (b'error: {"code":500}\n\n', [b'{"code":500}']),
        (b"error\n\n", []),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\n\r\n", [b"a"]),
        (b"data: [DONE]\n\n", [DONE]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\xef\xbbdata: a\n\n", []),
        (b"Data: a\n\n", []),
        (b"data: \xe2\x80\xa8\x0b\x0c\x1c\x85\n\n", [b"\xe2\x80\xa8\x0b\x0c\x1c\x85"]),
    ],
)
def test_the_format(wire: bytes, events: list[bytes]) -> None:
    """Each line of the format's rules, with what it gives."""
    assert parse([wire]) == events


@pytest.mark.parametrize("step", [1, 10, 100, 5000])
@pytest.mark.parametrize("wire", [b"data: " + b"x" * 2000, b"data: xxxxxxxxxxxxxxxxxxxx\n" * 100, b"x" * 2000])
def test_an_event_that_does_not_end_is_refused(wire: bytes, step: int) -> None:
    """Whether it is one long line or many short ones, an event is refused before it fills the memory."""
    parser = EventStreamParser(max_event_bytes=1000)
    with pytest.raises(MalformedResponse, match="max_event_bytes=1000"):
        for start in range(0, len(wire), step):
            parser.feed(wire[start : start + step])


def test_many_events_are_not_one() -> None:
    """The limit is for one event, not for the stream."""
    parser = EventStreamParser(max_event_bytes=100)
    assert sum(len(parser.feed(b": hello\ndata: " + b"x" * 50 + b"\n\n")) for _ in range(1000)) == 1000


SEEDS = [
    b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n',
    b": OPENROUTER PROCESSING\r\n\r\nevent: message\r\ndata: {}\r\n\r\n",
    b"\xef\xbb\xbfdata: a\rdata\r\r\n\n\x00\xff",
    b"data:::: \n\n:\n\nid\nretry: x\n\n",
]


@pytest.mark.parametrize("seed", range(200))
def test_no_bytes_break_the_parser(seed: int) -> None:
    """A mutated stream gives some events or is refused, the same ones however it is cut; never another error."""
    chance = random.Random(seed)
    data = bytearray(chance.choice(SEEDS) * chance.randint(1, 5))
    for _ in range(chance.randint(0, 30)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(3):
            case 0:
                data[place:place] = chance.choice([b"\r", b"\n", b"\r\n", b"data:", b":", b"\x00", b"\xef\xbb\xbf"])
            case 1:
                del data[place : place + chance.randint(1, 10)]
            case _:
                data[place : place + 1] = bytes([chance.randrange(256)])
    wire = bytes(data)
    cut = chance.randrange(len(wire) + 1)
    assert parse([wire]) == parse([wire[:cut], wire[cut:]]) == parse([wire[i : i + 1] for i in range(len(wire))])
