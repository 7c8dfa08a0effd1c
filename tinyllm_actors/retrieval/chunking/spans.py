"""Where a text may be cut: pure functions from a part of it to its smaller parts.

Each returns spans `(start, end)` that touch and cover the part, in order; white space belongs to what is before it.
All take time in proportion to the length of the part, whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

__all__ = ["Cut", "Span", "blocks", "characters", "lines", "paragraphs", "sections", "sentences", "words"]

Span: TypeAlias = tuple[int, int]
Cut: TypeAlias = Callable[[str, int, int], list[Span]]

_WORD: Final = re.compile(r"\S+\s*")
# Possessive, and only where a run begins: a text of dots alone takes no more time than any other.
_SENTENCE_END: Final = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+\s+|[。\uff01\uff1f]+[」』”]*\s*|\n[ \t]*\n\s*")
_PARAGRAPH_END: Final = re.compile(r"\n(?:[ \t]*\n)+")
_LINE_END: Final = re.compile(r"\n")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_INITIAL: Final = re.compile(r"(?:\b[A-Z]|\b(?:Dr|Mr|Mrs|Ms|Prof|St|vs|etc|e\.g|i\.e|cf|No|Fig))\.$")


def words(text: str, start: int, end: int) -> list[Span]:
    """Return the words."""
    return _covering((match.end() for match in _WORD.finditer(text, start, end)), start, end)


def characters(text: str, start: int, end: int) -> list[Span]:
    """Return the characters."""
    return [(place, place + 1) for place in range(start, end)]


def lines(text: str, start: int, end: int) -> list[Span]:
    """Return the lines."""
    return _covering((match.end() for match in _LINE_END.finditer(text, start, end)), start, end)


def paragraphs(text: str, start: int, end: int) -> list[Span]:
    """Return what stands between empty lines."""
    return _covering((match.end() for match in _PARAGRAPH_END.finditer(text, start, end)), start, end)


def sentences(text: str, start: int, end: int) -> list[Span]:
    """Return the sentences; an empty line ends one too, an initial or a usual abbreviation does not.

    ```python
    >>> text = 'Dr. Ada wrote it. "Did she?" Yes'
    >>> [text[start:end] for start, end in sentences(text, 0, len(text))]
    ['Dr. Ada wrote it. ', '"Did she?" ', 'Yes']

    ```
    """

    def ends() -> Iterator[int]:
        for match in _SENTENCE_END.finditer(text, start, end):
            stop = match.start() + 1
            # One point alone: "J." is an initial, "J..." is not.
            if text[match.start()] != "." or not _INITIAL.search(text, max(start, stop - 6), stop):
                yield match.end()

    return _covering(ends(), start, end)


def blocks(text: str, start: int, end: int) -> list[Span]:
    r"""Return the top-level blocks of code: one begins at an unindented line after an empty one.

    ```python
    >>> code = "import os\n\n\n@cached\ndef f():\n    a = 1\n\n    return a\n\n\nx = 1\n"
    >>> [code[start:end] for start, end in blocks(code, 0, len(code))]
    ['import os\n\n\n', '@cached\ndef f():\n    a = 1\n\n    return a\n\n\n', 'x = 1\n']

    ```
    """

    def ends() -> Iterator[int]:
        empty = False
        for first, last in lines(text, start, end):
            blank = not text[first:last].strip()
            if empty and not blank and text[first] not in " \t)]}":
                yield first
            empty = blank

    return _covering(ends(), start, end)


def sections(text: str) -> list[tuple[Span, tuple[str, ...]]]:
    r"""Return the sections of a Markdown text, each with the headings it is under, its own last.

    Headings are lines that begin with `#`, outside of fenced code.

    ```python
    >>> text = "Hello\n# A\none\n## B\ntwo\n# C\n"
    >>> [(text[start:end], headings) for (start, end), headings in sections(text)]
    [('Hello\n', ()), ('# A\none\n', ('A',)), ('## B\ntwo\n', ('A', 'B')), ('# C\n', ('C',))]

    ```
    """
    found: list[tuple[Span, tuple[str, ...]]] = []
    path: list[tuple[int, str]] = []
    fence: str | None = None
    begin = 0
    for first, last in lines(text, 0, len(text)):
        line = text[first:last].rstrip("\r\n")
        if mark := _FENCE.match(line):
            if fence is None:
                fence = mark[1]
            elif mark[1].startswith(fence) and not line[mark.end() :].strip():
                fence = None
        elif fence is None and line.lstrip(" ").startswith("#") and (heading := _HEADING.match(line)):
            if first > begin:
                found.append(((begin, first), tuple(name for _, name in path)))
            begin = first
            level = len(heading[1])
            path = [above for above in path if above[0] < level]
            path.append((level, _title(line[heading.end() :].strip())))
    if begin < len(text):
        found.append(((begin, len(text)), tuple(name for _, name in path)))
    return found


def _title(words: str) -> str:
    bare = words.rstrip("#")
    return words if bare and not bare.endswith((" ", "\t")) else bare.strip()


def _covering(ends: Iterator[int], start: int, end: int) -> list[Span]:
    spans: list[Span] = []
    begin = start
    for stop in ends:
        if begin < stop < end:
            spans.append((begin, stop))
            begin = stop
    if begin < end:
        spans.append((begin, end))
    return spans
