"""Code in the Markdown that a model wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["CodeBlock", "extract_code"]

_FENCE: Final = re.compile(r"( {0,3})(`{3,}|~{3,})(.*)")


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced block of code.

    Attributes:
        language: that stands behind the fence, in small letters; empty if there is none.
        code: as it was written, without the last end of line.
        closed: its end is there; False where the answer broke off in it.
    """

    language: str
    code: str
    closed: bool = True


def extract_code(text: str, *languages: str) -> list[CodeBlock]:
    r"""Return the fenced blocks of code of a text, in order.

    A block begins with three or more backquotes or tildes and ends with as many or more of the same; one that is inside
    of another is part of its code. A block that does not end goes on to the end of the text.

    ```python
    >>> from tinyllm_actors.prompting import extract_code
    >>> said = "Run this:\n```python\nprint(1)\n```\nor\n~~~\n2\n~~~"
    >>> [(block.language, block.code) for block in extract_code(said)]
    [('python', 'print(1)'), ('', '2')]

    ```

    Args:
        text: Markdown.
        *languages: only blocks of these; left out, all.

    Source: CommonMark 0.31, fenced code blocks.
    """
    wanted = {language.lower() for language in languages}
    found: list[CodeBlock] = []
    fence: str | None = None
    indent, language = 0, ""
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        match = _FENCE.fullmatch(line)
        if fence is None:
            if match is None or (match[2][0] == "`" and "`" in match[3]):
                continue
            fence, indent = match[2], len(match[1])
            language = next(iter(match[3].split()), "").lower()
            lines = []
        elif match is not None and match[2][0] == fence[0] and len(match[2]) >= len(fence) and not match[3].strip():
            found.append(CodeBlock(language, "\n".join(lines)))
            fence = None
        else:
            spaces = len(line) - len(line.lstrip(" "))
            lines.append(line[min(indent, spaces) :])
    if fence is not None:
        if lines and not lines[-1]:
            del lines[-1]  # the text ends with an end of line
        found.append(CodeBlock(language, "\n".join(lines), closed=False))
    return [block for block in found if not wanted or block.language in wanted]
