"""A result becomes text, whatever it is, and is cut where it is too long."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import types
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from tinyllm_actors.tool import tool
from tinyllm_actors.tool.result import cut_result, render_result


class Model(BaseModel):
    when: datetime.date
    key: SecretStr = SecretStr("hunter2")


@dataclasses.dataclass
class Data:
    x: int
    model: Model | None = None


class Struct(msgspec.Struct):
    data: Data


class Color(enum.Enum):
    RED = "red"


class Tone(enum.StrEnum):
    LOW = "low"


class Shown:
    def __str__(self) -> str:
        return 'shown as "itself"'


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("hunter2")


class Hostile:
    """Fails on any name that is not its class's."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        return "honest"


class Numbers:
    """Like an array of numpy."""

    def tolist(self) -> list[int]:
        return [1, 2]


_cycle: list[object] = []
_cycle.append(_cycle)

RESULTS: list[tuple[object, str]] = [
    ("text", "text"),
    ("", ""),
    ('{"a": 1}', '{"a": 1}'),
    (Tone.LOW, "low"),
    (Color.RED, "red"),
    (None, "null"),
    (True, "true"),
    (3, "3"),
    (2**70, str(2**70)),
    (1.5, "1.5"),
    (float("nan"), "null"),
    (decimal.Decimal("1.50"), "1.50"),
    (datetime.date(2024, 1, 1), "2024-01-01"),
    (pathlib.PurePosixPath("/tmp"), "/tmp"),
    (b"caf\xc3\xa9", "café"),
    (bytearray(b"\xff\x00"), "<2 bytes of binary data>"),
    ({"a": [1, None], "b": ("é", {2})}, '{"a":[1,null],"b":["é",[2]]}'),
    ({1: "x"}, '{"1":"x"}'),
    ({(1, 2): "x"}, '{"(1, 2)":"x"}'),
    (types.MappingProxyType({"a": 1}), '{"a":1}'),
    (collections.OrderedDict(a=1), '{"a":1}'),
    (collections.deque([1, 2]), "[1,2]"),
    ({"a": 1}.values(), "[1]"),
    (Model(when=datetime.date(2024, 1, 1)), '{"when":"2024-01-01","key":"**********"}'),
    (
        Struct(Data(1, Model(when=datetime.date(2024, 1, 1)))),
        '{"data":{"x":1,"model":{"when":"2024-01-01","key":"**********"}}}',
    ),
    ([Shown()], '["shown as \\"itself\\""]'),
    (Shown(), 'shown as "itself"'),
    (Hostile(), "honest"),
    (Numbers(), "[1,2]"),
    (ValueError("no such city"), "ValueError: no such city"),
    (Broken(), "<Broken that cannot be shown: RuntimeError>"),
    ([Broken()], "<list that cannot be shown: RuntimeError>"),
    (_cycle, "[[...]]"),
    ("\ud800 lone", "? lone"),
    ({"a": "\ud800"}, "{'a': '\\ud800'}"),
]


@pytest.mark.parametrize(("value", "text"), RESULTS, ids=range(len(RESULTS)))
def test_each_kind_of_result_has_its_text(value: object, text: str) -> None:
    """Text stays as it is, data is compact JSON, the rest is what it says of itself; secrets stay hidden."""
    shown = render_result(value)
    assert shown == text
    assert type(shown) is str


def test_deep_result_is_survived() -> None:
    """A result nested beyond what can be encoded is no crash."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert render_result(deep) == "<list that cannot be shown: RecursionError>"
    while deep:  # freed one by one, as the interpreter would otherwise recurse
        deep = deep.pop()  # type: ignore[assignment]


JSON_DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@given(st.lists(JSON_DATA) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON_DATA))
def test_data_is_whole(value: Any) -> None:
    """Data comes out of its text as it went in."""
    assert json.loads(render_result(value)) == value


@given(st.text() | st.lists(st.text()))
def test_text_can_always_be_sent(value: Any) -> None:
    """Whatever characters a result has, its text can be encoded for a request."""
    render_result(value).encode()


@given(st.text(max_size=300), st.integers(1, 320))
def test_cut_stays_within_its_limit(text: str, limit: int) -> None:
    """The text with its note is never longer than the limit; what fits is not touched."""
    cut = cut_result(text, limit)
    assert len(cut) <= limit
    assert (cut == text) == (len(text) <= limit)


def test_note_says_how_much_was_cut() -> None:
    """What is shown and what is said to be left out add up."""

    @tool(max_result_chars=100)
    def function() -> None: ...

    shown = function.render("x" * 10_000_000)
    kept, note = shown.split("\n")
    left = 10_000_000 - len(kept)
    assert note == f"[cut: {left:,} of 10,000,000 characters left out; ask for less at once]"
    assert 20 < len(kept) <= 100
    assert function.render("x" * 100) == "x" * 100
