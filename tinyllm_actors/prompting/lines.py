"""Lines of a text: numbers before them, and none of them twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["number_lines", "unique_lines", "without_numbers"]

_NUMBER: Final = re.compile(r"[ \t]*(?:\(?\d{1,9}[.):]|[-*•])[ \t]+")


def number_lines(lines: str | Iterable[str], start: int = 1) -> str:
    r"""Return lines with numbers before them, for a model to refer to.

    ```python
    >>> from tinyllm_actors.prompting import number_lines
    >>> print(number_lines("red\ngreen"))
    1. red
    2. green

    ```

    Args:
        lines: a text, or its lines; an end of line in one of those becomes a space.
        start: the first number.
    """
    found = lines.splitlines() if isinstance(lines, str) else [" ".join(line.splitlines()) for line in lines]
    return "\n".join(f"{number}. {line}" for number, line in enumerate(found, start))


def without_numbers(text: str) -> list[str]:
    r"""Return the lines of a list that a model wrote, without the numbers or dots before them, and without empty ones.

    ```python
    >>> from tinyllm_actors.prompting import without_numbers
    >>> without_numbers("1. red\n2) green\n\n- 3 blue")
    ['red', 'green', '3 blue']

    ```
    """
    return [line for line in (_NUMBER.sub("", line, count=1).strip() for line in text.splitlines()) if line]


def unique_lines(text: str, *, exact: bool = False) -> str:
    r"""Return a text in which no line comes twice: the first stays, empty lines all stay.

    ```python
    >>> from tinyllm_actors.prompting import unique_lines
    >>> unique_lines("Menu\nHome\n menu \nNews")
    'Menu\nHome\nNews'

    ```

    Args:
        text: of some lines.
        exact: tell lines apart that differ in case and white space only.
    """
    seen: set[str] = set()
    kept: list[str] = []
    for line in text.split("\n"):
        key = line if exact else " ".join(line.split()).casefold()
        if key in seen:
            continue
        if key:
            seen.add(key)
        kept.append(line)
    return "\n".join(kept)
