"""Which fields of a schema hold secrets, by their types, so that an error does not show what came for them."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from tinyllm_actors.kernel.redaction import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import ValidationError

__all__ = ["holds_secrets", "names_of", "without_secrets"]


def holds_secrets(schema: Any) -> bool:
    """Whether a secret type of pydantic (`SecretStr`, `SecretBytes`, `Secret[…]`) is anywhere in `schema`."""
    seen: set[Any] = set()
    waiting = [schema]
    while waiting:
        for part in _parts(waiting.pop()):
            if _is_secret(part):
                return True
            if isinstance(part, type) and part not in seen:
                seen.add(part)
                waiting += _fields(part).values()
    return False


def without_secrets(error: ValidationError, schema: Any) -> ValidationError:
    """Return the error with what came for secret fields masked."""
    from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

    lines: list[InitErrorDetails] = []
    for entry in error.errors(include_url=False):
        custom = PydanticCustomError("value_error", "{message}", {"message": entry["msg"]})
        shown = MASK if _is_secret_place(schema, entry["loc"]) else entry["input"]
        lines.append({"type": custom, "loc": entry["loc"], "input": shown})
    return ValidationError.from_exception_data(error.title, lines)


def _is_secret_place(schema: Any, loc: Sequence[int | str]) -> bool:
    """Whether the way from the root of `schema` to `loc` leads into a secret type."""
    here = [schema]
    for place in loc:
        parts = [part for one in here for part in _parts(one)]
        if any(map(_is_secret, parts)):
            return True
        below = [fields[str(place)] for fields in map(_fields, parts) if place in fields]
        here = below or here  # an index, a key, or the name of a member of a union: the types stay those of the whole
    return any(_is_secret(part) for one in here for part in _parts(one))


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield a type and, of `list[…]`, a union and the like, all that it is made of."""
    yield annotation
    for argument in typing.get_args(annotation):
        yield from _parts(argument)


def _is_secret(part: Any) -> bool:
    from pydantic import Secret, SecretBytes, SecretStr

    kind = typing.get_origin(part) or part
    return isinstance(kind, type) and issubclass(kind, SecretStr | SecretBytes | Secret)


def _fields(part: Any) -> dict[str, Any]:
    """Return the types of a model's, a dataclass's or a `TypedDict`'s fields, by each name that an error may use."""
    models: Any = getattr(part, "model_fields", None)
    if models is None:
        if isinstance(part, type) and "__annotations__" in vars(part):
            return dict(typing.get_type_hints(part, include_extras=True))
        return {}
    found: dict[str, Any] = {}
    for name, field in models.items():
        for key in (name, *names_of(field)):
            found[key] = field.annotation
    return found


def names_of(field: Any) -> list[str]:
    """Return the keys of the input from which a model's field is taken, where that is not its own name."""
    found: list[str] = []
    waiting = [field.alias, field.validation_alias]
    while waiting:
        alias = waiting.pop()
        if isinstance(alias, str):
            found.append(alias)
        elif alias is not None:
            waiting += getattr(alias, "choices", None) or alias.path[:1]
    return found
