"""One policy for what must never be written down: used by logs, errors, traces and inspection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

__all__ = ["MASK", "is_secret_name", "masked", "redact"]

MASK: Final = "***"

_NAMES: Final = re.compile(
    r"(?i)^(.*[_-])?(api[_-]?key|apikey|secret|secret[_-]?key|token|access[_-]?token|auth[_-]?token|password|passwd|pwd"
    r"|authorization|credentials?|private[_-]?key)([_-].*)?$"
)
# Words that hold "token" and count something.
_HARMLESS: Final = re.compile(
    r"(?i)^(max|min|total|prompt|completion|input|output|num|n)_?tokens?(_.*)?$|^(.*_)?tokens(_.*)?$"
    r"|^token_?(count|limit|budget|buffer|usage|ids?)(_.*)?$"
)

# Error messages may hold anything of any length, so each pattern takes linear time: what may repeat before a decision
# is bounded, and what stands before a name need not be matched to stay.
_PATTERNS: Final = (
    # Authorization: Bearer …, and the like in any header or message
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 " + MASK),
    # user:password@host
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}://[^\s:/@]*):[^\s@/]+@"), rf"\1:{MASK}@"),
    # key=value and "key": "value"
    (
        re.compile(
            r"(?i)((?:api[_-]?key|secret|password|passwd|access[_-]?token|auth[_-]?token)[a-z0-9_-]{0,60}[\"']?"
            r"\s{0,20}[=:]\s{0,20}[\"']?)[^\s\"',;&)}\]]{4,}"
        ),
        rf"\1{MASK}",
    ),
    # keys by their well-known prefixes
    (
        re.compile(
            r"\b(?:sk|pk|rk|lf)[-_](?:[A-Za-z0-9]+[-_]){0,8}[A-Za-z0-9]{12,}\b|\bgh[pousr]_[A-Za-z0-9]{20,}\b"
            r"|\bAIza[A-Za-z0-9_-]{30,}\b|\bAKIA[A-Z0-9]{12,}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}\b|\bhf_[A-Za-z0-9]{20,}\b"
        ),
        MASK,
    ),
)


def redact(text: str) -> str:
    """Return `text` with what looks like a secret masked.

    ```python
    >>> redact("postgresql://app:hunter2@db/chats refused api_key=abcd1234")
    'postgresql://app:***@db/chats refused api_key=***'

    ```
    """
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether a field, header or variable of that name holds a secret.

    ```python
    >>> [is_secret_name(name) for name in ("OPENAI_API_KEY", "token", "max_tokens", "token_count")]
    [True, True, False, False]

    ```
    """
    return _HARMLESS.match(name) is None and _NAMES.match(name) is not None


def masked(values: Mapping[Any, Any], *, depth: int = 4) -> dict[Any, Any]:
    """Return a copy of a mapping, and of mappings in it, with the values of secret names masked.

    ```python
    >>> masked({"model": "small", "options": {"api_key": "abc", "seed": 1}})
    {'model': 'small', 'options': {'api_key': '***', 'seed': 1}}

    ```

    Args:
        values: what to copy; other values than mappings are shared, not copied.
        depth: how many mappings deep to look; what lies deeper is masked whole.
    """
    copy: dict[Any, Any] = {}
    for name, value in values.items():
        if value is not None and isinstance(name, str) and is_secret_name(name):
            copy[name] = MASK
        elif isinstance(value, Mapping):
            copy[name] = masked(cast("Mapping[Any, Any]", value), depth=depth - 1) if depth > 1 else MASK
        else:
            copy[name] = value
    return copy
