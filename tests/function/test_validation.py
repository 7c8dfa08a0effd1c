"""Validation by whatever pydantic understands, and what its errors show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SecretBytes,
    SecretStr,
    ValidationError,
)
from typing_extensions import TypedDict

from tinyllm_actors import run
from tinyllm_actors.function import Validator, as_function, failure


class Kept(BaseModel):
    n: int


class Dropped(BaseModel):
    model_config = ConfigDict(extra="ignore")
    n: int


class Refused(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int


class Allowed(BaseModel):
    model_config = ConfigDict(extra="allow")
    n: int


@dataclass
class Point:
    x: int
    y: int = 0


class Movie(TypedDict):
    title: str


class Login(BaseModel):
    user: str
    pin: SecretStr = Field(min_length=8)


class Logins(BaseModel):
    logins: list[Login]
    backup: Login | None = None
    by_name: dict[str, SecretBytes] = {}


class Tree(BaseModel):
    pin: SecretStr | None = None
    below: list[Tree] = []


@dataclass
class Key:
    code: SecretStr


def test_extra_fields_are_as_the_model_says_and_kept_if_it_says_nothing() -> None:
    """Kept, dropped or refused by the model's own configuration."""
    given = {"n": 1, "user": "u1"}
    assert Validator(Kept)(given) == given
    assert Validator(Allowed)(given) == given
    assert Validator(Dropped)(given) == {"n": 1}
    with pytest.raises(ValidationError, match="user"):
        Validator(Refused)(given)


def test_a_field_is_not_an_extra_under_the_name_it_came_by() -> None:
    """Aliases of every kind are names of fields."""

    class Aliased(BaseModel):
        a: int = Field(alias="A")
        b: int = Field(validation_alias="B")
        c: int = Field(validation_alias=AliasChoices("C", AliasPath("deep", 0)))

    assert Validator(Aliased)({"A": 1, "B": 2, "deep": [3], "d": 4}) == {"a": 1, "b": 2, "c": 3, "d": 4}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (Point, {"x": "1"}, {"x": 1, "y": 0}),
        (Movie, {"title": "Heat"}, {"title": "Heat"}),
        (RootModel[dict[str, int]], {"a": "1"}, {"a": 1}),
        (dict[str, int], {"a": "1"}, {"a": 1}),
        (Kept, Kept(n=1), {"n": 1}),
    ],
    ids=["dataclass", "TypedDict", "root model", "type", "instance"],
)
def test_any_type_can_say_what_arguments_are(schema: Any, value: Any, expected: Any) -> None:
    """What `run()` gets is a dictionary."""
    assert Validator(schema)(value) == expected


def test_an_annotation_that_cannot_be_hashed_is_a_schema_too() -> None:
    """It is compiled for each Function that uses it."""

    async def same(**arguments: Any) -> Any:
        return arguments

    schema = Annotated[dict[str, int], {"not": "hashable"}]
    assert run(as_function(same, input_validator=schema), a="1") == {"status": "success", "output": {"a": 1}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (Login, {"user": "u1", "pin": "hunter2"}),
        (Logins, {"logins": [{"user": "u1", "pin": "hunter2"}]}),
        (Logins, {"logins": [], "backup": {"user": "u1", "pin": ["hunter2"]}}),
        (Logins, {"logins": {"user": "u1", "pin": "hunter2"}}),
        (Logins, {"logins": [{"user": {"pin": "hunter2"}, "pin": "hunter2hunter2"}]}),
        (Logins, {"logins": [], "by_name": {"u1": ["hunter2"]}}),
        (Logins, [{"logins": [["hunter2", {"pin": "hunter2"}]]}]),
        (Tree, {"below": [{"below": [{"pin": ["hunter2"]}]}]}),
        (list[Login], [{"user": "u1", "pin": "hunter2"}]),
        (Key, {"code": ["hunter2"]}),
        (SecretStr, ["hunter2"]),
        (dict[str, SecretStr], {"a": ["hunter2"]}),
    ],
    ids=map(str, range(12)),
)
def test_what_came_for_a_secret_type_is_not_shown(schema: Any, value: Any) -> None:
    """Wherever the type stands, and whatever the field is called; the path says where it was."""
    with pytest.raises(ValidationError) as caught:
        Validator(schema)(value)
    result = failure(caught.value, state="INPUT_VALIDATION")
    assert "hunter2" not in str(result)
    assert result["error"].get("validation")


def test_other_fields_beside_a_secret_are_shown() -> None:
    """Path and value, as ever."""
    with pytest.raises(ValidationError) as caught:
        Validator(Login)({"user": 7, "pin": "long enough"})
    assert failure(caught.value, state="INPUT_VALIDATION")["error"].get("validation") == [
        {"loc": "user", "message": "Input should be a valid string", "value": "7"}
    ]


def test_a_long_value_is_shortened() -> None:
    """Lists too, however deep, and the values of dictionaries are not shown at all."""
    with pytest.raises(ValidationError) as caught:
        Validator(int)(["x" * 150, ("y" * 150, {"password": "hunter2"}, [[["z"]]])])
    value = failure(caught.value, state="RUNNING")["error"].get("validation", [])[0]["value"]
    assert len(value) < 250
    with pytest.raises(ValidationError) as caught:
        Validator(int)([(1, {"password": "hunter2"}, [["z"]])])
    value = failure(caught.value, state="RUNNING")["error"].get("validation", [])[0]["value"]
    assert value == "[(1, {'password'}, [[…]])]"


def test_a_value_that_cannot_be_shown_is_named_by_its_type() -> None:
    """Its `repr` may raise."""

    class Shy:
        def __repr__(self) -> str:
            raise OSError("no")

    with pytest.raises(ValidationError) as caught:
        Validator(int)(Shy())
    assert "<Shy, whose repr raises OSError>" in failure(caught.value, state="RUNNING")["message"]


def test_many_errors_are_counted() -> None:
    """The message names five; the list has all."""
    with pytest.raises(ValidationError) as caught:
        Validator(list[int])(["x"] * 7)
    result = failure(caught.value, state="OUTPUT_VALIDATION")
    assert result["message"].endswith("(and 2 more)")
    assert len(result["error"].get("validation", [])) == 7
