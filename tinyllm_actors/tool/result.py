"""What the model is told of a tool's result."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from typing import Any, cast

import msgspec

__all__ = ["cut_result", "plain", "render_result"]


def render_result(value: object) -> str:
    """Return a result as text that a model can read; never raises.

    Text stays as it is and UTF-8 bytes become text; None is `null`. Numbers, containers, dataclasses, msgspec structs,
    pydantic models, dates and the like are compact JSON. Anything else is its `str()`.

    ```python
    >>> render_result({"name": "Elias", "tags": ("a", "b")})
    '{"name":"Elias","tags":["a","b"]}'

    ```
    """
    try:
        return _encodable(_render(value))
    except Exception as error:  # a result's own code may do anything, and the call has succeeded
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def cut_result(text: str, max_chars: int) -> str:
    """Return the first part of `text`, with a note on how much was cut, in at most `max_chars` characters.

    A limit with no room for the note leaves the note out.
    """
    if len(text) <= max_chars:
        return text
    # The note is as long as it can get, so that the cut cannot be off by the digits of its own length.
    note = "\n[cut: {left:,} of {total:,} characters left out; ask for less at once]"
    room = max_chars - len(note.format(left=len(text), total=len(text)))
    if room < 0:
        return text[:max_chars]
    return text[:room] + note.format(left=len(text) - room, total=len(text))


def _render(value: object) -> str:
    if isinstance(value, str):
        return str.__str__(value)  # of an enumeration's member, its value
    if isinstance(value, bytes | bytearray):
        return _bytes(bytes(value))
    try:
        text = msgspec.json.encode(value, enc_hook=plain).decode()
    except (TypeError, ValueError, RecursionError):  # a lone surrogate, a cycle, keys that are no keys in JSON
        return str(value)
    # A date, a number of decimal digits, a path: text by itself needs no quotes.
    return str(msgspec.json.decode(text)) if text.startswith('"') else text


def _bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"<{len(value)} bytes of binary data>"


def plain(value: object) -> object:
    """Return something that JSON has for what msgspec does not know."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    if isinstance(value, AbstractSet | ValuesView | deque):
        return list(cast("Iterable[object]", value))
    kind: Any = type(value)  # of the class, since an instance may answer to any name
    # A pydantic model, without importing pydantic.
    if callable(dump := getattr(kind, "model_dump", None)):
        return dump(value, mode="json")
    # An array or a scalar of numpy.
    if callable(to_list := getattr(kind, "tolist", None)):
        return to_list(value)
    if isinstance(value, BaseException):
        return f"{kind.__name__}: {value}"
    return str(value)


def _encodable(text: str) -> str:
    """Replace lone surrogates, which no request could carry."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
