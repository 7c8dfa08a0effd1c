"""Vectors in memory, compared with each query one by one: exact, and fast enough for some 100,000 of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.errors import MissingDependency

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinyllm_actors.retrieval.rows import Metric

__all__ = ["FlatIndex", "load_numpy"]

_FIRST: Final = 64
_BLOCK: Final = 8192
_MOST: Final = 0.2
"""If more than this part of the rows may be found, comparing all of them costs less than picking some."""


def load_numpy() -> Any:
    """Return numpy.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        return importlib.import_module("numpy")
    except ImportError as error:
        raise MissingDependency("vectors need numpy: pip install 'tinyllm_actors[retrieval]'") from error


class FlatIndex:
    """Rows of numbers by increasing whole numbers; it is not safe to use from two threads at once.

    100,000 rows of 384 dimensions take 154 MB and one query some 14 ms.

    Args:
        dimensions: the length of each row.
    """

    def __init__(self, dimensions: int) -> None:
        self._numpy = load_numpy()
        self._dimensions = dimensions
        self._used = 0
        self._dead = 0
        self._make_room(_FIRST)

    def __len__(self) -> int:
        return self._used - self._dead

    @property
    def last(self) -> int:
        """The highest number that was ever added, 0 before the first."""
        return int(self._numbers[self._used - 1]) if self._used else 0

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return int(self._matrix.nbytes + self._lengths.nbytes + self._numbers.nbytes + self._alive.nbytes)

    def _make_room(self, size: int) -> None:
        numpy = self._numpy
        fresh = (
            numpy.empty((size, self._dimensions), dtype=numpy.float32),
            numpy.empty(size, dtype=numpy.float32),
            numpy.empty(size, dtype=numpy.int64),
            numpy.zeros(size, dtype=bool),
        )
        if self._used:
            for new, old in zip(fresh, (self._matrix, self._lengths, self._numbers, self._alive), strict=True):
                new[: self._used] = old[: self._used]
        self._matrix, self._lengths, self._numbers, self._alive = fresh

    def add(self, numbers: Sequence[int], vectors: Sequence[bytes | memoryview]) -> None:
        """Add rows, of single precision; their numbers grow and are above all that were there."""
        numpy = self._numpy
        start, end = self._used, self._used + len(numbers)
        if end > len(self._matrix):
            self._make_room(max(end, len(self._matrix) * 3 // 2))
        for first in range(0, len(vectors), _BLOCK):
            block = numpy.frombuffer(b"".join(vectors[first : first + _BLOCK]), dtype=numpy.float32)
            rows = block.reshape(-1, self._dimensions)
            place = slice(start + first, start + first + len(rows))
            self._matrix[place] = rows
            self._lengths[place] = numpy.sqrt(numpy.einsum("ij,ij->i", rows, rows))
        self._numbers[start:end] = numbers
        self._alive[start:end] = True
        self._used = end

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove rows; those that are not there are left out."""
        places = self._numpy.unique(self._places(numbers))
        self._dead += int(self._alive[places].sum())
        self._alive[places] = False
        if self._dead > max(_FIRST, self._used // 4):
            keep = self._numpy.flatnonzero(self._alive[: self._used])
            for column in (self._matrix, self._lengths, self._numbers):
                for first in range(0, len(keep), _BLOCK):  # each goes to where it is or before: nothing is overwritten
                    some = keep[first : first + _BLOCK]
                    column[first : first + len(some)] = column[some]
            self._alive[: len(keep)] = True
            self._alive[len(keep) :] = False
            self._used, self._dead = len(keep), 0

    def keep_only(self, numbers: Iterable[int]) -> None:
        """Remove all rows but these."""
        numpy = self._numpy
        kept = numpy.zeros(self._used, dtype=bool)
        kept[self._places(numbers)] = True
        self.remove(self._numbers[: self._used][~kept & self._alive[: self._used]].tolist())

    def _places(self, numbers: Iterable[int]) -> Any:
        numpy = self._numpy
        wanted = numpy.fromiter(numbers, dtype=numpy.int64)
        known = self._numbers[: self._used]
        places = numpy.searchsorted(known, wanted)
        places = places[places < self._used]
        return places[numpy.isin(known[places], wanted)]

    def search(
        self, query: bytes | memoryview, k: int, metric: Metric, among: Iterable[int] | None = None
    ) -> list[tuple[int, float]]:
        """Return the numbers and scores of the `k` best rows, best first; of equal ones, the older first.

        Args:
            query: single precision.
            k: at most so many.
            metric: what the score is: the cosine, the inner product, or minus the Euclidean distance.
            among: only these rows; None for all.
        """
        numpy = self._numpy
        sought = numpy.frombuffer(query, dtype=numpy.float32)
        places: Any = None
        if among is not None:
            places = self._places(among)
            places = numpy.unique(places[self._alive[places]])
            if len(places) > _MOST * self._used:
                mask = numpy.zeros(self._used, dtype=bool)
                mask[places] = True
                places = None
            else:
                mask = None
        else:
            mask = self._alive[: self._used] if self._dead else None
        matrix = self._matrix[: self._used] if places is None else self._matrix[places]
        lengths = self._lengths[: self._used] if places is None else self._lengths[places]
        scores = self._scores(matrix, lengths, sought, metric)
        if mask is not None:
            scores[~mask] = -numpy.inf
        if metric == "l2":
            scores = self._measured(matrix, scores, sought, k, float(lengths.max(initial=0.0)))
        best = _best(numpy, scores, k)
        numbers = self._numbers[best if places is None else places[best]]
        return list(zip(numbers.tolist(), scores[best].tolist(), strict=True))

    def _scores(self, matrix: Any, lengths: Any, sought: Any, metric: Metric) -> Any:
        numpy = self._numpy
        scores = matrix @ sought
        if metric == "cosine":
            # A row without direction is never found.
            size = numpy.linalg.norm(sought)
            with numpy.errstate(divide="ignore", invalid="ignore"):
                scores /= lengths
                scores /= size
            scores[lengths == 0] = -numpy.inf
            numpy.clip(scores, None, 1.0, out=scores)
        elif metric == "l2":
            scores *= 2
            scores -= lengths * lengths
        return scores

    def _measured(self, matrix: Any, scores: Any, sought: Any, k: int, longest: float) -> Any:
        """Return minus the distances of the rows that may be among the nearest, and minus infinity for others.

        A difference of squares loses the digits of small distances. So it only rules out rows that are farther than the
        nearest `k` by more than it can be wrong; of unit length few are left.
        """
        numpy = self._numpy
        real = scores > -numpy.inf
        if k < int(real.sum()):
            wrong = self._dimensions * 1.2e-7 * (longest + float(numpy.linalg.norm(sought))) ** 2
            least = numpy.partition(scores, len(scores) - k)[len(scores) - k]
            real &= scores >= least - 2 * wrong
        places = numpy.flatnonzero(real)
        exact = numpy.full(len(scores), -numpy.inf)
        for first in range(0, len(places), _BLOCK):
            some = places[first : first + _BLOCK]
            exact[some] = -numpy.linalg.norm(matrix[some].astype(numpy.float64) - sought, axis=1)
        return exact


def _best(numpy: Any, scores: Any, k: int) -> Any:
    """Return the places of the `k` highest scores, best first, of equal ones the lower place; never minus infinity."""
    if k < len(scores):
        least = numpy.partition(scores, len(scores) - k)[len(scores) - k]
        places = numpy.flatnonzero(scores >= least)
    else:
        places = numpy.arange(len(scores))
    places = places[scores[places] > -numpy.inf]
    return places[numpy.argsort(-scores[places], kind="stable")][:k]
