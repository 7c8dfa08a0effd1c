"""The key under which the answer to some arguments is kept."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["default_key"]


def default_key(**arguments: Any) -> str:
    """Return a digest of the arguments: the same for equal ones, whatever the order of keys.

    Arguments may be what JSON knows, dates, enums, dataclasses, msgspec structs and pydantic models, and lists,
    sets and mappings of those.

    ```python
    >>> default_key(a=1, b={"x": 1, "y": 2}) == default_key(b={"y": 2, "x": 1}, a=1)
    True
    >>> default_key(a=1) == default_key(a="1")
    False

    ```

    Raises:
        TypeError: an argument is of another type.
    """
    encoded = msgspec.json.encode(arguments, order="deterministic", enc_hook=_plain)
    return hashlib.sha256(encoded).hexdigest()


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(
            f"cannot make a cache key of a {type(value).__name__}; pass key=…, a function that makes a string of the"
            " arguments"
        )
    return {"type": type(value).__qualname__, "fields": cast("Callable[..., Any]", dump)(mode="json")}
