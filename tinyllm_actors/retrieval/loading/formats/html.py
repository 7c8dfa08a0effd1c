"""Reads HTML: what a reader of the page sees, with headings and lists as Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.retrieval.document import Document
from tinyllm_actors.retrieval.loading.reading import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinyllm_actors.retrieval.loading.reading import Item, Reading

__all__ = ["read"]

_UNSEEN: Final = frozenset(
    ["head", "script", "style", "noscript", "template", "iframe", "object", "svg", "canvas", "math", "nav", "footer"]
)
_APART: Final = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "form",
        "header",
        "hr",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "ul",
    ]
)
_HEADINGS: Final = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_SPACE: Final = re.compile(r"[ \t\r\f\v]*\n[ \t\r\f\v\n]*|[ \t\r\f\v]+")
_MANY_LINES: Final = re.compile(r"\n{3,}")


def read(reading: Reading) -> Iterator[Item]:
    """Return the page as one document."""
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError:
        raise missing("selectolax", "an HTML page") from None
    page: Any = LexborHTMLParser(reading.file.read())
    metadata: dict[str, Any] = {"source": reading.source}
    title = page.css_first("title")
    if title is not None and (words := title.text(deep=True).strip()):
        metadata["title"] = words
    if page.root is not None:
        yield Document(_text(page.root, reading), metadata)


def _text(root: Any, reading: Reading) -> str:
    """Return the text below an element; without recursion, as a page may be as deep as its author likes."""
    parts: list[str] = []
    within_pre = depth = 0
    node, entering = root, True
    while True:
        tag = node.tag
        if entering:
            if tag == "-text":
                words = node.text_content or ""
                parts.append(words if within_pre else _SPACE.sub(" ", words))
            elif tag not in _UNSEEN:
                parts.append(_before(tag))
                within_pre += tag == "pre"
                if node.child is not None:
                    depth += 1
                    reading.at_most(depth, "max_depth")
                    node = node.child
                    continue
                parts.append(_after(tag))
                within_pre -= tag == "pre"
        else:
            parts.append(_after(tag))
            within_pre -= tag == "pre"
        if node is root or depth == 0:
            break
        if node.next is not None:
            node, entering = node.next, True
        else:
            node, entering = node.parent, False
            depth -= 1
    lines = (line.rstrip() for line in "".join(parts).split("\n"))
    return _MANY_LINES.sub("\n\n", "\n".join(lines)).strip()


def _before(tag: str) -> str:
    if tag in _HEADINGS:
        return f"\n\n{_HEADINGS[tag]}"
    if tag == "li":
        return "\n- "
    if tag in ("br", "tr"):
        return "\n"
    if tag in ("td", "th"):
        return "| "
    return "\n\n" if tag in _APART else ""


def _after(tag: str) -> str:
    if tag in ("td", "th"):
        return " "
    return "\n\n" if tag in _APART or tag in _HEADINGS else ""
