"""A signature becomes the schema that its author would have written."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import subprocess
import sys
from typing import Annotated, Any, Literal, Optional

import jsonschema
import pytest
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from tinyllm_actors.errors import ConfigurationError, InvalidArguments
from tinyllm_actors.tool import Tool, ToolContext, tool


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Options(typing_extensions.TypedDict, total=False):
    deep: bool


class Order(BaseModel):
    """An order."""

    items: list[Point]
    note: str | None = None


class Tree(BaseModel):
    children: list[Tree] = []


POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
    "required": ["x"],
    "additionalProperties": False,
}

TYPES: list[tuple[Any, dict[str, Any]]] = [
    (int, {"type": "integer"}),
    (bool, {"type": "boolean"}),
    (list[str], {"type": "array", "items": {"type": "string"}}),
    (dict[str, list[int]], {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}}),
    (Literal["a", 1], {"enum": ["a", 1]}),
    (Color, {"enum": ["red", "blue"], "type": "string"}),
    (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
    (datetime.date, {"type": "string", "format": "date"}),
    (Point, POINT),
    (Options, {"type": "object", "properties": {"deep": {"type": "boolean"}}, "additionalProperties": False}),
    (
        Order,
        {
            "description": "An order.",
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": POINT},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "required": ["items"],
            "additionalProperties": False,
        },
    ),
    (Any, {}),
    (Annotated[int, Field(gt=0, le=9)], {"type": "integer", "exclusiveMinimum": 0, "maximum": 9}),
    (
        Annotated[str, Field(pattern="^a"), "starts with a"],
        {"type": "string", "pattern": "^a", "description": "starts with a"},
    ),
    (Annotated[str, "text", Field(description="field")], {"type": "string", "description": "field"}),
]


@pytest.mark.parametrize(("annotation", "schema"), TYPES, ids=range(len(TYPES)))
def test_types_have_their_schema(annotation: Any, schema: dict[str, Any]) -> None:
    """Each type that pydantic knows is described as itself, without references and titles."""

    def function(it: Any) -> None: ...

    function.__annotations__["it"] = annotation
    made = tool(function)
    assert made.parameters == {
        "type": "object",
        "properties": {"it": schema},
        "required": ["it"],
        "additionalProperties": False,
    }
    jsonschema.Draft202012Validator.check_schema(made.parameters)


def test_recursive_type_keeps_its_definition() -> None:
    """A type that contains itself is the one thing that needs a reference."""

    @tool
    def prune(tree: Tree) -> None: ...

    assert prune.parameters["properties"] == {"tree": {"$ref": "#/$defs/Tree"}}
    assert prune.parameters["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert prune.validate('{"tree": {"children": [{}]}}') == {"tree": Tree(children=[Tree()])}


def test_description_comes_from_the_nearest_place() -> None:
    """`Field` beats plain text in `Annotated`, which beats the docstring; without them there is none."""

    @tool
    def function(  # noqa: D417
        a: Annotated[int, Field(description="field")],
        b: Annotated[int, "text"],
        c: int,
        d: Order,
        e: int,
        f: int = Field(3, description="default"),
    ) -> None:
        """Do it.

        Args:
            a: docstring
            b: docstring
            c: docstring
            d: docstring
            f: docstring
        """

    properties = function.parameters["properties"]
    assert {name: it.get("description") for name, it in properties.items()} == {
        "a": "field",
        "b": "text",
        "c": "docstring",
        "d": "docstring",
        "e": None,
        "f": "default",
    }
    assert function.description == "Do it."


def test_defaults_are_shown_and_stay_the_functions_own() -> None:
    """The model sees a default that JSON has; what it leaves out is left to the function."""
    somewhere = object()

    @tool
    def function(
        a: int = 1,
        b: Color = Color.RED,
        c: Any = somewhere,
        d: str | None = None,
        e: list[int] = [],  # noqa: B006
        f: str = "x" * 2_000,
    ) -> object:
        return a, b, c, d, e, len(f)

    properties = function.parameters["properties"]
    assert "required" not in function.parameters
    shown = {name: it["default"] for name, it in properties.items() if "default" in it}
    assert shown == {"a": 1, "b": "red", "e": []}
    assert function.validate("{}") == {}


def test_default_inside_a_field_is_filled() -> None:
    """`x: int = Field(3, …)` works as in a pydantic model, and without a default it is required."""

    @tool
    def function(
        x: int = Field(3, gt=0),
        y: str = Field(min_length=1),
        z: list[int] = Field(default_factory=list),  # noqa: B008
    ) -> None: ...

    assert function.parameters["required"] == ["y"]
    assert function.parameters["properties"]["x"] == {"type": "integer", "exclusiveMinimum": 0, "default": 3}
    assert function.validate('{"y": "a"}') == {"x": 3, "y": "a", "z": []}


def test_alias_is_what_the_model_sees() -> None:
    """A parameter may have a name for the model that Python could not have."""

    @tool
    def function(from_: Annotated[str, Field(alias="from")]) -> None: ...

    assert list(function.parameters["properties"]) == ["from"]
    assert function.validate('{"from": "Paris"}') == {"from_": "Paris"}


def test_any_parameter_name_will_do() -> None:
    """Names that a pydantic model would not take as fields are no trouble."""

    @tool
    def function(_x: int, schema: int, model_config: int, json: int, copy: int, /, self: int) -> None: ...

    names = ["_x", "schema", "model_config", "json", "copy", "self"]
    assert list(function.parameters["properties"]) == names
    assert function.validate(json.dumps(dict.fromkeys(names, 1))) == dict.fromkeys(names, 1)


def test_context_is_not_in_the_schema() -> None:
    """The model neither sees nor gives what the runtime fills in."""

    @tool
    def function(x: int, context: ToolContext) -> None: ...

    assert list(function.parameters["properties"]) == ["x"]
    assert function.arguments.injected == ("context",)
    with pytest.raises(InvalidArguments, match="no such argument"):
        function.validate('{"x": 1, "context": {}}')


def test_types_of_the_scope_around_are_found() -> None:
    """Postponed annotations may use types that are local to the function in which the tool is defined."""

    class Local(BaseModel):
        x: int

    class Outer:
        class Inner(BaseModel):
            y: int

        @tool
        def method(self, it: Inner) -> None: ...

    @tool
    def decorated(it: Local) -> None: ...

    @tool(name="named")
    def with_options(it: list[Local]) -> None: ...

    def plain(it: Local | None) -> None: ...

    assert decorated.validate('{"it": {"x": 1}}') == {"it": Local(x=1)}
    assert with_options.validate('{"it": [{"x": 1}]}') == {"it": [Local(x=1)]}
    assert Tool.from_function(plain).validate('{"it": {"x": 1}}') == {"it": Local(x=1)}
    assert Tool.of(plain).validate('{"it": null}') == {"it": None}
    assert Outer.method.validate('{"it": {"y": 1}}') == {"it": Outer.Inner(y=1)}


_NAMES: dict[str, Any] = {"tool": tool, "BaseModel": BaseModel}


def test_types_defined_further_down_are_found_when_needed() -> None:
    """A postponed annotation may use a type, or a model one, that its module defines after the function."""
    source = """
from __future__ import annotations
class Early(BaseModel):
    later: Later
@tool
def function(x: Later, y: list["Later"], z: Early): ...
@tool
def indirect(z: Early): ...
class Later(BaseModel):
    n: int
"""
    names: dict[str, Any] = {**_NAMES, "__name__": __name__}
    exec(source, names)
    names["Early"].model_rebuild(_types_namespace=names)
    later = names["Later"](n=1)
    text = '{"x": {"n": 1}, "y": [{"n": 1}], "z": {"later": {"n": 1}}}'
    assert names["function"].validate(text) == {"x": later, "y": [later], "z": names["Early"](later=later)}
    assert names["indirect"].parameters["required"] == ["z"]


def test_type_that_is_nowhere_is_refused_when_needed() -> None:
    """The error names the function and the name, and says where to define it."""
    names = dict(_NAMES)
    exec("@tool\ndef function(x: 'Nowhere'): ...", names)
    with pytest.raises(ConfigurationError, match=r"function use a name .*'Nowhere'.* import it at run time"):
        _ = names["function"].parameters
    with pytest.raises(ConfigurationError, match="Nowhere"):
        names["function"].validate("{}")
    exec("class Half(BaseModel):\n    it: 'Nowhere'\n@tool\ndef function(y: int, x: Half): ...", names)
    with pytest.raises(
        ConfigurationError, match=r"not defined \(in the type of parameter 'x' of .*function\); import it"
    ):
        _ = names["function"].parameters


VALUES = {
    int: st.integers(),
    str: st.text(st.characters(exclude_categories=["Cs"])),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    list[int]: st.lists(st.integers(-9, 9), max_size=3),
    dict[str, bool]: st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), st.booleans()),
    int | None: st.none() | st.integers(-9, 9),
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
}


@given(st.data())
def test_what_fits_the_schema_is_accepted_as_it_is(data: st.DataObject) -> None:
    """Any arguments of the annotated types pass the published schema, and arrive as they were sent."""
    types = data.draw(st.lists(st.sampled_from(list(VALUES)), max_size=4))
    required = data.draw(st.lists(st.booleans(), min_size=len(types), max_size=len(types)))
    arguments: dict[str, object] = {}
    pieces: list[str] = []
    for index, (annotation, needed) in enumerate(zip(types, required, strict=True)):
        name = f"p{index}"
        pieces.append(f"{name}: T[{index}]" + ("" if needed else " = None"))
        if needed or data.draw(st.booleans()):
            arguments[name] = data.draw(VALUES[annotation])
    names: dict[str, Any] = {"T": types}
    exec(f"def function(*, {', '.join(pieces)}): ..." if pieces else "def function(): ...", names)
    made = tool(names["function"])
    validator: Any = jsonschema.Draft202012Validator(made.parameters)
    assert validator.is_valid(arguments)
    arrived = made.validate(json.dumps(arguments))
    assert arrived == arguments
    assert {name: type(value) for name, value in arrived.items()} == {
        name: type(value) for name, value in arguments.items()
    }
    needed = made.parameters.get("required", [])
    for name in needed:
        fewer = {key: value for key, value in arguments.items() if key != name}
        assert not validator.is_valid(fewer)
        with pytest.raises(InvalidArguments, match=f"'{name}': missing, but required"):
            made.validate(json.dumps(fewer))


def test_docstring_parser_is_imported_with_the_first_docstring_only() -> None:
    """A program whose tools have no docstrings, or that has no tools, does not pay for reading them."""
    program = """
import sys
from tinyllm_actors.tool import tool
@tool
def silent(x: int) -> None: ...
before = "docstring_parser" in sys.modules
@tool
def f(x: int) -> None:
    'Do it.'
print(before, "docstring_parser" in sys.modules)
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "False True"
