"""Pydantic models as text for a model to read."""

from __future__ import annotations

import enum
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, cast, get_args, get_origin

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

__all__ = ["describe_model", "model_to_text"]

MAX_DEPTH: Final = 8
"""How deep models and lists inside of one another are shown; what is deeper is an ellipsis."""


def model_to_text(model: BaseModel, *, with_descriptions: bool = True) -> str:
    """Return a model's values as text, a field a line, what is nested indented.

    ```python
    >>> import enum
    >>> from pydantic import BaseModel, Field
    >>> from tinyllm_actors.prompting import model_to_text
    >>> class Size(enum.Enum):
    ...     SMALL = "small"
    >>> class Item(BaseModel):
    ...     name: str = Field(description="what it is")
    ...     size: Size = Size.SMALL
    >>> class Order(BaseModel):
    ...     items: list[Item]
    ...     note: str | None = None
    >>> print(model_to_text(Order(items=[Item(name="tea")])))
    items:
      - name (what it is): tea
        size: small
    note: none

    ```

    Args:
        model: an instance.
        with_descriptions: show what fields are described as.
    """
    return "\n".join(_value_lines(model, MAX_DEPTH, with_descriptions))


def describe_model(model: type[BaseModel]) -> str:
    """Return what a model's fields are: their names, types, descriptions, choices, and which may be left out.

    ```python
    >>> from typing import Literal
    >>> from pydantic import BaseModel, Field
    >>> from tinyllm_actors.prompting import describe_model
    >>> class Weather(BaseModel):
    ...     city: str = Field(description="its English name")
    ...     unit: Literal["C", "F"] = "C"
    >>> print(describe_model(Weather))
    city (text): its English name
    unit ("C" or "F", "C" if left out)

    ```

    Raises:
        ConfigurationError: `model` is no pydantic model.
    """
    if not (isinstance(model, type) and hasattr(model, "model_fields")):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"describe_model takes a pydantic model, got {model!r}")
    return "\n".join(_field_lines(model, "", ()))


def _value_lines(value: Any, depth: int, described: bool) -> list[str]:
    """Return a value as lines; one line for what has no parts."""
    if depth == 0:
        return ["…"]
    fields = _fields(value)
    if fields is not None:
        named = {name: getattr(value, name) for name in fields}
        notes = {name: info.description for name, info in fields.items() if described}
        return _named_lines(named, notes, depth, described) or ["(nothing)"]
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        return _named_lines({str(key): item for key, item in mapping.items()}, {}, depth, described) or ["(nothing)"]
    if isinstance(value, list | tuple | set | frozenset):
        lines: list[str] = []
        for item in cast("list[Any]", value):
            first, *rest = _value_lines(item, depth - 1, described)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        return lines or ["(none)"]
    return _plain(value).splitlines() or [""]


def _named_lines(values: Mapping[str, Any], notes: Mapping[str, str | None], depth: int, described: bool) -> list[str]:
    lines: list[str] = []
    for name, value in values.items():
        label = f"{name} ({notes[name]})" if notes.get(name) else name
        inner = _value_lines(value, depth - 1, described)
        if len(inner) == 1 and not _has_parts(value):
            lines.append(f"{label}: {inner[0]}")
        else:
            lines += [f"{label}:", *(f"  {line}" for line in inner)]
    return lines


def _fields(value: object) -> Mapping[str, FieldInfo] | None:
    """Return the fields of a model; None for everything else."""
    return getattr(type(value), "model_fields", None)


def _has_parts(value: Any) -> bool:
    if _fields(value) is not None:
        return True
    return isinstance(value, Mapping | list | tuple | set | frozenset) and bool(cast("list[Any]", value))


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, enum.Enum):
        return str(value.value)
    return str(value)


def _field_lines(model: type[BaseModel], indent: str, outer: tuple[type, ...]) -> list[str]:
    lines: list[str] = []
    for name, info in model.model_fields.items():
        kind = _kind(info.annotation)
        if not info.is_required():
            default: Any = None if info.default_factory is not None else info.default
            shown = isinstance(default, str | int | float | enum.Enum)
            kind += f", {_quoted(default)} if left out" if shown else ", may be left out"
        lines.append(f"{indent}{name} ({kind})" + (f": {info.description}" if info.description else ""))
        for inner in _models_in(info.annotation):
            if inner not in (*outer, model) and len(outer) < MAX_DEPTH:
                lines += _field_lines(inner, indent + "  ", (*outer, model))
    return lines


_NAMES: Final[dict[Any, str]] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "yes or no",
    type(None): "nothing",
    Any: "anything",
}


def _kind(annotation: Any) -> str:
    """Return what a type is called."""
    if annotation in _NAMES:
        return _NAMES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return " or ".join(map(_quoted, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(map(_kind, arguments))
    if origin in (list, set, frozenset, tuple) and arguments:
        return f"list of {_kind(arguments[0])}"
    if origin is not None and issubclass(origin, Mapping) and len(arguments) == 2:
        return f"map from {_kind(arguments[0])} to {_kind(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " or ".join(_quoted(member.value) for member in annotation)
    return str(getattr(cast("object", annotation), "__name__", cast("object", annotation)))


def _quoted(value: Any) -> str:
    value = value.value if isinstance(value, enum.Enum) else value
    return f'"{value}"' if isinstance(value, str) else _plain(value)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        return [cast("type[BaseModel]", annotation)]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
