"""Find the JSON in what a model says: between fences, behind a preface, or nearly right. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["json_values", "opening"]

# Mending takes time by the square of an unclosed string, and by the depth of what is nested; with these bounds the
# worst that was found takes a tenth of a second.
MAX_MENDED_CHARACTERS = 32 * 1024
MAX_MENDED_DEPTH = 64

_THOUGHT = re.compile(r"^\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_FENCED = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_BRACKETS = re.compile(r"[{}\[\]]")


def json_values(text: str, *, mend: bool = True) -> Iterator[object]:
    """Yield the JSON values that `text` may mean, the most likely first; nothing if it has none.

    ```python
    >>> next(json_values('Here it is: {"a": 1}. Anything else?'))
    {'a': 1}
    >>> next(json_values("{'a': 1, b: [2,],}"))
    {'a': 1, 'b': [2]}

    ```

    Args:
        text: what the model said.
        mend: try to make sense of what is nearly JSON. Not for a text that may be cut short: it would be completed.
    """
    from pydantic_core import from_json  # with pydantic, which a program without structured output need not pay

    text = _THOUGHT.sub("", text).strip()
    fenced = [match[1].strip() for match in reversed(list(_FENCED.finditer(text)))]
    for candidate in dict.fromkeys((text, *fenced, *_bracketed(text))):
        try:
            yield from_json(candidate, allow_inf_nan=False)
        except (ValueError, TypeError):  # half of a surrogate pair is a TypeError
            continue
        mend = mend and candidate is not text
    value = _mended(fenced[0] if fenced else text) if mend else None
    if value is not None:
        yield value


def opening(text: str) -> str:
    """Return what follows the opening fence or the preface of a JSON text that is still growing.

    The same for each longer text, so that what is read from it does not jump.
    """
    text = _THOUGHT.sub("", text).lstrip()
    if text[:1] in ("{", "[", '"'):
        return text
    starts = [start for start in (text.find("{"), text.find("[")) if start >= 0]
    if starts:
        return text[min(starts) :]
    return "" if text[:1] == "`" else text


def _bracketed(text: str) -> Iterator[str]:
    for opened, closed in ("{}", "[]"):
        start, end = text.find(opened), text.rfind(closed)
        if 0 <= start < end:
            yield text[start : end + 1]


def _mended(text: str) -> object:
    """Return what nearly JSON means, or None when it is no object and no array."""
    start = _BRACKETS.search(text)
    if start is None or len(text) > MAX_MENDED_CHARACTERS:
        return None
    depth = deepest = 0
    for bracket in _BRACKETS.finditer(text):
        depth += 1 if bracket[0] in "{[" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_MENDED_DEPTH:
        return None
    import json_repair  # 35 ms that only a model that cannot write JSON costs

    try:
        value: object = json_repair.loads(text[start.start() :])
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None
