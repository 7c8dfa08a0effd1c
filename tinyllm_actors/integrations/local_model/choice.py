"""Let a model that was not trained for tools choose between answering and calling one of them. Pure: no I/O.

The instruction tells the tools, and a JSON schema, which llama.cpp turns into a grammar, leaves no other way out than
an answer or a call with arguments that fit. `reply` reads what comes of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.llm.model import ResponseSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.llm.model import ToolSchema

__all__ = ["MAX_ITEMS", "MAX_STRING", "choice_schema", "instruction", "offered"]

MAX_STRING = 400
"""Characters of a string argument whose schema does not bound it: small models may not find its end."""

MAX_ITEMS = 16
"""Items of an array argument whose schema does not bound it."""

_NESTED = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")


def offered(tools: Sequence[ToolSchema], tool_choice: str | None) -> tuple[list[ToolSchema], bool]:
    """Return the tools that the model may call now, and whether it may answer instead.

    Raises:
        ConfigurationError: `tool_choice` is the name of no tool.
    """
    if tool_choice == "none" or not tools:
        return [], True
    if tool_choice in (None, "auto", "required"):
        return list(tools), tool_choice != "required"
    named = [tool for tool in tools if tool.name == tool_choice]
    if not named:
        known = ", ".join(repr(tool.name) for tool in tools)
        raise ConfigurationError(
            f"tool_choice must be 'auto', 'none', 'required' or the name of a tool ({known}), not {tool_choice!r}"
        )
    return named, False


def instruction(tools: Sequence[ToolSchema], answer: ResponseSchema | None, *, may_answer: bool) -> str:
    """Return what the model is told of the tools, to be put below the system message."""
    lines = [
        json.dumps(
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}, ensure_ascii=False
        )
        for tool in tools
    ]
    how = 'Reply with JSON. To use a tool: {"name": tool, "arguments": {...}}.'
    if may_answer:
        how += ' To answer: {"answer": "..."}.'
    if may_answer and answer is not None:
        how += f" The answer fits this schema: {_json(answer.schema)}"
    return "\n\nYou have these tools:\n" + "\n".join(lines) + "\n\n" + how


def choice_schema(tools: Sequence[ToolSchema], answer: ResponseSchema | None, *, may_answer: bool) -> ResponseSchema:
    """Return the schema of a reply: a call of one of the tools or, if `may_answer`, an answer.

    Args:
        tools: those that may be called.
        answer: the schema of the answer; None for text.
        may_answer: whether an answer is one of the alternatives.
    """
    shared: dict[str, Any] = {}
    variants: list[dict[str, Any]] = [
        _exactly(name={"const": tool.name}, arguments=_prepared(tool.parameters, tool.name, shared)) for tool in tools
    ]
    if may_answer:
        # Text is bounded by `max_tokens`: as a part of the grammar a large bound is slow.
        variants.append(
            _exactly(answer={"type": "string"} if answer is None else _prepared(answer.schema, "answer", shared))
        )
    schema: dict[str, Any] = {"anyOf": variants}
    if shared:
        schema["$defs"] = shared
    return ResponseSchema("reply", schema)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _exactly(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _prepared(schema: dict[str, Any], owner: str, shared: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with bounds, its definitions moved to `shared`, where its references will look for them."""
    prepared = _bounded(schema, owner)
    for key in ("$defs", "definitions"):
        for name, definition in prepared.pop(key, {}).items():
            shared[f"{owner}.{name}"] = definition
    return prepared


def _bounded(schema: Any, owner: str) -> Any:
    if not isinstance(schema, dict):
        return schema
    old = cast("dict[str, Any]", schema)
    new: dict[str, Any] = {}
    for key, value in old.items():
        if key in _NESTED:
            new[key] = {name: _bounded(inner, owner) for name, inner in value.items()}
        elif key in _LISTS:
            new[key] = [_bounded(inner, owner) for inner in value]
        elif key in ("items", "additionalProperties"):
            new[key] = _bounded(value, owner)
        elif key == "$ref":
            new[key] = f"#/$defs/{owner}.{str(value).rpartition('/')[2]}"
        elif key == "pattern" and not (str(value).startswith("^") and str(value).endswith("$")):
            continue  # llama.cpp refuses a pattern that is not anchored
        else:
            new[key] = value
    kinds = new.get("type")
    if (kinds == "string" or kinds == ["string", "null"]) and not new.keys() & {"enum", "const", "pattern", "format"}:
        new.setdefault("maxLength", max(MAX_STRING, int(new.get("minLength", 0))))
    if kinds == "array" and "prefixItems" not in new:
        new.setdefault("maxItems", max(MAX_ITEMS, int(new.get("minItems", 0))))
    return new
