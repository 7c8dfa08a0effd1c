"""Validation by any pydantic model or type, compiled once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tinyllm_actors.function.secret_fields import holds_secrets, names_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel, TypeAdapter

__all__ = ["Check", "Validator", "validator_for"]


class Validator:
    """Checks and converts a value.

    With a model class, a dictionary is checked field by field. Fields that the model does not name are kept; to refuse
    them say `model_config = ConfigDict(extra="forbid")` in the model, to drop them `extra="ignore"`. Values of fields
    stay objects: a nested model is not dumped. A dataclass becomes a dictionary of its fields, a root model its root.

    ```python
    >>> from pydantic import BaseModel
    >>> class Question(BaseModel):
    ...     content: str
    >>> Validator(Question)({"content": "hello", "user": "u1"})
    {'content': 'hello', 'user': 'u1'}
    >>> Validator(list[int])(["1", 2])
    [1, 2]

    ```

    Args:
        schema: a pydantic model class, or any type that pydantic understands.
        strict: no conversions, such as from `"1"` to 1.
    """

    __slots__ = ("_adapter", "_aliases", "_keeps_extra", "_model", "_schema", "_secret", "_strict", "_unpack")

    def __init__(self, schema: Any, *, strict: bool | None = None) -> None:
        from pydantic import TypeAdapter  # 60 ms that a program without validators need not pay

        self._strict = strict
        self._schema = schema
        self._secret = holds_secrets(schema)
        self._unpack = _unpacking(schema)
        self._model = cast("type[BaseModel]", schema) if _is_model(schema) else None
        self._adapter: TypeAdapter[Any] | None = None if self._model is not None else TypeAdapter(schema)
        fields = {} if self._model is None else self._model.model_fields
        self._aliases = {name for field in fields.values() for name in names_of(field)}
        self._keeps_extra = self._model is not None and self._model.model_config.get("extra") in {None, "allow"}

    def __call__(self, value: Any) -> Any:
        """Return the validated value: a dictionary for a model, whatever the type says otherwise.

        Raises:
            pydantic.ValidationError: it does not fit. What came for a field of a secret type is masked in it.
        """
        if not self._secret:
            return self._checked(value)
        from pydantic import ValidationError

        try:
            return self._checked(value)
        except ValidationError as error:
            raise without_secrets(error, self._schema) from None

    def _checked(self, value: Any) -> Any:
        if self._model is None:
            assert self._adapter is not None
            checked = self._adapter.validate_python(value, strict=self._strict)
            return checked if self._unpack is None else self._unpack(checked)
        # What `model_validate` and `dict(model)` do, without going through Python: 1 and 2 µs.
        model: BaseModel = self._model.__pydantic_validator__.validate_python(value, strict=self._strict)
        fields: dict[str, Any] = {**model.__dict__, **(model.__pydantic_extra__ or {})}
        if self._keeps_extra and (type(value) is dict or isinstance(value, Mapping)):
            given = cast("Mapping[str, Any]", value)
            extra = {key: given[key] for key in given if key not in fields and key not in self._aliases}
            if extra:
                return {**fields, **extra}
        return fields


@lru_cache(maxsize=1024)
def _compiled(schema: Any, strict: bool | None) -> Validator:
    return Validator(schema, strict=strict)


Check: TypeAlias = "Callable[[Any], Any]"


def validator_for(schema: Any, *, strict: bool | None = None) -> Check | None:
    """Return what validates by `schema`, the same for the same schema; None for None.

    Args:
        schema: a pydantic model class, a type that pydantic understands, or a function that returns the value to use
            or raises `ValueError`.
        strict: no conversions.
    """
    if schema is None or isinstance(schema, Validator | FunctionType | MethodType):
        return schema
    try:
        return _compiled(schema, strict)
    except TypeError:  # an annotation that cannot be hashed
        return Validator(schema, strict=strict)


def _is_model(schema: Any) -> bool:
    from pydantic import BaseModel, RootModel

    return isinstance(schema, type) and issubclass(schema, BaseModel) and not issubclass(schema, RootModel)


def _unpacking(schema: Any) -> Check | None:
    """Return what makes of a valid object what a hook can take, where that is something else."""
    from pydantic import RootModel

    if dataclasses.is_dataclass(schema):
        names = [field.name for field in dataclasses.fields(schema)]
        return lambda value: {name: getattr(value, name) for name in names}
    if isinstance(schema, type) and issubclass(schema, RootModel):
        return lambda value: value.root
    return None
