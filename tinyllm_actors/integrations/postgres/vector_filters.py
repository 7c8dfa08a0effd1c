"""Filters on metadata as conditions of PostgreSQL, with every key and value bound.

The metadata is `r.metadata`, jsonb. No condition is ever NULL, so that its negation is exact. Values are compared as
jsonb, whose numbers are exact, and texts by their code points, whatever the collation of the database is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

import msgspec.json

from tinyllm_actors.retrieval import AllOf, AnyOf, Compare, Contains, NotFilter

if TYPE_CHECKING:
    from tinyllm_actors.retrieval import Filter, Scalar
    from tinyllm_actors.retrieval.filters import Comparison

__all__ = ["condition"]

_SIGNS: Final = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def condition(filter: Filter | None, bound: list[object]) -> str:
    """Return a condition; what is bound in it is added to `bound`, whose places are `$1`, `$2` and so on."""
    return "true" if filter is None else _translated(filter, bound)


def _bind(value: object, kind: str, bound: list[object]) -> str:
    bound.append(value)
    return f"${len(bound)}::{kind}"


def _json(value: Scalar, bound: list[object]) -> str:
    return _bind(msgspec.json.encode(value).decode(), "jsonb", bound)


def _translated(filter: Filter, bound: list[object]) -> str:
    match filter:
        case Compare(key, operator, value):
            return _compared(f"(r.metadata -> {_bind(key, 'text', bound)})", operator, value, bound)
        case Contains(key, value):
            found = f"(r.metadata -> {_bind(key, 'text', bound)})"
            holds = f"(jsonb_typeof({found}) = 'array' AND {found} @> {_json(value, bound)})"
            if isinstance(value, str):
                part = _bind(value, "text", bound)
                holds = f"({holds} OR (jsonb_typeof({found}) = 'string' AND strpos({found} #>> '{{}}', {part}) > 0))"
            return f"coalesce({holds}, false)"
        case AllOf(filters):
            return "(" + (" AND ".join(_translated(inner, bound) for inner in filters) or "true") + ")"
        case AnyOf(filters):
            return "(" + (" OR ".join(_translated(inner, bound) for inner in filters) or "false") + ")"
        case NotFilter(inner):
            return f"(NOT {_translated(inner, bound)})"
        case _:
            assert_never(filter)


def _compared(found: str, operator: Comparison, value: Scalar, bound: list[object]) -> str:
    if value is None:
        return f"(coalesce(jsonb_typeof({found}), 'null') = 'null')"
    if operator == "eq":
        return f"coalesce({found} = {_json(value, bound)}, false)"
    if isinstance(value, str):
        text = f"({found} #>> '{{}}') COLLATE \"C\" {_SIGNS[operator]} {_bind(value, 'text', bound)}"
        return f"coalesce(jsonb_typeof({found}) = 'string' AND {text}, false)"
    return f"coalesce(jsonb_typeof({found}) = 'number' AND {found} {_SIGNS[operator]} {_json(value, bound)}, false)"
