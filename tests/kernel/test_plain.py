"""Anything becomes plain data: bounded, without secrets, whatever the object does."""

from __future__ import annotations

import datetime
import enum
import json
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from tinyllm_actors.kernel import add_redactions, to_plain
from tinyllm_actors.kernel.redaction import is_secret_name, masked, redact
from tinyllm_actors.llm import UserMessage


class Colour(enum.Enum):
    RED = "red"


class Login(BaseModel):
    model_config = ConfigDict(extra="allow")
    user: str
    key: SecretStr


class Point(msgspec.Struct):
    x: int


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class OddText(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (2**80, str(2**80)),
        (float("nan"), "nan"),
        (1.5, 1.5),
        (Colour.RED, "red"),
        (OddText("a"), "a"),
        (b"abc", "<3 bytes>"),
        ({1: {2}}, {"1": [2]}),
        (Point(1), {"x": 1}),
        (UserMessage("hi"), {"role": "user", "content": "hi", "name": None}),
        (ValueError("password=hunter2"), {"type": "ValueError", "message": "password=***"}),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (Point, "<Point>"),
        (SecretStr("abc"), "***"),
        (Odd(), "<Odd, which raises RuntimeError>"),
    ],
)
def test_what_becomes_of_it(value: Any, plain: Any) -> None:
    """Each kind of object has a plain form that JSON knows."""
    assert to_plain(value) == plain
    json.dumps(to_plain(value), allow_nan=False)


def test_models_are_shown_by_their_fields() -> None:
    """A pydantic model has its fields and what else it was given; secrets of its types and names are masked."""
    login = Login(user="ann", key=SecretStr("abc"), api_key="abc", n=1)  # pyright: ignore[reportCallIssue]
    assert to_plain(login) == {"user": "ann", "key": "***", "api_key": "***", "n": 1}


def test_everything_has_a_bound() -> None:
    """Long texts, large collections, deep ones and ones that hold themselves end somewhere, and say so."""
    circle: list[Any] = []
    circle.append(circle)
    assert "…" in json.dumps(to_plain(circle), ensure_ascii=False)
    assert len(to_plain(list(range(10_000)))) == 2_001
    assert to_plain({str(n): n for n in range(5)}, max_items=3)["…"] == "2 more"
    text = to_plain("x" * 100_000, max_chars=10)
    assert text.startswith("xxxxxxxxxx… (")


def test_a_secret_at_the_cut_is_not_cut_out_of_sight() -> None:
    """A long text is searched beyond the place where it is cut."""
    assert "hunter2" not in to_plain("x" * 5 + " password=hunter2hunter2", max_chars=20)


def test_masked_reaches_lists() -> None:
    """Inspection masks in lists, pairs and name-value entries as well; what lies too deep is masked whole."""
    state = {
        "headers": [("Authorization", "abc")],
        "entry": {"name": "api_key", "value": "x"},
        "n": (1, "sk-" + "a" * 20),
    }
    assert masked(state) == {
        "headers": [("Authorization", "***")],
        "entry": {"name": "api_key", "value": "***"},
        "n": (1, "***"),
    }
    assert masked({"a": [[[[1]]]]}, depth=2) == {"a": ["***"]}


def test_the_same_addition_can_be_made_twice() -> None:
    """What two parts of a program add is masked until both have taken it back."""
    undo = [add_redactions(names=["iban"], values=["sesame"], patterns=["PAT-[0-9]+"]) for _ in range(2)]
    undo[0]()
    undo[0]()
    assert redact("sesame PAT-1") == "*** ***"
    assert is_secret_name("IBAN")
    undo[1]()
    assert redact("sesame PAT-1") == "sesame PAT-1"
