"""`Chunker`: cuts documents into chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.retrieval.chunking.chunk import Chunk, chunk_id
from tinyllm_actors.retrieval.chunking.packing import overlapped, packed
from tinyllm_actors.retrieval.chunking.spans import (
    Cut,
    Span,
    blocks,
    characters,
    lines,
    paragraphs,
    sections,
    sentences,
    words,
)
from tinyllm_actors.retrieval.document import AnyDocument, DictionaryDocument, TableDocument
from tinyllm_actors.retrieval.sizing import Count, estimate_size

__all__ = ["By", "Chunker"]

By: TypeAlias = Literal["tokens", "sentences", "headings", "code"]

_CUTS: Final[dict[By, tuple[Cut, ...]]] = {
    "tokens": (words, characters),
    "sentences": (paragraphs, sentences, words, characters),
    "headings": (paragraphs, sentences, words, characters),
    "code": (blocks, paragraphs, lines, words, characters),
}
_BACK: Final[dict[By, Cut]] = {"tokens": words, "sentences": sentences, "headings": sentences, "code": lines}
_LEAST: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunker:
    r"""Cuts documents into chunks of at most `max_tokens`, where their text may be cut best.

    | by | cut |
    |---|---|
    | `"tokens"` | between words |
    | `"sentences"` | between paragraphs, or else sentences, or else words |
    | `"headings"` | the same, and always where a heading of Markdown begins; chunks know the headings above them |
    | `"code"` | between top-level blocks, or else at empty lines, or else lines |

    With `max_tokens=256, overlap=32` a chunk has up to 224 tokens of its own and repeats up to 32 from before it, in
    whole words, sentences or lines, so that what stands across a border is found as well. A table is cut between rows
    and each chunk has its columns' names. A change of the text changes the chunks around it; by headings, none
    beyond its section.

    ```python
    >>> from tinyllm_actors.retrieval import Chunker, Document
    >>> chunker = Chunker(by="headings", max_tokens=16, overlap=0)
    >>> for chunk in chunker.chunks("notes.md", [Document("# Tea\nBoil water. Wait.\n# Bread\nKnead it.\n")]):
    ...     print(chunk.headings, repr(chunk.text))
    ('Tea',) '# Tea\nBoil water. Wait.'
    ('Bread',) '# Bread\nKnead it.'

    ```

    Args:
        by: where to cut.
        max_tokens: of one chunk, at least 8. If in doubt, 256: most embedding models are best at that, and five such
            chunks fit anywhere.
        overlap: tokens that a chunk repeats of the one before it; at most half of `max_tokens`.
        count: how many tokens a text has; a longer text must not have fewer.

    Raises:
        ConfigurationError: a number is out of range, or there is no such way to cut.
    """

    by: By = "headings"
    max_tokens: int = 256
    overlap: int = 32
    count: Count = field(default=estimate_size, repr=False)

    def __post_init__(self) -> None:
        if self.by not in _CUTS:
            raise ConfigurationError(f"by={self.by!r} must be one of {', '.join(map(repr, _CUTS))}")
        if self.max_tokens < _LEAST:
            raise ConfigurationError(f"max_tokens={self.max_tokens!r} must be at least {_LEAST}")
        if not 0 <= self.overlap <= self.max_tokens // 2:
            raise ConfigurationError(
                f"overlap={self.overlap!r} must be 0 to {self.max_tokens // 2} (half of max_tokens)"
            )

    @property
    def fingerprint(self) -> str:
        """What changes when chunks would: 16 hexadecimal digits. Two functions that count have names of their own."""
        name = getattr(self.count, "__qualname__", type(self.count).__qualname__)
        settings = f"1|{self.by}|{self.max_tokens}|{self.overlap}|{name}"
        return blake2b(settings.encode(), digest_size=8).hexdigest()

    def chunks(self, source: str, documents: Iterable[AnyDocument]) -> Iterator[Chunk]:
        """Return the chunks of all documents of one source, in order, one document in memory at a time.

        They cover all of the text but for white space between them.

        Args:
            source: where the documents come from.
            documents: all that the source has, in order.
        """
        for document in documents:
            for text, (start, end), headings in self._pieces(document):
                yield Chunk(
                    id=chunk_id(text),
                    text=text,
                    source=source,
                    start=start,
                    end=end,
                    headings=headings,
                    metadata=document.metadata,
                )

    def _pieces(self, document: AnyDocument) -> Iterator[tuple[str, Span, tuple[str, ...]]]:
        text = document.to_text()
        if isinstance(document, TableDocument):
            yield from self._rows(text, len(document.rows))
            return
        by: By = "code" if isinstance(document, DictionaryDocument) else self.by
        parts = sections(text) if by == "headings" else [((0, len(text)), ())]
        for part, headings in parts:
            for span in self._spans(text, part, by):
                yield text[slice(*span)], span, headings

    def _spans(self, text: str, part: Span, by: By) -> Iterator[Span]:
        own = packed(text, part, _CUTS[by], self.max_tokens - self.overlap, self.count)
        for place, span in enumerate(own):
            floor = own[place - 1][0] if place else span[0]
            whole = overlapped(text, span, floor, _BACK[by], self.overlap, self.max_tokens, self.count)
            if (inner := _stripped(text, whole)) is not None and _stripped(text, span) is not None:
                yield inner

    def _rows(self, text: str, rows: int) -> Iterator[tuple[str, Span, tuple[str, ...]]]:
        found = lines(text, 0, len(text))
        if not rows or len(found) < rows + 2:
            found, above = [(0, len(text))], ""
        else:
            # What stands before the rows: the header, metadata, the columns' names and the line under them.
            first = next((n for n, line in enumerate(found) if text[slice(*line)].startswith("| ---")), -1) + 1
            above, found = text[: found[first][0]] if first < len(found) else "", found[first:]
        room = self.max_tokens - self.count(above)
        if room < self.max_tokens // 2:
            above, room = "", self.max_tokens
        part = (found[0][0], found[-1][1])
        for span in packed(text, part, (lines, words, characters), room, self.count):
            if (inner := _stripped(text, span)) is not None:
                yield above + text[slice(*inner)], inner, ()


def _stripped(text: str, span: Span) -> Span | None:
    """Return the span without white space at its ends (leading spaces of a first line stay); None if none is left."""
    piece = text[slice(*span)]
    if not (body := piece.strip()):
        return None
    first = piece.index(body)
    # Code reads wrong without the indentation of its first line.
    first = piece.rfind("\n", 0, first) + 1 if not piece[:first].strip() else first
    end = piece.rindex(body[-1]) + 1
    return span[0] + first, span[0] + end
