"""Which sentence of an answer cites which source, and whether its quotes are there: pure functions, without a model.

An answer cites sources by number, `[1]` or `[1, 3]`, in or after the sentence that they support. What stands in double
quotation marks in it is a quote, and must occur in a source that the sentence cites.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tinyllm_actors.retrieval.chunking.spans import sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CitationReport", "CitedSentence", "QuoteCheck", "check_citations"]

_MARKER: Final = re.compile(r"\[(\d{1,4}(?:[ \t]*[,;][ \t]*\d{1,4}){0,99})\]")
_MARKERS_FIRST: Final = re.compile(r"(?:\s*\[[\d,; \t]{1,600}\])+[ \t]*[.!?]?\s*")
_QUOTE: Final = re.compile(r'"([^"\n]{1,2000})"|“([^“”\n]{1,2000})”|«([^«»\n]{1,2000})»|„([^„“”\n]{1,2000})[“”]')
_WORD: Final = re.compile(r"\w")
_MIN_QUOTE_WORDS: Final = 3
"""Shorter ones are names and irony as often as they are quotes."""
_MAX_SOURCE: Final = 100_000
_SIGNS: Final = str.maketrans({"’": "'", "\u2018": "'", "“": '"', "”": '"', "–": "-", "—": "-", "\xad": None})


@dataclass(frozen=True, slots=True)
class QuoteCheck:
    """A quote, and where it is.

    Attributes:
        text: what stands between the quotation marks.
        source_id: of the source that has it; None if none that the sentence cites does.
        score: how much of it is there, 0 to 1; 1 is word for word, whatever the white space, case and shape of signs.
    """

    text: str
    source_id: str | None
    score: float


@dataclass(frozen=True, slots=True)
class CitedSentence:
    """A sentence of the answer.

    Attributes:
        text: with its marks.
        start: where it begins in the answer.
        end: where it ends.
        source_ids: of the sources that it cites, in its order, each once.
        unknown: numbers that it cites and that no source has.
        quotes: those in it.
    """

    text: str
    start: int
    end: int
    source_ids: tuple[str, ...]
    unknown: tuple[int, ...]
    quotes: tuple[QuoteCheck, ...]


@dataclass(frozen=True, slots=True)
class CitationReport:
    """What the citations of an answer are worth.

    Attributes:
        sentences: all of the answer's, in order.
    """

    sentences: tuple[CitedSentence, ...]

    @property
    def cited_ids(self) -> tuple[str, ...]:
        """The ids of all sources that are cited, in the order of the answer."""
        return tuple(dict.fromkeys(name for sentence in self.sentences for name in sentence.source_ids))

    @property
    def unknown(self) -> tuple[int, ...]:
        """Numbers that are cited and that no source has."""
        return tuple(dict.fromkeys(number for sentence in self.sentences for number in sentence.unknown))

    @property
    def false_quotes(self) -> tuple[str, ...]:
        """Quotes that no source has that their sentence cites."""
        return tuple(q.text for sentence in self.sentences for q in sentence.quotes if q.source_id is None)

    @property
    def uncited(self) -> tuple[str, ...]:
        """Sentences that cite nothing."""
        return tuple(s.text for s in self.sentences if not s.source_ids and not s.unknown)

    @property
    def valid(self) -> bool:
        """Whether something is cited, all that is cited is there, and all quotes are true."""
        return bool(self.cited_ids) and not self.unknown and not self.false_quotes


def check_citations(
    answer: str, sources: Sequence[tuple[str, str]] | Mapping[int, tuple[str, str]], *, min_score: float = 0.95
) -> CitationReport:
    """Return what each sentence of an answer cites, and which of its quotes are true.

    ```python
    >>> sources = [("a", "Boil the water, then wait three minutes."), ("b", "Green tea is bitter.")]
    >>> report = check_citations('The book says "wait three  minutes" [1]. It is sweet [7]. So it is.', sources)
    >>> report.cited_ids, report.unknown, report.uncited, report.false_quotes
    (('a',), (7,), ('So it is.',), ())
    >>> check_citations('"Wait thirteen minutes" [1], they say.', sources).false_quotes
    ('Wait thirteen minutes',)

    ```

    Args:
        answer: of the model.
        sources: the id and the text of each, `[1]` first; or by number.
        min_score: how much of a quote must be there. 1.0 is word for word; less lets a letter in twenty differ, which
            needs rapidfuzz (extra `documents`), and is word for word without it.
    """
    known = dict(sources) if isinstance(sources, Mapping) else dict(enumerate(sources, start=1))
    plain = {number: _plain(text[:_MAX_SOURCE]) for number, (_, text) in known.items()}
    found: list[CitedSentence] = []
    for start, end in _sentences(answer):
        text = answer[start:end].strip()
        if not _WORD.search(_MARKER.sub("", text)):
            continue
        numbers = list(dict.fromkeys(int(n) for mark in _MARKER.finditer(text) for n in re.split(r"[,;]", mark[1])))
        cited = [number for number in numbers if number in known]
        quotes: list[QuoteCheck] = []
        for match in _QUOTE.finditer(text):
            quote = next(group for group in match.groups() if group is not None)
            if len(quote.split()) >= _MIN_QUOTE_WORDS:
                best, score = _best(_plain(_MARKER.sub("", quote)), cited, plain, min_score)
                quotes.append(QuoteCheck(quote, None if best is None else known[best][0], score))
        found.append(
            CitedSentence(
                text,
                start,
                end,
                tuple(dict.fromkeys(known[number][0] for number in cited)),
                tuple(number for number in numbers if number not in known),
                tuple(quotes),
            )
        )
    return CitationReport(tuple(found))


def _sentences(answer: str) -> list[tuple[int, int]]:
    """Return the spans of sentences; a quote is not cut, and marks belong to what they stand right after."""
    quotes = [match.span() for match in _QUOTE.finditer(answer)]
    spans: list[tuple[int, int]] = []
    for start, end in sentences(answer, 0, len(answer)):
        place = bisect_left(quotes, (start,)) - 1
        if spans and place >= 0 and start < quotes[place][1]:
            spans[-1] = (spans[-1][0], end)
            continue
        if spans and (marks := _MARKERS_FIRST.match(answer, start, end)):
            spans[-1] = (spans[-1][0], marks.end())
            start = marks.end()
        if start < end:
            spans.append((start, end))
    return spans


def _best(quote: str, cited: Sequence[int], plain: Mapping[int, str], min_score: float) -> tuple[int | None, float]:
    """Return the source that has the quote, and how much of it; None if none has enough."""
    best, highest = None, 0.0
    for number in cited:
        score = _score(quote, plain[number], min_score)
        if score > highest:
            best, highest = number, score
    return (best, highest) if highest >= min_score else (None, highest)


def _score(quote: str, text: str, min_score: float) -> float:
    if not quote.strip(" .,;:!?"):
        return 0.0
    # What an answer puts at the end of a quote is its own.
    if quote.rstrip(" .,;:!?…") in text:
        return 1.0
    if min_score >= 1.0 or len(text) < len(quote) * min_score:
        return 0.0  # a shorter text cannot have it, however it is laid beside it
    try:
        from rapidfuzz.fuzz import partial_ratio
    except ImportError:
        return 0.0
    return partial_ratio(quote, text) / 100.0


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).translate(_SIGNS).casefold().split())
