"""Filters on metadata as conditions of SQLite, with every key and value bound.

The metadata is JSON text in `r.metadata`, and the values of some of its keys are in a table of their own. No condition
is ever NULL, so that its negation is exact.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, assert_never

from tinyllm_actors.retrieval import AllOf, AnyOf, Compare, Contains, NotFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.integrations.sqlite.vector_keys import KeyTable
    from tinyllm_actors.retrieval import Filter, Scalar

__all__ = ["condition"]

_SIGNS: Final = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]+')
"""Keys that stand in JSON as they are, so that a path finds them; others are compared one by one."""


def condition(filter: Filter | None, table: KeyTable) -> tuple[str, list[object]]:
    """Return a condition and what is bound in it, in order."""
    bound: list[object] = []
    return ("1" if filter is None else _translated(filter, table, bound)), bound


def _translated(filter: Filter, table: KeyTable, bound: list[object]) -> str:
    match filter:
        case Compare(key, operator, value):
            if key in table.keys:
                return table.compared(key, operator, [value], bound)
            return _at(key, _SIGNS[operator], value, bound)
        case Contains(key, value):
            return (table.contains if key in table.keys else _contains)(key, value, bound)
        case AllOf(filters):
            return _joined(" AND ", [_translated(inner, table, bound) for inner in filters]) or "1"
        case AnyOf(filters):
            if (key := _one_key(filters)) in table.keys:
                values = [inner.value for inner in filters if isinstance(inner, Compare)]
                return table.compared(key, "eq", values, bound)
            return _joined(" OR ", [_translated(inner, table, bound) for inner in filters]) or "0"
        case NotFilter(inner):
            return f"(NOT {_translated(inner, table, bound)})"
        case _:
            assert_never(filter)


def _one_key(filters: Sequence[Filter]) -> str | None:
    """Return the key, where all say that its value is this or that."""
    keys = {
        inner.key if isinstance(inner, Compare) and inner.operator == "eq" and inner.value is not None else None
        for inner in filters
    }
    return keys.pop() if len(keys) == 1 else None


def _joined(operator: str, parts: list[str]) -> str:
    """Join conditions as a balanced tree: SQLite takes a chain for one that is as deep as it is long."""
    while len(parts) > 1:
        parts = [f"({operator.join(parts[place : place + 2])})" for place in range(0, len(parts), 2)]
    return parts[0] if parts else ""


def _at(key: str, sign: str, value: Scalar, bound: list[object]) -> str:
    """Compare the value at a key."""
    if _PLAIN.fullmatch(key):
        path = f'$."{key}"'
        if value is None:
            bound.append(path)
            return "(ifnull(json_type(r.metadata, ?), 'null') = 'null')"
        if isinstance(value, bool):
            bound += [path, "true" if value else "false"]
            return "(ifnull(json_type(r.metadata, ?), '') = ?)"
        kinds = _kinds(value)
        bound += [path, path, value]
        return f"(ifnull(json_type(r.metadata, ?), '') IN {kinds} AND json_extract(r.metadata, ?) {sign} ?)"
    bound.append(key)
    if value is None:
        return "(NOT EXISTS (SELECT 1 FROM json_each(r.metadata) e WHERE e.key = ? AND e.type <> 'null'))"
    return f"EXISTS (SELECT 1 FROM json_each(r.metadata) e WHERE e.key = ? AND {_is('e', sign, value, bound)})"


def _kinds(value: str | float) -> str:
    return "('text')" if isinstance(value, str) else "('integer', 'real')"


def _is(entry: str, sign: str, value: Scalar, bound: list[object]) -> str:
    """Compare the value of an entry of `json_each`."""
    if value is None:
        return f"{entry}.type = 'null'"
    if isinstance(value, bool):
        bound.append("true" if value else "false")
        return f"{entry}.type = ?"
    bound.append(value)
    return f"({entry}.type IN {_kinds(value)} AND {entry}.value {sign} ?)"


def _contains(key: str, value: Scalar, bound: list[object]) -> str:
    bound.append(key)
    # An entry that is no list is never read as one, in whatever order SQLite works.
    listed = "json_each(CASE e.type WHEN 'array' THEN e.value ELSE '[]' END)"
    inside = f"EXISTS (SELECT 1 FROM {listed} x WHERE {_is('x', '=', value, bound)})"
    if isinstance(value, str):
        bound.append(value)
        inside = f"({inside} OR (e.type = 'text' AND instr(e.value, ?) > 0))"
    return f"EXISTS (SELECT 1 FROM json_each(r.metadata) e WHERE e.key = ? AND {inside})"
