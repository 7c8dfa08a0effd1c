"""Full text in memory: Okapi BM25 over an inverted index."""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

__all__ = ["BM25Index"]

_WORD: Final = re.compile(r"[^\W_]+")


class BM25Index:
    """Which texts have which words, and how well they fit a query.

    ```python
    >>> index = BM25Index()
    >>> for number, text in enumerate(["the cat sat", "the dog sat", "the end"]):
    ...     index.add(number, text)
    >>> [number for number, _ in index.search(["cat", "sat"], 2)]
    [0, 1]

    ```

    Args:
        k1: how soon a word that is repeated counts no more; 1.2 to 2.
        b: how much long texts pay for their length; 0 to 1.

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009.
    """

    def __init__(self, k1: float = 1.2, b: float = 0.75) -> None:
        self._k1 = k1
        self._b = b
        self._places: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self._lengths: dict[int, int] = {}
        self._total = 0

    def add(self, number: int, text: str) -> None:
        """Add a text under a number that is not in use."""
        counts = Counter(match[0] for match in _WORD.finditer(text.lower()))
        for word, count in counts.items():
            self._places[word][number] = count
        self._lengths[number] = length = counts.total()
        self._total += length

    def remove(self, number: int, text: str) -> None:
        """Remove a text, which must be the one that was added."""
        for word in {match[0] for match in _WORD.finditer(text.lower())}:
            found = self._places[word]
            del found[number]
            if not found:
                del self._places[word]
        self._total -= self._lengths.pop(number)

    def search(self, words: Iterable[str], k: int, among: Container[int] | None = None) -> list[tuple[int, float]]:
        """Return the numbers and scores of the `k` texts that fit best; of equal ones, the older first."""
        scores: defaultdict[int, float] = defaultdict(float)
        size = len(self._lengths)
        mean = self._total / size if size else 1.0
        for word in words:
            found = self._places.get(word, {})
            weight = math.log(1 + (size - len(found) + 0.5) / (len(found) + 0.5))
            for number, count in found.items():
                if among is None or number in among:
                    long = 1 - self._b + self._b * self._lengths[number] / mean
                    scores[number] += weight * count * (self._k1 + 1) / (count + self._k1 * long)
        return heapq.nsmallest(k, scores.items(), key=lambda entry: (-entry[1], entry[0]))
