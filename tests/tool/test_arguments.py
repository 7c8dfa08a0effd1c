"""What a model writes becomes values, or a message that tells it what to correct."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field

from tinyllm_actors.errors import InvalidArguments
from tinyllm_actors.tool import Tool, tool
from tinyllm_actors.tool.arguments import MAX_ARGUMENT_CHARS
from tinyllm_actors.tool.correction import MAX_PROBLEMS, show_value


class Passenger(BaseModel):
    age: int


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


@tool
def book(
    destination: str,
    passengers: list[Passenger] = [],  # noqa: B006
    kind: Literal["rail", "air"] = "rail",
    seat: int | Passenger = 1,
    price: float = 1.0,
    car: Annotated[int, AfterValidator(_even)] = 2,
) -> str:
    """Book a journey."""
    return destination


@tool
def ping() -> str:
    """Answer."""
    return "pong"


def refusal_of(made: Tool[..., object], text: str) -> str:
    """Return the message for arguments that do not fit."""
    with pytest.raises(InvalidArguments) as caught:
        made.validate(text)
    assert caught.value.tool == made.name
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "  \n", "{}", "null", '"{}"', '"null"', '""'])
def test_no_arguments_have_many_spellings(text: str) -> None:
    """What models write for "nothing" is understood as it was meant."""
    assert ping.validate(text) == {}


def test_object_that_was_encoded_twice_is_read() -> None:
    """A JSON text that holds the JSON text of the arguments is taken for the arguments."""
    assert book.validate(json.dumps(json.dumps({"destination": "Rome"}))) == {"destination": "Rome"}


def test_values_that_are_nearly_right_are_converted() -> None:
    """A number in quotes is the number; a strict tool refuses it."""
    text = '{"destination": "Rome", "price": "3.5", "passengers": [{"age": "7"}]}'
    assert book.validate(text) == {"destination": "Rome", "price": 3.5, "passengers": [Passenger(age=7)]}
    message = refusal_of(book.with_options(strict=True), text)
    assert "'price': Input should be a valid number; got '3.5'" in message
    assert "'passengers.0.age': Input should be a valid integer; got '7'" in message


def test_each_place_is_named_with_its_value() -> None:
    """The message has one line for each place: where, what was expected, what came."""
    text = json.dumps(
        {
            "passengers": [{"age": 1}, {"age": "old"}, {}],
            "kind": "sea",
            "seat": "x",
            "price": None,
            "car": 3,
            "kinds": 1,
        }
    )
    assert refusal_of(book, text).splitlines() == [
        "the arguments of 'book' do not fit:",
        "- 'destination': missing, but required",
        "- 'passengers.1.age': Input should be a valid integer, unable to parse string as an integer; got 'old'",
        "- 'passengers.2.age': missing, but required",
        "- 'kind': Input should be 'rail' or 'air'; got 'sea'",
        "- 'seat': Input should be a valid integer, unable to parse string as an integer; got 'x',"
        " or Input should be an object; got 'x'",
        "- 'price': Input should be a valid number; got None",
        "- 'car': must be even; got 3",
        "- 'kinds': there is no such argument; did you mean 'kind'?",
        "Correct them and call it again.",
    ]


def test_unknown_argument_is_answered_with_those_there_are() -> None:
    """Where no name is near, all are listed."""
    message = refusal_of(book, '{"destination": "Rome", "zzz": 1}')
    assert "'zzz': there is no such argument; the arguments are 'destination', 'passengers', 'kind'" in message
    assert "the arguments are none" in refusal_of(ping, '{"x": 1}')


def test_unknown_field_inside_is_named() -> None:
    """Inside a closed object, the place of the field that is not there is given."""

    class Closed(BaseModel, extra="forbid"):
        x: int = 1

    @tool
    def function(closed: Closed) -> None: ...

    assert "'closed.y': there is no such field" in refusal_of(function, '{"closed": {"y": 1}}')


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            '{"destination": "Ro',
            'are not JSON: EOF while parsing a string at line 1 column 19; got \'{"destination": "Ro\'.',
        ),
        (
            "destination=Rome",
            "are not JSON: expected value at line 1 column 1; got 'destination=Rome'. Send one JSON object.",
        ),
        ("[1]", "the arguments: Input should be an object; got [1]"),
        ("7", "the arguments: Input should be an object; got 7"),
        ('"Rome"', "are not JSON"),
        ('"Ro', "are not JSON"),
        ("[" * 100_000, "are not JSON: recursion limit exceeded"),
        ('{"destination": ' + "1" * 5_000 + "}", "are not JSON: number out of range"),
        ('{"destination": "Rome", "price": NaN}', "'price': Input should be a finite number; got nan"),
        ('{"destination": "\ud800"}', "are not JSON: character 17 is half of a surrogate pair; got"),
        ('"\\ud800"', "are not JSON: character 0 is half of a surrogate pair; got"),
        ('{"destination": "\\ud800"}', "are not JSON: "),
    ],
    ids=range(12),
)
def test_text_that_is_no_json_object_is_refused(text: str, part: str) -> None:
    """The message says where reading ended and what was read."""
    message = refusal_of(book, text)
    assert part in message
    assert len(message) < 1_000


def test_text_without_end_is_refused_unread() -> None:
    """Arguments beyond the limit are refused before anything is parsed."""
    assert "may be 1,000,000" in refusal_of(book, " " * MAX_ARGUMENT_CHARS + " ")


def test_message_stays_short_whatever_was_sent() -> None:
    """Many faults, long values and long names do not fill the next request."""
    many = {"destination": ["x" * 10_000] * 50, "passengers": [{"age": "y" * 99}] * 4_000, "z" * 10_000: 1}
    message = refusal_of(book, json.dumps(many))
    assert len(message.splitlines()) == MAX_PROBLEMS + 3
    assert "- and 3992 more" in message
    assert len(message) < 5_000


def test_value_whose_repr_fails_is_named_by_its_type() -> None:
    """Showing a value never raises and never takes much room."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert show_value(Broken()).startswith("<Broken instance at 0x")
    assert show_value(10**5_000) == "<int>"
    assert show_value("x" * 70) == repr("x" * 70)
    assert len(show_value("x" * 100)) == 80
    assert len(show_value([["x" * 100] * 100] * 100)) <= 300


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["destination", "passengers", "kind", "seat", "price", "car"]) | st.text(max_size=4)


def outcome(text: str) -> str | None:
    """Return the refusal of a text, or None if the function could be called with it."""
    try:
        arguments = book.validate(text)
    except InvalidArguments as error:
        return str(error)
    return None if book(**arguments) == arguments["destination"] else "the function got something else"


@given(
    st.dictionaries(NAMES, JSON_VALUES, max_size=5).map(json.dumps)
    | JSON_VALUES.map(json.dumps)
    | st.text(st.sampled_from('{}[]":,1a\ud800\\'))
    | st.text()
)
def test_any_text_is_accepted_or_refused(text: str) -> None:
    """Whatever a model writes, it becomes arguments that the function takes, or a refusal that can be sent."""
    refusal = outcome(text)
    assert refusal is None or refusal.encode().startswith(b"the arguments of 'book'")


def test_validator_that_fails_otherwise_is_not_hidden() -> None:
    """A fault in the code of a validator is no fault of the model."""

    def fail(value: int) -> int:
        raise LookupError(value)

    @tool
    def function(x: Annotated[int, AfterValidator(fail), Field(gt=0)]) -> None: ...

    with pytest.raises(LookupError):
        function.validate('{"x": 1}')
