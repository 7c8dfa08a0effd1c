"""Conditions on metadata: a small typed tree that each store translates, with all values bound.

What a condition means is what `matches` says; each store's translation is tested against it:

1. A key that is missing is as one that is None.
2. `==` compares values of one kind: numbers by value (`1 == 1.0`), strings, booleans; a boolean is no number.
3. `<`, `<=`, `>`, `>=` hold between two numbers, or between two strings in the order of their code points; never else.
4. `contains` holds where the value is a list that has that element, or a string that has that part.
5. `!=` and `~` are the exact opposite of what they negate, so `field("year") != 2000` holds where there is no year.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, assert_never, cast

from tinyllm_actors.errors import FilterRejected, InputRejected
from tinyllm_actors.retrieval.checks import MAX_METADATA_BYTES, MAX_NAME_BYTES, checked_ids, checked_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tinyllm_actors.retrieval.rows import Metadata, Scalar

__all__ = [
    "AllOf",
    "AnyOf",
    "Compare",
    "Contains",
    "Field",
    "Filter",
    "NotFilter",
    "checked_choice",
    "checked_filter",
    "field",
    "matcher",
    "matches",
]

Comparison: TypeAlias = Literal["eq", "lt", "lte", "gt", "gte"]

MAX_NODES: Final = 1000
MAX_DEPTH: Final = 32


class _Joined:
    __slots__ = ()

    def __and__(self, other: Filter) -> AllOf:
        return AllOf((cast("Filter", self), other))

    def __or__(self, other: Filter) -> AnyOf:
        return AnyOf((cast("Filter", self), other))

    def __invert__(self) -> NotFilter:
        return NotFilter(cast("Filter", self))

    def __bool__(self) -> bool:
        raise TypeError("a filter has no truth; join filters with & and |, and negate them with ~")


@dataclass(frozen=True, slots=True)
class Compare(_Joined):
    """The value at a key stands in a relation to this one.

    ```python
    >>> Compare("year", "gte", 2000) == (field("year") >= 2000)
    True

    ```
    """

    key: str
    operator: Comparison
    value: Scalar


@dataclass(frozen=True, slots=True)
class Contains(_Joined):
    """The value at a key is a list that has this element, or a string that has this part.

    ```python
    >>> Contains("tags", "news") == field("tags").contains("news")
    True

    ```
    """

    key: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class AllOf(_Joined):
    """All of them hold; of none, that is true.

    ```python
    >>> matches(AllOf(()), {})
    True

    ```
    """

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf(_Joined):
    """One of them holds; of none, that is false.

    ```python
    >>> matches(AnyOf(()), {})
    False

    ```
    """

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class NotFilter(_Joined):
    """It does not hold.

    ```python
    >>> matches(~(field("year") < 2000), {})
    True

    ```
    """

    filter: Filter


Filter: TypeAlias = "Compare | Contains | AllOf | AnyOf | NotFilter"


class Field:
    """A key of the metadata, to compare with; made by `field`."""

    __slots__ = ("_key",)
    __hash__ = None  # pyright: ignore[reportAssignmentType] - its == makes a filter

    def __init__(self, key: str) -> None:
        self._key = key

    def __eq__(self, value: Scalar) -> Compare:  # type: ignore[override]
        return Compare(self._key, "eq", value)

    def __ne__(self, value: Scalar) -> NotFilter:  # type: ignore[override]
        return NotFilter(Compare(self._key, "eq", value))

    def __lt__(self, value: str | float) -> Compare:
        return Compare(self._key, "lt", value)

    def __le__(self, value: str | float) -> Compare:
        return Compare(self._key, "lte", value)

    def __gt__(self, value: str | float) -> Compare:
        return Compare(self._key, "gt", value)

    def __ge__(self, value: str | float) -> Compare:
        return Compare(self._key, "gte", value)

    def is_in(self, values: Iterable[Scalar]) -> AnyOf:
        """The value is one of these."""
        return AnyOf(tuple(Compare(self._key, "eq", value) for value in values))

    def contains(self, value: Scalar) -> Contains:
        """The value is a list that has this element, or a string that has this part."""
        return Contains(self._key, value)


def field(key: str) -> Field:
    """Return a key of the metadata, to compare with `==`, `!=`, `<`, `<=`, `>`, `>=`, `is_in` and `contains`.

    ```python
    >>> recent = (field("year") >= 2020) & field("lang").is_in(["en", "de"]) & ~field("tags").contains("draft")
    >>> matches(recent, {"year": 2021, "lang": "en"})
    True
    >>> matches(recent, {"year": 2021, "lang": "en", "tags": ["draft"]})
    False

    ```
    """
    return Field(key)


def checked_filter(filter: Filter | None) -> Filter | None:
    """Return a filter that every store can translate.

    Raises:
        FilterRejected: it is none, is too large or too deep, or holds a key or value that no row can have.
    """
    if filter is not None:
        left = MAX_NODES
        waiting: list[tuple[object, int]] = [(filter, 1)]
        while waiting:
            node, depth = waiting.pop()
            left -= 1
            if left < 0 or depth > MAX_DEPTH:
                raise FilterRejected(f"a filter has at most {MAX_NODES} conditions, at most {MAX_DEPTH} deep")
            match node:
                case Compare() | Contains():
                    _check_condition(node)
                case AllOf() | AnyOf():
                    waiting.extend((inner, depth + 1) for inner in node.filters)
                case NotFilter():
                    waiting.append((node.filter, depth + 1))
                case _:
                    raise FilterRejected(f"{node!r} is no filter; write field('year') >= 2000, join with & and |")
    return filter


def checked_choice(ids: Iterable[str] | None, filter: Filter | None) -> list[str] | None:
    """Return the ids of rows that are to be removed; None where the filter alone says.

    Raises:
        InputRejected: neither is given, or an id is no text.
    """
    if ids is None and filter is None:
        raise InputRejected("delete needs ids or a filter; to remove all rows, drop the collection")
    checked_filter(filter)
    return None if ids is None else checked_ids(ids)


def _is_kept(number: float) -> bool:
    """Whether a row can have a number."""
    return -(2**63) <= number < 2**63 if isinstance(number, int) else math.isfinite(number)


def _check_condition(condition: Compare | Contains) -> None:
    value = condition.value
    try:
        checked_text(condition.key, "the key of a filter", MAX_NAME_BYTES)
        if isinstance(value, str):
            checked_text(value, f"the value for {condition.key!r}", MAX_METADATA_BYTES, empty=True)
    except InputRejected as error:
        raise FilterRejected(str(error)) from None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, int | float) and not _is_kept(value):
        raise FilterRejected(
            f"the value for {condition.key!r} must be a finite number of at most 64 bits, not {value!r}"
        )
    if not (number or value is None or isinstance(value, str | bool)):
        raise FilterRejected(
            f"the value for {condition.key!r} must be a string, number, boolean or None, not {value!r}"
        )
    if isinstance(condition, Compare):
        if condition.operator not in {"eq", "lt", "lte", "gt", "gte"}:
            raise FilterRejected(f"no comparison {condition.operator!r}")
        if condition.operator != "eq" and not (number or isinstance(value, str)):
            raise FilterRejected(f"only numbers and strings are less or more than one another, not {value!r}")


def matches(filter: Filter, metadata: Metadata) -> bool:
    """Whether a filter holds for metadata: what every store's translation must agree with."""
    return matcher(filter)(metadata)


def matcher(filter: Filter) -> Callable[[Metadata], bool]:
    """Return what says whether a filter holds for metadata: for many of them in a fifth of the time of `matches`."""
    match filter:
        case Compare(key, operator, value):
            return _on_key(key, _comparing(operator, value))
        case Contains(key, value):
            return _on_key(key, _containing(value))
        case AllOf(filters):
            return _every([matcher(inner) for inner in filters])
        case AnyOf(filters):
            return _some([matcher(inner) for inner in filters])
        case NotFilter(inner):
            holds = matcher(inner)
            return lambda metadata: not holds(metadata)
        case _:
            assert_never(filter)


def _on_key(key: str, holds: Callable[[object], bool]) -> Callable[[Metadata], bool]:
    return lambda metadata: holds(metadata.get(key))


# Loops, as `all` and `any` make a generator each time, which costs more than two conditions do.


def _every(conditions: Sequence[Callable[[Metadata], bool]]) -> Callable[[Metadata], bool]:
    def every(metadata: Metadata) -> bool:
        for holds in conditions:  # noqa: SIM110
            if not holds(metadata):
                return False
        return True

    return every


def _some(conditions: Sequence[Callable[[Metadata], bool]]) -> Callable[[Metadata], bool]:
    def some(metadata: Metadata) -> bool:
        for holds in conditions:  # noqa: SIM110
            if holds(metadata):
                return True
        return False

    return some


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return type(value).__name__


_COMPARED: Final[dict[Comparison, Callable[[Any, Any], bool]]] = {
    "eq": eq,
    "lt": lt,
    "lte": le,
    "gt": gt,
    "gte": ge,
}


def _comparing(comparison: Comparison, value: Scalar) -> Callable[[object], bool]:
    """Return what compares with `value` what is of its kind; anything else is in no relation to it."""
    compared, kind = _COMPARED[comparison], _kind(value)
    usual = (int, float) if kind == "number" else (type(value),)
    return lambda found: (type(found) in usual or _kind(found) == kind) and compared(found, value)


def _containing(value: Scalar) -> Callable[[object], bool]:
    equal = _comparing("eq", value)

    def contains(found: object) -> bool:
        if isinstance(found, str):
            return isinstance(value, str) and value in found
        return isinstance(found, list | tuple) and any(map(equal, cast("Sequence[object]", found)))

    return contains
