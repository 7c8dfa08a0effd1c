"""JSON schemas as a model needs them: closed, self-contained and without what only costs tokens.

Pure functions over plain dictionaries; the input is never changed.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

__all__ = ["MAX_NODES", "Schema", "compact_schema"]

Schema: TypeAlias = dict[str, Any]

MAX_NODES = 2_000
"""Sub-schemas that inlining may lead to; beyond it, definitions stay in `$defs`, as one type used in many places would
be repeated in each."""

_REF = "#/$defs/"
_NOISE = frozenset({"title", "$defs", "discriminator"})  # a discriminator's mapping points into $defs
_ONE = frozenset({"items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"})
_LIST = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_MAP = frozenset({"properties", "patternProperties", "dependentSchemas"})


def compact_schema(schema: Schema) -> Schema:
    """Return `schema` with its definitions inlined, titles and null defaults dropped, and objects closed.

    Some providers, and every schema that embeds this one, cannot follow `$ref`; a recursive type needs it all the
    same, and stays in `$defs`. An object that does not say whether it takes other properties takes none.

    ```python
    >>> compact_schema({"$defs": {"P": {"title": "P", "type": "integer"}}, "properties": {"x": {"$ref": "#/$defs/P"}}})
    {'properties': {'x': {'type': 'integer'}}, 'additionalProperties': False}

    ```
    """
    definitions = cast("dict[str, Schema]", schema.get("$defs", {}))
    recursive = _recursive(definitions)
    inlined = {name: body for name, body in definitions.items() if name not in recursive}
    if _size(schema, inlined, {}) > MAX_NODES:
        inlined = {}
    compact = _rewrite(schema, inlined, closed=True)
    if (name := _target(compact)) in definitions:
        # A recursive model refers to itself at once, and a provider wants to see an object at the top.
        del compact["$ref"]
        compact = _rewrite(definitions[name], inlined, closed=True) | compact
    kept = {name: _rewrite(body, inlined, closed=True) for name, body in definitions.items() if name not in inlined}
    if kept:
        compact["$defs"] = kept
    return compact


def _children(schema: Schema) -> list[Schema]:
    found: list[object] = []
    for key, value in schema.items():
        if key in _ONE:
            found.append(value)
        elif key in _LIST:
            found.extend(value)
        elif key in _MAP:
            found.extend(value.values())
    return [cast("Schema", child) for child in found if isinstance(child, dict)]


def _target(schema: Schema) -> str | None:
    reference = schema.get("$ref")
    return reference.removeprefix(_REF) if isinstance(reference, str) and reference.startswith(_REF) else None


def _mentions(schema: Schema) -> set[str]:
    """Return the names of the definitions that a schema refers to itself, not through another definition."""
    names: set[str] = set()
    pending = [schema]
    while pending:
        current = pending.pop()
        if (name := _target(current)) is not None:
            names.add(name)
        pending += _children(current)
    return names


def _recursive(definitions: dict[str, Schema]) -> set[str]:
    edges = {name: _mentions(schema) for name, schema in definitions.items()}
    recursive: set[str] = set()
    for name in edges:
        reached: set[str] = set()
        pending = list(edges[name])
        while pending:
            current = pending.pop()
            if current not in reached:
                reached.add(current)
                pending += edges.get(current, ())
        if name in reached:
            recursive.add(name)
    return recursive


def _size(schema: Schema, inlined: dict[str, Schema], known: dict[str, int]) -> int:
    """Return how many sub-schemas there will be; `known` keeps the count from doubling the work at each level."""
    total = 1
    name = _target(schema)
    if name in inlined:
        if name not in known:
            known[name] = _size(inlined[name], inlined, known)
        total += known[name]
    return total + sum(_size(child, inlined, known) for child in _children(schema))


def _rewrite(schema: Schema, inlined: dict[str, Schema], *, closed: bool) -> Schema:
    result: Schema = {}
    name = _target(schema)
    if name in inlined:
        # What stands beside a reference says more of this place than the definition does, so it comes later.
        result = _rewrite(inlined[name], inlined, closed=closed)
    for key, value in schema.items():
        if key in _NOISE or (key == "$ref" and name in inlined) or (key == "default" and value is None):
            continue
        if key in _ONE:
            result[key] = _inner(value, inlined)
        elif key in _LIST:
            # The parts of an intersection must not each forbid what the others ask for.
            result[key] = [_inner(part, inlined, closed=key != "allOf") for part in value]
        elif key in _MAP:
            result[key] = {name: _inner(part, inlined) for name, part in value.items()}
        else:
            result[key] = value
    if closed and "properties" in result:
        result.setdefault("additionalProperties", False)
    return result


def _inner(value: object, inlined: dict[str, Schema], *, closed: bool = True) -> object:
    # true and false are schemas too
    return _rewrite(cast("Schema", value), inlined, closed=closed) if isinstance(value, dict) else value
