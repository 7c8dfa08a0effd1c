"""Arguments whose JSON schema comes from the signature of a function.

Pydantic is imported with the first schema, so that a program without tools does not pay for it.
"""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.tool.arguments import Arguments
from tinyllm_actors.tool.compact import Schema, compact_schema
from tinyllm_actors.tool.correction import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import TypeAdapter

    from tinyllm_actors.tool.signature import CallSignature, Parameter

__all__ = ["SignatureArguments"]

_MAX_DEFAULT = 1_000
"""Bytes of a default, as JSON, that the model is shown."""


class SignatureArguments(Arguments):
    """One argument for each parameter of a function, as its annotations, defaults and docstring say.

    What describes a parameter is, in this order: `Field(description=…)`, a plain string in `Annotated`, the
    docstring. What the model leaves out takes the function's own default, as it is.

    Args:
        signature: how the function is called.
        descriptions: what the docstring says of each parameter.

    Raises:
        ConfigurationError: a parameter has no annotation, or takes any number of arguments.
    """

    def __init__(self, signature: CallSignature, *, descriptions: Mapping[str, str]) -> None:
        if signature.variadic:
            raise ConfigurationError(
                f"{signature.variadic[0]} of {signature.label} cannot be described to a model; name each parameter"
                " (a decorator must use functools.wraps), or give parameters={…}"
            )
        for parameter in signature.parameters:
            if parameter.annotation is inspect.Parameter.empty:
                raise ConfigurationError(
                    f"parameter {parameter.name!r} of {signature.label} has no annotation, and the model must be told"
                    f" its type; write `{parameter.name}: str`, or what it is"
                )
        self._signature = signature
        self._descriptions = descriptions
        self._injected: tuple[str, ...] = ()
        self._schema: Schema | None = None
        self._adapter: TypeAdapter[dict[str, Any]] | None = None

    @property
    def parameters(self) -> Schema:
        """The JSON schema of the parameters."""
        self._ensure_built()
        return cast("Schema", self._schema)

    @property
    def injected(self) -> tuple[str, ...]:
        """The parameters that are annotated with `ToolContext`."""
        self._ensure_built()
        return self._injected

    def build(self, local_names: Mapping[str, object]) -> None:
        """Make the schema now, while the names of the scope around the function are at hand.

        A name that is not defined yet is no error here; it is looked up again when the schema is needed.

        Raises:
            ConfigurationError: an annotation cannot be described in JSON.
        """
        try:
            self._build(local_names)
        except NameError:
            return

    def _ensure_built(self) -> None:
        if self._schema is None:
            try:
                self._build({})
            except NameError as error:
                raise ConfigurationError(
                    f"the annotations of {self._signature.label} use a name that is not defined ({error}); import it at"
                    " run time rather than under TYPE_CHECKING, and define it in the module or before the function"
                ) from None

    def _build(self, local_names: Mapping[str, object]) -> None:
        from pydantic import ConfigDict, TypeAdapter, with_config
        from typing_extensions import TypedDict  # typing's own cannot hold pydantic fields before 3.12

        fields: dict[str, Any] = {}
        injected: list[str] = []
        for parameter in self._signature.parameters:
            if self._signature.takes_context(parameter, local_names):
                injected.append(parameter.name)
            else:
                hint = self._signature.resolve(parameter, local_names)
                fields[parameter.name] = _field(parameter, hint, self._descriptions.get(parameter.name))
        # A dictionary type rather than a model: any parameter name will do, and what is left out stays out.
        arguments = cast("Any", TypedDict)("Arguments", fields)
        with_config(ConfigDict(extra="forbid", allow_inf_nan=False))(arguments)
        try:
            adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(arguments)
            schema = compact_schema(adapter.json_schema())
        except Exception as error:
            raise self._undescribable(fields, error) from error
        self._adapter, self._injected, self._schema = adapter, tuple(injected), schema

    def _undescribable(self, fields: Mapping[str, Any], error: Exception) -> Exception:
        """Return the error that names the parameter whose type has no JSON schema, or has none yet."""
        from pydantic import TypeAdapter

        place = self._signature.label
        for name, field in fields.items():
            plain = typing.get_args(field)[0] if typing.get_origin(field) is typing.NotRequired else field
            try:
                TypeAdapter(plain).json_schema()
            except Exception as found:  # any failure to make its schema tells that this is the one
                place, error = f"parameter {name!r} of {place}", found
                break
        if isinstance(error, NameError) or getattr(error, "code", None) == "class-not-fully-defined":
            return NameError(f"in the type of {place}")
        why = str(error).partition("\n")[0]
        return ConfigurationError(
            f"{place} cannot be described in JSON: {why}; use a type that pydantic knows,"
            " annotate it with ToolContext if the runtime shall fill it, or give parameters={…}"
        )

    def _read(self, tool: str, text: str, *, strict: bool) -> dict[str, Any]:
        from pydantic import ValidationError

        self._ensure_built()
        adapter, schema = cast("TypeAdapter[dict[str, Any]]", self._adapter), cast("Schema", self._schema)
        try:
            return adapter.validate_json(text, strict=strict or None)
        except ValidationError as error:
            raise refusal(tool, text, error, list(schema.get("properties", {}))) from None


def _field(parameter: Parameter, hint: Any, described: str | None) -> Any:
    """Return the type of one field, with what the signature and the docstring add to the annotation."""
    from pydantic import Field
    from pydantic.fields import FieldInfo

    annotated = typing.get_origin(hint) is typing.Annotated
    base, *metadata = typing.get_args(hint) if annotated else (hint,)
    description = next((text for text in metadata if isinstance(text, str)), described)
    default = parameter.default
    extra: dict[str, Any] = {}
    if isinstance(default, FieldInfo):  # `x: int = Field(3, gt=0)`
        metadata.append(default)
        optional = not default.is_required()
    else:
        optional = default is not inspect.Parameter.empty
        extra = _shown_default(default)
    # Pydantic lets later metadata win, so what the annotation itself says comes last.
    first = Field(description=description, json_schema_extra=extra or None)
    field = cast("Any", typing.Annotated)[base, first, *metadata]
    return cast("Any", typing.NotRequired)[field] if optional else field


def _shown_default(default: object) -> dict[str, Any]:
    from pydantic_core import from_json, to_json

    if default is None or default is inspect.Parameter.empty:
        return {}
    try:
        text = to_json(default)
    except Exception:  # a default that JSON cannot say is not shown; it works all the same
        return {}
    return {"default": from_json(text)} if len(text) <= _MAX_DEFAULT else {}
