"""The type that a tiny function answers: its JSON schema for the model, and the way back from the model's text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.llm import ResponseSchema

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

__all__ = ["TinyOutput", "complaint"]

WRAPPED = "value"
"""The key that holds an answer that is no object by itself, as providers want objects."""


class TinyOutput:
    """Checks answers against any type that pydantic knows; text needs no schema and is taken as it is.

    Args:
        name: of the schema, for the provider, which wants letters, digits and at most 64 of them.
        output_type: a model class or any other type; `str` or None for text.

    Raises:
        pydantic.PydanticSchemaGenerationError: pydantic does not know the type.
    """

    def __init__(self, name: str, output_type: Any) -> None:
        self.is_text = output_type in (None, str)
        self.label: str = "text" if self.is_text else getattr(output_type, "__name__", str(output_type))
        self._adapter: TypeAdapter[Any] | None = None
        self._wrapped = False
        self.response_schema: ResponseSchema | None = None
        if self.is_text:
            return
        from pydantic import TypeAdapter  # 60 ms that a program without structured output need not pay

        self._adapter = TypeAdapter(output_type)
        schema = self._adapter.json_schema()
        if schema.get("type") != "object" and "$ref" not in schema:
            self._wrapped = True
            definitions = schema.pop("$defs", None)
            schema = {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED]}
            if definitions is not None:
                schema["$defs"] = definitions
        _close(schema)
        name = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]
        self.response_schema = ResponseSchema(name=name, schema=schema, strict=_is_strict(schema))

    def parse(self, text: str) -> Any:
        """Return the value in an answer.

        Raises:
            pydantic.ValidationError: it is no JSON, or does not fit the type.
        """
        if self._adapter is None:
            return text.strip()
        text = _without_fence(text)
        if not self._wrapped:
            return self._adapter.validate_json(text)
        from pydantic_core import from_json

        try:
            decoded: object = from_json(text)
        except ValueError:
            return self._adapter.validate_json(text)  # which says what is wrong with it
        if isinstance(decoded, dict) and set(cast("dict[str, object]", decoded)) == {WRAPPED}:
            decoded = cast("dict[str, object]", decoded)[WRAPPED]
        return self._adapter.validate_python(decoded)


def complaint(error: ValidationError) -> str:
    """Return what is wrong with an answer, for the model to read."""
    lines = [
        f"- {'.'.join(map(str, entry['loc'])) or 'the answer'}: {entry['msg']}"
        for entry in error.errors(include_url=False, include_context=False, include_input=False)[:20]
    ]
    return "\n".join(lines)


def _without_fence(text: str) -> str:
    """Return the text inside of a Markdown code fence, if the whole answer is one."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") + 1 : -3].strip()
    return text


def _close(schema: Any) -> None:
    """Say of each object with named fields that it has no others, as the strict mode of providers wants it said."""
    if isinstance(schema, dict):
        fields = cast("dict[str, Any]", schema)
        if fields.get("type") == "object" and "properties" in fields:
            fields.setdefault("additionalProperties", False)
        for value in fields.values():
            _close(value)
    elif isinstance(schema, list):
        for value in cast("list[Any]", schema):
            _close(value)


def _is_strict(schema: Any) -> bool:
    """Whether strict mode takes the schema: every object is closed and all of its fields are required."""
    if isinstance(schema, dict):
        fields = cast("dict[str, Any]", schema)
        if fields.get("type") == "object":
            properties: dict[str, Any] = fields.get("properties", {})
            closed = fields.get("additionalProperties") is False
            if not closed or set(fields.get("required", ())) != set(properties):
                return False
        return "default" not in fields and all(_is_strict(value) for value in fields.values())
    if isinstance(schema, list):
        return all(_is_strict(value) for value in cast("list[Any]", schema))
    return True
