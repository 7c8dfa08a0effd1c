"""Any object as plain data that can be written down: small enough, and without secrets."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

from tinyllm_actors.kernel.redaction import MASK, is_secret_name, redact

__all__ = ["PLAIN_CHARS", "to_plain"]

PLAIN_CHARS: Final = 20_000
"""Characters of one text that are kept."""

MAX_DEPTH: Final = 12
MAX_ITEMS: Final = 2_000
MAX_INT: Final = 2**63


def to_plain(value: Any, *, max_chars: int = PLAIN_CHARS, max_items: int = MAX_ITEMS) -> Any:
    """Return `value` as dictionaries, lists, texts and numbers, with secrets masked and what is too much left out.

    It never raises, whatever the object does, and never calls code of the object but `repr` and properties.

    ```python
    >>> import dataclasses
    >>> @dataclasses.dataclass
    ... class Login:
    ...     user: str
    ...     password: str
    >>> to_plain({"login": Login("ann", "hunter2"), "headers": [("X-Api-Key", "abc")], "n": (1, 2)})
    {'login': {'user': 'ann', 'password': '***'}, 'headers': [['X-Api-Key', '***']], 'n': [1, 2]}

    ```

    Args:
        value: anything.
        max_chars: of one text; longer ones are cut.
        max_items: entries of all lists and dictionaries together.
    """
    return _Plain(max_chars, max_items).of(value, MAX_DEPTH)


class _Plain:
    def __init__(self, max_chars: int, max_items: int) -> None:
        self._max_chars = max_chars
        self._left = max_items

    def of(self, value: Any, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        try:
            return self._of(value, depth)
        except Exception as error:  # a property that raises, a list that changes while it is read
            return f"<{type(value).__name__}, which raises {type(error).__name__}>"

    def _of(self, value: Any, depth: int) -> Any:
        kind = cast("type[Any]", type(value))
        if kind is str:
            return self._text(value)
        if kind is int:
            return value if -MAX_INT <= value < MAX_INT else self._text(str(value))
        if kind is float:
            return value if math.isfinite(value) else str(value)
        if isinstance(value, enum.Enum):
            return self.of(value.value, depth)
        if isinstance(value, str):
            return self._text(str(value))
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(cast('bytes', value))} bytes>"
        if depth <= 0 or self._left <= 0:
            return "…"
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[Any, Any]", value), depth)
        if isinstance(value, Sequence | AbstractSet):
            return self._list(cast("Sequence[Any]", value), depth)
        return self._object(value, depth)

    def _object(self, value: Any, depth: int) -> Any:
        if hasattr(value, "get_secret_value"):
            return MASK
        if isinstance(value, BaseException):
            return {"type": type(value).__name__, "message": self._text(str(value))}
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        if isinstance(value, type) or callable(value):
            return f"<{getattr(value, '__qualname__', type(value).__name__)}>"
        kind = cast("type[Any]", type(value))
        names: Any = getattr(kind, "__struct_fields__", None) or getattr(kind, "__pydantic_fields__", None)
        if names is None and dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value)]
        if names is not None:
            config: Any = getattr(kind, "__struct_config__", None)
            fields: dict[str, Any] = {}
            if config is not None and config.tag is not None:
                fields[config.tag_field] = config.tag
            fields.update({name: getattr(value, name) for name in names})
            fields.update(getattr(value, "__pydantic_extra__", None) or {})
            return self._mapping(fields, depth)
        return self._text(repr(value))

    def _mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        hidden = isinstance(name := values.get("name", values.get("key")), str) and is_secret_name(name)
        for key, value in list(values.items()):
            self._left -= 1
            if self._left < 0:
                plain["…"] = f"{len(values) - len(plain)} more"
                break
            label = key if type(key) is str else str(key)
            if value is not None and (is_secret_name(label) or (hidden and label == "value")):
                plain[redact(label)] = MASK
            else:
                plain[redact(label)] = self.of(value, depth - 1)
        return plain

    def _list(self, values: Sequence[Any] | AbstractSet[Any], depth: int) -> list[Any]:
        entries: list[Any] = list(values)
        if len(entries) == 2 and isinstance(entries[0], str) and is_secret_name(entries[0]):
            return [redact(entries[0]), MASK]  # a header as a pair
        plain: list[Any] = []
        for entry in entries:
            self._left -= 1
            if self._left < 0:
                plain.append(f"… {len(entries) - len(plain)} more")
                break
            plain.append(self.of(entry, depth - 1))
        return plain

    def _text(self, text: str) -> str:
        if len(text) > self._max_chars:
            # A secret that lies across the cut is found before it is cut.
            text = redact(text[: self._max_chars + 4_000])
            return f"{text[: self._max_chars]}… ({len(text)} characters and more)"
        return redact(text)
