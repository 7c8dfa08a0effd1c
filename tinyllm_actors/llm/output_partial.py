"""What can be said of an answer while it is still being written. Pure.

Measured on an incomplete answer of 10 KB, 110 objects of a list: pydantic's own parser takes 40 µs and the whole of
`PartialReader.read` 110 µs; `json-repair`, which is written in Python, 3,400 µs. So that one mends what is complete and
wrong, and pydantic reads what is right and incomplete. Its `experimental_allow_partial` (90 µs) knows no models, and
takes a number that may go on for a whole one.
"""

from __future__ import annotations

import copy
import types
from typing import TYPE_CHECKING, Annotated, Any, Union, cast, get_args, get_origin

from tinyllm_actors.llm.output_text import opening

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

__all__ = ["PartialReader"]

MAX_ERRORS = 100
"""With more of them a growing answer is no answer."""
_ROUNDS = 8
"""How often what does not fit yet is left out, and the rest looked at again."""


class PartialReader:
    """Read a JSON text that is still growing as far as it fits a type.

    A model class becomes a subclass of it whose fields may all be missing (they are None then), so that a partial
    answer is an instance of the type that was asked for; lists and dictionaries are as long as they are so far. What
    does not fit yet, such as a number whose last digit may not have come or the beginning of a literal, is left out.

    Args:
        output_type: any type that pydantic knows.
    """

    def __init__(self, output_type: Any) -> None:
        from pydantic import TypeAdapter

        self._adapter: TypeAdapter[Any] = TypeAdapter(partial_type(output_type, {}))

    def read(self, text: str, *, below: str | None = None) -> Any:
        """Return the value so far, or None while there is nothing.

        Args:
            text: what has come.
            below: the key of an object in which the value is wrapped.
        """
        from pydantic import ValidationError

        data = read_partial(opening(text))
        if below is not None and isinstance(data, dict):
            data = cast("dict[str, object]", data).get(below)
        if data is None:
            return None
        for _ in range(_ROUNDS):
            try:
                return self._adapter.validate_python(data)
            except ValidationError as error:
                if error.error_count() > MAX_ERRORS or not _without(data, error):
                    return None
            except Exception:  # a validator of the type that expects a whole value
                return None
        return None


def read_partial(text: str) -> Any:
    """Return what a growing JSON text holds so far, or None; strings are cut where they are, numbers left out."""
    from pydantic_core import from_json

    # A number may go on, and nothing says that it does not until what follows it has come.
    text = text.rstrip("0123456789")
    if not text:
        return None
    try:
        return from_json(text, allow_partial="trailing-strings", allow_inf_nan=False)
    except TypeError:  # half of a surrogate pair
        return None
    except ValueError:
        pass
    try:  # something follows a whole value: the closing fence
        import json

        return json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None


def _without(data: Any, error: ValidationError) -> bool:
    """Take out of `data` what does not fit; tell whether there was something to take."""
    # The last first, so that the places of those before stay right.
    for entry in sorted(error.errors(include_url=False, include_input=False), key=lambda e: _order(e["loc"]))[::-1]:
        node: Any = data
        parent: Any = None
        key: Any = None
        for part in entry["loc"]:
            if type(node) not in (dict, list):
                break
            try:
                below = node[part]
            except (KeyError, IndexError, TypeError):
                continue  # the name of a member of a union, which is no place in the data
            parent, key, node = node, part, below
        if parent is None:
            return False
        if type(parent) is list:
            del parent[key:]  # what comes after it would move to its place
        else:
            del parent[key]
    return True


def _order(loc: tuple[int | str, ...]) -> tuple[tuple[bool, int, str], ...]:
    return tuple((isinstance(part, str), part if isinstance(part, int) else 0, str(part)) for part in loc)


def partial_type(kind: Any, known: dict[Any, Any]) -> Any:
    """Return a type that takes a part of what `kind` takes.

    Args:
        kind: a type.
        known: the models that are being rewritten; what one holds of its own kind has to be whole.
    """
    if _has_fields(kind):
        return _partial_model(kind, known)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return Annotated[(partial_type(arguments[0], known), *arguments[1:])]
    if origin is list:
        return list[partial_type(arguments[0], known)]
    if origin is dict:
        return dict[arguments[0], partial_type(arguments[1], known)]
    if origin in (Union, types.UnionType):
        # Of several models a beginning may fit the wrong one, so each has to be whole; `X | None` is no choice.
        real = [argument for argument in arguments if argument is not type(None)]
        return partial_type(real[0], known) | None if len(real) == 1 else kind
    return kind


def _has_fields(kind: Any) -> bool:
    from pydantic import BaseModel

    return isinstance(kind, type) and issubclass(kind, BaseModel) and not kind.__pydantic_root_model__


def _partial_model(model: Any, known: dict[Any, Any]) -> Any:
    from pydantic import create_model, model_validator

    if model in known:
        return known[model]
    known[model] = model
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        missing = copy.copy(field)
        missing.default, missing.default_factory = None, None
        fields[name] = (partial_type(field.annotation, known) | None, missing)
    # What holds between the fields holds when all have come.
    silenced: dict[str, Any] = {
        name: model_validator(mode="after")(_as_it_is)
        for name, validator in model.__pydantic_decorators__.model_validators.items()
        if validator.info.mode == "after"
    }
    known[model] = create_model(
        model.__name__, __base__=model, __module__=model.__module__, __validators__=silenced, **fields
    )
    return known[model]


def _as_it_is(self: Any) -> Any:
    return self
