"""A JSON schema written by hand is shown as it is, and the function's names are held against a call."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import BaseModel

from tinyllm_actors.errors import ConfigurationError, InvalidArguments
from tinyllm_actors.tool import Tool, ToolContext, tool

SCHEMA = {
    "type": "object",
    "title": "kept",
    "properties": {"asked_property": {"type": "string", "enum": ["name", "birthday"], "description": "which one"}},
    "required": ["asked_property"],
}


def test_schema_is_shown_as_it_is_and_copied() -> None:
    """Nothing is dropped, closed or added, and a later change of the dictionary changes nothing."""
    given: dict[str, Any] = {"type": "object", "properties": {}}

    @tool(parameters=given, description="Look it up.")
    def function(anything, *rest, **named) -> None: ...  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]

    given["properties"]["x"] = {}
    assert function.parameters == {"type": "object", "properties": {}}
    assert Tool.from_function(print, parameters=SCHEMA).parameters == SCHEMA


def test_only_the_names_are_checked() -> None:
    """Values pass as they are; names that the function does not take are refused before it is called."""

    @tool(parameters=SCHEMA)
    def function(asked_property: str, unit: int = 1) -> None: ...

    assert function.validate('{"asked_property": 7, "unit": "x"}') == {"asked_property": 7, "unit": "x"}
    with pytest.raises(InvalidArguments, match="do not fit: 'asked_property' is missing, but required"):
        function.validate("")
    with pytest.raises(InvalidArguments, match="do not fit: there is no argument 'x'"):
        function.validate('{"asked_property": "name", "x": 1}')


def test_context_is_not_the_models_to_give() -> None:
    """The context is injected here too, and a model that names it is refused."""

    @tool(parameters=SCHEMA)
    def function(context: ToolContext, **arguments: object) -> None: ...

    assert function.arguments.injected == ("context",)
    assert function.validate('{"x": 1}') == {"x": 1}
    with pytest.raises(InvalidArguments, match="there is no argument 'context'"):
        function.validate('{"context": 1}')


def test_method_takes_a_schema_too() -> None:
    """The instance is neither missing nor the model's to give."""

    class Service:
        @tool(parameters={"type": "object"})
        def method(self, x: int) -> int:
            return x

    assert Service().method.validate('{"x": 1}') == {"x": 1}
    with pytest.raises(InvalidArguments, match="there is no argument 'self'"):
        Service().method.validate('{"x": 1, "self": 1}')


@pytest.mark.parametrize("text", ["[1]", '"x"', "7", '{"x": NaN}', "{", "tru", '{"x": "\ud800"}'])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    """Arguments are one JSON object, whatever the schema says."""

    @tool(parameters={"type": "object"})
    def function(**arguments: object) -> None: ...

    with pytest.raises(InvalidArguments, match=r"must be one JSON object; got|are not JSON: "):
        function.validate(text)


def test_validator_may_replace_accept_and_refuse() -> None:
    """A validator returns other arguments or None, and refuses with a sentence that the model reads."""

    class Model(BaseModel):
        x: int

    def validator(arguments: dict[str, Any]) -> dict[str, Any] | None:
        if arguments["x"] == "pass":
            return None
        if arguments["x"] == "bad":
            raise ValueError("x is bad today")
        return dict(Model.model_validate(arguments))

    @tool(parameters={"type": "object"}, validator=validator)
    def function(x: object) -> None: ...

    assert function.validate('{"x": "pass"}') == {"x": "pass"}
    assert function.validate('{"x": "3"}') == {"x": 3}
    with pytest.raises(InvalidArguments, match="the arguments of 'function' do not fit: x is bad today"):
        function.validate('{"x": "bad"}')
    with pytest.raises(InvalidArguments, match=r"'x': Input should be a valid integer, .*; got 'q'"):
        function.validate('{"x": "q"}')


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({}, "must be a JSON schema of type 'object'"),
        ({"type": "array"}, "parameters={'type': 'array'} must be a JSON schema of type 'object'"),
        ({"type": "object", "properties": []}, "with named 'properties'"),
        ({"type": "object", "default": math.nan}, "is no JSON schema: Out of range"),
        ({"type": "object", "default": object()}, "is no JSON schema: Object of type object"),
        ([1], "is no JSON schema: "),
    ],
    ids=range(6),
)
def test_schema_that_is_none_is_refused(parameters: Any, sentence: str) -> None:
    """The error shows what was given and says what is wanted."""
    with pytest.raises(ConfigurationError, match=sentence):
        Tool.from_function(print, parameters=parameters)


def test_validator_needs_a_schema() -> None:
    """Without `parameters` the annotations validate, and a second opinion would be ignored."""
    with pytest.raises(ConfigurationError, match="validator= goes with parameters="):

        @tool(validator=lambda arguments: arguments)
        def function(x: int) -> None: ...
