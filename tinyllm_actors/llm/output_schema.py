"""Adapt a JSON schema to what providers take. Pure.

OpenAI's strict mode, which most others copy, wants an object at the root, every object closed, every property
required, definitions as plain references, and knows few of JSON schema's keywords. What it does not know is told in
the description where it only narrows (`at least 3 characters`), since pydantic checks it anyway; a schema whose
meaning would change (a dictionary with free keys, a tuple, anything at all) is sent without strict mode.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, cast

import msgspec

__all__ = ["WRAPPED", "AdaptedSchema", "adapt_schema"]

WRAPPED = "value"
"""The key that holds an answer that is no object by itself, as providers want objects."""

MAX_PROPERTIES = 5_000
MAX_DEPTH = 10
MAX_CHOICES = 1_000

_KEPT = frozenset(
    {"$ref", "additionalProperties", "anyOf", "const", "description", "enum", "exclusiveMaximum", "exclusiveMinimum"}
    | {"format", "items", "maxItems", "maximum", "minItems", "minimum", "multipleOf", "pattern", "properties"}
    | {"required", "type"}
)
_SILENT = frozenset(
    {"$anchor", "$comment", "$id", "$schema", "contentMediaType", "deprecated", "discriminator", "readOnly"}
    | {"title", "writeOnly"}
)
# What narrows a value and can be said in words.
_TOLD = {
    "default": "default: {}",
    "examples": "for example {}",
    "format": "format: {}",
    "maxLength": "at most {} characters",
    "minLength": "at least {} characters",
    "pattern": "matches {}",
    "uniqueItems": "without repetitions",
}
_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})


class AdaptedSchema(NamedTuple):
    """A schema for a provider.

    Attributes:
        schema: of type `object`.
        strict: the provider can be asked to hold the model to it.
        wrapped: the value is below the key `"value"`.
    """

    schema: dict[str, Any]
    strict: bool
    wrapped: bool


class _Loose(Exception):
    """Strict mode cannot say what the schema says."""


def adapt_schema(schema: dict[str, Any]) -> AdaptedSchema:
    """Return `schema` as providers take it; what is no object at its root is wrapped into one.

    ```python
    >>> adapt_schema({"type": "array", "items": {"type": "string", "maxLength": 9}}).schema["properties"]
    {'value': {'type': 'array', 'items': {'type': 'string', 'description': 'at most 9 characters'}}}

    ```

    Args:
        schema: as pydantic makes it, with its definitions below `$defs`. It is not changed.
    """
    root = dict(schema)
    definitions: dict[str, Any] = root.pop("$defs", {})
    seen: set[str] = set()
    while set(root) - _SILENT == {"$ref"} and (name := _name_of(root["$ref"])) in definitions and name not in seen:
        seen.add(name)
        root = dict(definitions[name])
    wrapped = root.get("type") != "object"
    if wrapped:
        root = {"type": "object", "properties": {WRAPPED: root}, "required": [WRAPPED]}
    for rewrite, strict in ((_strict, True), (_closed, False)):
        try:
            adapted = rewrite(root)
            adapted_definitions = {name: rewrite(value) for name, value in definitions.items()}
            used = _used(adapted, adapted_definitions)
            if strict:
                _check_size([adapted, *(adapted_definitions[name] for name in used)])
        except _Loose:
            continue
        if used:
            adapted["$defs"] = {name: adapted_definitions[name] for name in definitions if name in used}
        return AdaptedSchema(adapted, strict, wrapped)
    raise AssertionError("unreachable")


def _name_of(reference: Any) -> str:
    return str(reference).removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")


# --- strict ---------------------------------------------------------------------------------------


def _strict(node: Any) -> dict[str, Any]:
    """Return `node` for strict mode.

    Raises:
        _Loose: it cannot say that.
    """
    if not isinstance(node, dict) or not node:
        raise _Loose
    old = cast("dict[str, Any]", node)
    parts = old.get("allOf")
    if parts is not None:
        if len(parts) != 1 or old.keys() & parts[0].keys():
            raise _Loose
        old = {key: value for key, value in old.items() if key != "allOf"} | parts[0]
    if "oneOf" in old:
        old = {("anyOf" if key == "oneOf" else key): value for key, value in old.items()}
    new: dict[str, Any] = {}
    told: list[str] = []
    for key, value in old.items():
        if key in _TOLD and not _is_known(key, value):
            told.append(_TOLD[key].format(msgspec.json.encode(value).decode()))
        elif key in _KEPT:
            new[key] = value
        elif key not in _SILENT:
            raise _Loose
    if told:
        new["description"] = "; ".join([*([new["description"]] if new.get("description") else []), *told])
    return _deepened(new)


def _is_known(key: str, value: Any) -> bool:
    """Whether strict mode takes the keyword with this value."""
    if key == "format":
        return value in _FORMATS
    return key == "pattern" and "(?" not in str(value)  # their engine looks neither ahead nor behind


def _deepened(new: dict[str, Any]) -> dict[str, Any]:
    """Return a node whose keywords are known, with what is below it rewritten."""
    if "$ref" in new and len(new) > 1:  # a reference may have no company
        if set(new) != {"$ref", "description"}:
            raise _Loose
        return {"anyOf": [{"$ref": new["$ref"]}], "description": new["description"]}
    if "anyOf" in new:
        new["anyOf"] = [_strict(value) for value in new["anyOf"]]
    kinds = new.get("type")
    if kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
        if new.get("additionalProperties", False) is not False:
            raise _Loose
        properties: dict[str, Any] = new.get("properties", {})
        new["properties"] = {name: _strict(value) for name, value in properties.items()}
        new["required"] = list(properties)
        new["additionalProperties"] = False
    if kinds == "array" or (isinstance(kinds, list) and "array" in kinds):
        new["items"] = _strict(new.get("items"))
    if not new.keys() & {"type", "anyOf", "$ref", "enum", "const"}:
        raise _Loose  # anything at all
    return new


def _check_size(nodes: list[dict[str, Any]]) -> None:
    properties = choices = 0
    stack = [(node, 1) for node in nodes]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise _Loose
        below: dict[str, Any] = node.get("properties", {})
        properties += len(below)
        choices += len(node.get("enum", ()))
        if properties > MAX_PROPERTIES or choices > MAX_CHOICES:
            raise _Loose
        stack += [(child, depth + 1) for child in below.values()]
        stack += [(child, depth) for child in node.get("anyOf", ())]
        if "items" in node:
            stack.append((node["items"], depth + 1))


# --- without strict mode ----------------------------------------------------------------------------


def _closed(node: Any) -> dict[str, Any]:
    """Return `node` with each object that has named fields closed, and otherwise as it is."""
    return cast("dict[str, Any]", _close(node, schema=True)) if isinstance(node, dict) else {}


def _close(node: Any, *, schema: bool) -> Any:
    """Rewrite a node; `schema` is False for a dictionary from names to schemas."""
    if isinstance(node, list):
        return [_close(value, schema=True) for value in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    old = cast("dict[str, Any]", node)
    if not schema:
        return {name: _close(value, schema=True) for name, value in old.items()}
    new: dict[str, Any] = {}
    for key, value in old.items():
        if key in ("properties", "patternProperties", "dependentSchemas"):
            new[key] = _close(value, schema=False)
        elif key in ("const", "default", "enum", "examples", "required"):
            new[key] = value
        elif not (key == "title" and isinstance(value, str)):
            new[key] = _close(value, schema=True)
    if new.get("type") == "object" and "properties" in new:
        new.setdefault("additionalProperties", False)
    return new


# --- definitions ------------------------------------------------------------------------------------

_REFERENCE = re.compile(r"^#/\$defs/")


def _used(root: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    """Return the names of the definitions that the root needs."""
    used: set[str] = set()
    stack: list[Any] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += cast("list[Any]", node)
        elif isinstance(node, dict):
            fields = cast("dict[str, Any]", node)
            reference = fields.get("$ref")
            if isinstance(reference, str) and _REFERENCE.match(reference):
                name = _name_of(reference)
                if name in definitions and name not in used:
                    used.add(name)
                    stack.append(definitions[name])
            stack += fields.values()
    return used
