"""Arguments whose JSON schema was written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tinyllm_actors.errors import ConfigurationError, InvalidArguments
from tinyllm_actors.tool.arguments import Arguments
from tinyllm_actors.tool.correction import not_json, refusal, show_value

if TYPE_CHECKING:
    from tinyllm_actors.tool.compact import Schema
    from tinyllm_actors.tool.signature import CallSignature

__all__ = ["ExplicitArguments", "Validator"]

Validator: TypeAlias = Callable[[dict[str, Any]], Mapping[str, Any] | None]
"""Takes the arguments as they were read; returns others to use instead, or None; raises `ValueError` to refuse them."""


class ExplicitArguments(Arguments):
    """A JSON schema that is shown to the model as it is.

    A call is not held against the schema: it must be a JSON object, pass `validator`, and have the names that the
    function takes.

    Args:
        parameters: the schema; copied.
        signature: how the function is called.
        validator: checks the arguments, or replaces them.

    Raises:
        ConfigurationError: `parameters` is no JSON schema of an object.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        *,
        signature: CallSignature,
        validator: Validator | None,
    ) -> None:
        self._schema = _checked(parameters)
        self._signature = signature
        self._validator = validator
        self._injected = tuple(it.name for it in signature.parameters if signature.takes_context(it))

    @property
    def parameters(self) -> Schema:
        """The JSON schema, as it was given."""
        return self._schema

    @property
    def injected(self) -> tuple[str, ...]:
        """The parameters that are annotated with `ToolContext`."""
        return self._injected

    def _read(self, tool: str, text: str, *, strict: bool) -> dict[str, Any]:
        from pydantic_core import from_json

        try:
            value: object = from_json(text, allow_inf_nan=False)
        except ValueError as error:
            raise not_json(tool, text, str(error)) from None
        if not isinstance(value, dict):
            raise InvalidArguments(tool, f"the arguments of {tool!r} must be one JSON object; got {show_value(value)}")
        arguments = self._validated(tool, text, cast("dict[str, Any]", value))
        self._check_names(tool, arguments)
        return arguments

    def _validated(self, tool: str, text: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if self._validator is None:
            return arguments
        from pydantic import ValidationError

        try:
            replaced = self._validator(arguments)
        except ValidationError as error:
            raise refusal(tool, text, error, list(self._schema.get("properties", {}))) from None
        except ValueError as error:
            raise InvalidArguments(tool, f"the arguments of {tool!r} do not fit: {error}") from None
        return arguments if replaced is None else dict(replaced)

    def _check_names(self, tool: str, arguments: dict[str, Any]) -> None:
        """Refuse what the function would refuse, so that the model hears of it and no call fails for it."""
        taken = [name for name in self._injected if name in arguments]
        why = f"there is no argument {taken[0]!r}" if taken else self._signature.mismatch([*arguments, *self._injected])
        if why is not None:
            raise InvalidArguments(tool, f"the arguments of {tool!r} do not fit: {why}")


def _checked(parameters: Mapping[str, Any]) -> Schema:
    try:
        schema: Schema = json.loads(json.dumps(dict(parameters), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"parameters={show_value(parameters)} is no JSON schema: {error}") from None
    if schema.get("type") != "object" or not isinstance(schema.get("properties", {}), dict):
        raise ConfigurationError(
            f"parameters={show_value(parameters)} must be a JSON schema of type 'object' with named 'properties'"
        )
    return schema
