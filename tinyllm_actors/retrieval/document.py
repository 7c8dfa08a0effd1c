"""Documents: what a source says, in a form that can be shown to a model.

There are four kinds, told apart by what they hold: a text (`Document`), named values (`DictionaryDocument`), rows
(`TableDocument`) and a picture (`ImageDocument`). All have metadata, a header and `include_keys`, and `to_text()`.
They do not change, and can be stored and sent: `msgspec.json.decode(data, type=AnyDocument)` reads what
`msgspec.json.encode(document)` wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

__all__ = ["AnyDocument", "DictionaryDocument", "Document", "ImageDocument", "TableDocument"]


class Document(msgspec.Struct, frozen=True, tag="text", tag_field="kind"):
    """A text.

    ```python
    >>> from tinyllm_actors.retrieval import Document
    >>> note = Document("Actors keep state.", {"title": "Notes", "page": 3}, "[doc]", ("title", "page", "content"))
    >>> print(note.to_text())
    [doc]
    title: Notes
    page: 3
    Actors keep state.

    ```

    Attributes:
        content: the text.
        metadata: what is known of it, such as `source`, `title` and `page`; values that JSON can say.
        header: what stands above it, such as `"[doc]"`; empty for nothing.
        include_keys: what of the metadata, and of `"content"`, the model sees, in this order; what is not there is
            left out.
    """

    content: str
    metadata: dict[str, Any] = {}
    header: str = ""
    include_keys: tuple[str, ...] = ("content",)

    def to_text(self) -> str:
        """Return what the model sees."""
        return _rendered(self.header, self.include_keys, self.content, self.metadata)


class DictionaryDocument(msgspec.Struct, frozen=True, tag="dictionary", tag_field="kind"):
    """Named values, such as a form or a record.

    ```python
    >>> from tinyllm_actors.retrieval import DictionaryDocument
    >>> record = DictionaryDocument({"name": "Ada", "born": 1815, "id": 7}, include_keys=("name", "born"))
    >>> print(record.to_text())
    name: Ada
    born: 1815

    ```

    Attributes:
        content: the values by name; such as JSON can say.
        metadata: what is known of it.
        header: what stands above it; empty for nothing.
        include_keys: which values the model sees, in this order, of the content or else of the metadata; empty for
            the whole content.
    """

    content: dict[str, Any]
    metadata: dict[str, Any] = {}
    header: str = ""
    include_keys: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Return what the model sees: a line for each value."""
        known = {**self.metadata, **self.content}
        keys = self.include_keys or tuple(self.content)
        return "\n".join(_above(self.header) + [_line(key, known[key]) for key in keys if key in known])


class TableDocument(msgspec.Struct, frozen=True, tag="table", tag_field="kind"):
    r"""Rows under named columns.

    ```python
    >>> from tinyllm_actors.retrieval import TableDocument
    >>> print(TableDocument(("city", "people"), (("Oslo", 717710), ("a|b", None))).to_text())
    | city | people |
    | --- | --- |
    | Oslo | 717710 |
    | a\|b |  |

    ```

    Attributes:
        columns: their names, in order.
        rows: one value for each column; a shorter row has nothing in the last ones.
        metadata: what is known of it.
        header: what stands above it; empty for nothing.
        include_keys: what of the metadata, and of `"content"`, the model sees, in this order.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    metadata: dict[str, Any] = {}
    header: str = ""
    include_keys: tuple[str, ...] = ("content",)

    def to_text(self) -> str:
        """Return what the model sees: a table in Markdown, in which no cell can break out of its row."""
        width = max([len(self.columns), *map(len, self.rows)])
        named = _row(self.columns, width)
        lines = [named, _row(["---"] * width, width), *(_row(row, width) for row in self.rows)] if width else []
        return _rendered(self.header, self.include_keys, "\n".join(lines), self.metadata)


class ImageDocument(msgspec.Struct, frozen=True, tag="image", tag_field="kind"):
    """A picture, and what it shows, in words.

    ```python
    >>> from tinyllm_actors.retrieval import ImageDocument
    >>> ImageDocument(b"...", "image/png", "A cat on a mat.").to_text()
    'A cat on a mat.'

    ```

    Attributes:
        data: the file.
        media_type: such as `"image/png"`.
        content: what it shows, as a vision model or a person says; empty where nobody has.
        metadata: what is known of it.
        header: what stands above it; empty for nothing.
        include_keys: what of the metadata, and of `"content"`, the model sees, in this order.
    """

    data: bytes
    media_type: str
    content: str = ""
    metadata: dict[str, Any] = {}
    header: str = ""
    include_keys: tuple[str, ...] = ("content",)

    def to_text(self) -> str:
        """Return what the model sees where it sees words only."""
        return _rendered(self.header, self.include_keys, self.content, self.metadata)


AnyDocument: TypeAlias = Document | DictionaryDocument | TableDocument | ImageDocument


def _rendered(header: str, keys: Sequence[str], content: str, metadata: Mapping[str, Any]) -> str:
    lines = _above(header)
    for key in keys:
        if key == "content":
            lines.append(content)
        elif key in metadata:
            lines.append(_line(key, metadata[key]))
    return "\n".join(lines)


def _above(header: str) -> list[str]:
    return [header] if header else []


def _line(key: str, value: Any) -> str:
    return f"{key}: {value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()}"


def _row(values: Sequence[Any], width: int) -> str:
    cells = [_cell(value) for value in values] + [""] * (width - len(values))
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())
