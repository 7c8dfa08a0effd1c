"""Arguments that are the fields of one pydantic model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.tool.arguments import Arguments
from tinyllm_actors.tool.compact import Schema, compact_schema
from tinyllm_actors.tool.correction import refusal

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["ModelArguments"]


class ModelArguments(Arguments):
    """The fields of one pydantic model, which the function takes as a whole.

    Args:
        model: the model.
        parameter: the name of the parameter that takes it.
        injected: the parameters that take the `ToolContext`.

    Raises:
        ConfigurationError: the model is no JSON object, or cannot be described in JSON.
    """

    def __init__(self, model: type[BaseModel], parameter: str, *, injected: tuple[str, ...]) -> None:
        try:
            self._schema = compact_schema(model.model_json_schema())
        except Exception as error:  # pydantic, and what the model adds to its schema
            why = str(error).partition("\n")[0]
            raise ConfigurationError(f"model {model.__name__} cannot be described in JSON: {why}") from error
        if self._schema.get("type") != "object":
            raise ConfigurationError(f"model {model.__name__} is no JSON object, as arguments are; name its fields")
        self._schema.pop("description", None)  # it is the tool's
        self._model = model
        self._parameter = parameter
        self._injected = injected

    @property
    def parameters(self) -> Schema:
        """The JSON schema of the model."""
        return self._schema

    @property
    def injected(self) -> tuple[str, ...]:
        """The parameters that are annotated with `ToolContext`."""
        return self._injected

    def _read(self, tool: str, text: str, *, strict: bool) -> dict[str, Any]:
        from pydantic import ValidationError

        try:
            return {self._parameter: self._model.model_validate_json(text, strict=strict or None)}
        except ValidationError as error:
            raise refusal(tool, text, error, list(self._schema.get("properties", {}))) from None
