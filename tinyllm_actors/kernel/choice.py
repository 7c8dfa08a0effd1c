"""Options that are one of several words."""

from __future__ import annotations

import enum
from typing import TypeVar

__all__ = ["choice"]

E = TypeVar("E", bound=enum.StrEnum)


def choice(kind: type[E], value: str) -> E:
    """Return the member that `value` is or names, so that a plain word does what it says.

    Raises:
        ValueError: there is no such member.
    """
    if isinstance(value, kind):
        return value
    try:
        return kind(value)
    except ValueError:
        words = ", ".join(repr(member.value) for member in kind)
        raise ValueError(f"{value!r} is no {kind.__name__}; choose one of {words}") from None
