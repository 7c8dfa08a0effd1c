"""Schemas are closed, self-contained and without noise, and mean what they meant."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.tool.compact import MAX_NODES, Schema, compact_schema

REF = "#/$defs/"


def test_definitions_are_inlined() -> None:
    """A schema can be embedded in another: it has no references, and what stands beside one stays."""
    schema: Schema = {
        "$defs": {
            "Point": {"type": "object", "title": "Point", "description": "A point.", "properties": {"x": {}}},
            "Line": {"type": "array", "items": {"$ref": REF + "Point"}},
        },
        "type": "object",
        "properties": {"line": {"$ref": REF + "Line"}, "end": {"$ref": REF + "Point", "description": "The end."}},
    }
    before = copy.deepcopy(schema)
    point: Schema = {"type": "object", "properties": {"x": {}}, "additionalProperties": False}
    assert compact_schema(schema) == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "line": {"type": "array", "items": point | {"description": "A point."}},
            "end": point | {"description": "The end."},
        },
    }
    assert schema == before


def test_recursive_definitions_are_kept() -> None:
    """A type that contains itself, directly or through another, stays a definition; what it uses is inlined."""
    schema: Schema = {
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {"branches": {"type": "array", "items": {"$ref": REF + "Branch"}}},
            },
            "Branch": {"type": "object", "properties": {"tree": {"$ref": REF + "Tree"}, "n": {"$ref": REF + "N"}}},
            "N": {"type": "integer", "title": "N"},
        },
        "type": "object",
        "properties": {"tree": {"$ref": REF + "Tree"}},
    }
    compact = compact_schema(schema)
    assert compact["properties"] == {"tree": {"$ref": REF + "Tree"}}
    assert compact["$defs"]["Branch"]["properties"] == {"tree": {"$ref": REF + "Tree"}, "n": {"type": "integer"}}
    assert set(compact["$defs"]) == {"Tree", "Branch"}


def test_root_is_an_object_even_if_it_is_recursive() -> None:
    """A schema that is only a reference to itself gets the object at the top, where providers look for it."""
    schema: Schema = {
        "$defs": {"Tree": {"type": "object", "properties": {"up": {"$ref": REF + "Tree"}}}},
        "$ref": REF + "Tree",
    }
    assert compact_schema(schema) == {
        "type": "object",
        "properties": {"up": {"$ref": REF + "Tree"}},
        "additionalProperties": False,
        "$defs": {
            "Tree": {"type": "object", "properties": {"up": {"$ref": REF + "Tree"}}, "additionalProperties": False}
        },
    }


def test_inlining_that_would_explode_is_not_done() -> None:
    """Types that each use the one below twice stay definitions: inlined, twenty of them are a million schemas."""
    levels = 20
    definitions: dict[str, Any] = {"L0": {"type": "integer"}}
    for level in range(1, levels):
        below = {"$ref": f"{REF}L{level - 1}"}
        definitions[f"L{level}"] = {"type": "object", "properties": {"a": below, "b": below}}
    schema: Schema = {"$defs": definitions, "type": "object", "properties": {"top": {"$ref": f"{REF}L{levels - 1}"}}}
    compact = compact_schema(schema)
    assert len(compact["$defs"]) == levels
    assert len(json.dumps(compact)) < MAX_NODES * 10


def test_titles_go_and_parameters_named_title_stay() -> None:
    """Only the keyword is noise; a property, a default or a constant of that name is not."""
    schema: Schema = {
        "title": "Arguments",
        "type": "object",
        "properties": {
            "title": {"title": "Title", "type": "string", "default": None},
            "x": {"default": {"title": "kept"}, "enum": [{"title": "kept"}]},
        },
    }
    assert compact_schema(schema)["properties"] == {
        "title": {"type": "string"},
        "x": {"default": {"title": "kept"}, "enum": [{"title": "kept"}]},
    }


def test_discriminator_goes() -> None:
    """Its mapping names definitions that are not there any more; the constants in the members tell them apart."""
    cat: Schema = {"type": "object", "properties": {"kind": {"const": "cat"}}, "additionalProperties": False}
    schema: Schema = {
        "$defs": {"Cat": cat},
        "oneOf": [{"$ref": REF + "Cat"}],
        "discriminator": {"mapping": {"cat": REF + "Cat"}, "propertyName": "kind"},
    }
    assert compact_schema(schema) == {"oneOf": [cat]}


def test_objects_are_closed_unless_they_say_otherwise() -> None:
    """An object takes no other properties, unless it says so itself or is one part of an intersection."""
    part: Schema = {"properties": {"x": {}}}
    schema: Schema = {
        "properties": {
            "open": {"properties": {}, "additionalProperties": {"title": "T", "type": "integer"}},
            "t": True,
        },
        "allOf": [part],
        "anyOf": [part],
    }
    assert compact_schema(schema) == {
        "properties": {"open": {"properties": {}, "additionalProperties": {"type": "integer"}}, "t": True},
        "additionalProperties": False,
        "allOf": [part],
        "anyOf": [{"properties": {"x": {}}, "additionalProperties": False}],
    }


LEAVES = st.sampled_from([{"type": "integer"}, {"type": "string", "title": "S"}, {"type": "null"}, {"enum": [1, "a"]}])
VALUES = st.recursive(
    st.integers(0, 3) | st.sampled_from(["a", "b"]) | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
    max_leaves=6,
)


def _branches(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    properties = st.dictionaries(st.sampled_from(["x", "y", "title"]), inner, min_size=1, max_size=2)
    return st.one_of(
        inner.map(lambda it: {"type": "array", "items": it, "title": "A"}),
        properties.map(lambda them: {"type": "object", "properties": them, "additionalProperties": False}),
        st.lists(inner, min_size=1, max_size=2).map(lambda them: {"anyOf": them}),
    )


@given(st.data())
def test_meaning_is_kept(data: st.DataObject) -> None:
    """What a schema accepts and refuses is the same before and after, also with references that run in circles."""
    names = ["A", "B", "C"]
    references = st.sampled_from(names).map(lambda name: {"$ref": REF + name})
    bodies = st.recursive(LEAVES | references, _branches, max_leaves=4)
    # A definition that is nothing but references can run in a circle, which no validator follows.
    definitions: dict[str, Schema] = {}
    for name in names:
        definitions[name] = {"type": "object", "properties": {"x": data.draw(bodies)}, "additionalProperties": False}
    schema: Schema = {"$defs": definitions, **data.draw(_branches(bodies))}
    compact = compact_schema(schema)
    jsonschema.Draft202012Validator.check_schema(compact)
    before: Any = jsonschema.Draft202012Validator(schema)
    after: Any = jsonschema.Draft202012Validator(compact)
    for value in data.draw(st.lists(VALUES, max_size=5)):
        assert before.is_valid(value) == after.is_valid(value)
