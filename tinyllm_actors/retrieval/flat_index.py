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
_SOME: Final = 256
"""Rows that are picked at once: few enough to stay near the processor."""
_GROUPS: Final = 512
"""Groups of scores, at least, in which the best are sought."""
_MOST: Final = 0.15
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

    100,000 rows of 384 dimensions take 154 MB and one query some 6 ms of one core, 12 ms where others use the memory.

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

    def reserve(self, rows: int) -> None:
        """Make room for so many rows at once: to grow by and by copies what is there again and again."""
        if rows > len(self._matrix):
            self._make_room(rows)

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
        inside = places < self._used
        places, wanted = places[inside], wanted[inside]
        return places[known[places] == wanted]

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
        if among is not None:
            chosen = numpy.zeros(self._used, dtype=bool)
            chosen[self._places(among)] = True
            places = numpy.flatnonzero(chosen & self._alive[: self._used])
        else:
            places = numpy.flatnonzero(self._alive[: self._used]) if self._dead else None
        if places is None or len(places) > _MOST * self._used:
            scores = self._scores(slice(0, self._used), sought, metric)
            if places is not None:
                scores = scores[places]
        else:
            scores = numpy.concatenate(
                [self._scores(places[first : first + _SOME], sought, metric) for first in range(0, len(places), _SOME)]
                or [numpy.empty(0, dtype=numpy.float32)]
            )
        best = _highest(numpy, scores, k, self._error(sought) if metric == "l2" else 0.0)
        where = best if places is None else places[best]
        if metric == "l2":
            exact = numpy.empty(len(where))
            for first in range(0, len(where), _BLOCK):
                rows = self._matrix[where[first : first + _BLOCK]].astype(numpy.float64)
                exact[first : first + len(rows)] = -numpy.linalg.norm(rows - sought, axis=1)
        else:
            exact = scores[best]
        order = numpy.argsort(-exact, kind="stable")[:k]
        return list(zip(self._numbers[where[order]].tolist(), exact[order].tolist(), strict=True))

    def _scores(self, rows: Any, sought: Any, metric: Metric) -> Any:
        """Return what is higher for rows that are nearer: the score itself, save for the distance.

        That one is here a difference of squares, which loses the digits of small distances, see `_error`.
        """
        numpy = self._numpy
        lengths = self._lengths[rows]
        # BLAS would spread `matrix @ sought` over threads that wait for one another: on a machine with other work,
        # 10,000 rows then take twenty times as long.
        scores = numpy.vecdot(self._matrix[rows], sought)
        if metric == "cosine":
            with numpy.errstate(divide="ignore", invalid="ignore"):
                scores /= lengths
                scores /= numpy.linalg.norm(sought)
            if not lengths.all():  # a row without direction is never found
                scores[lengths == 0] = -numpy.inf
            numpy.minimum(scores, 1.0, out=scores)
        elif metric == "l2":
            scores *= 2
            scores -= lengths * lengths
        return scores

    def _error(self, sought: Any) -> float:
        """Return by how much a difference of squares can be wrong."""
        longest = float(self._lengths[: self._used].max(initial=0.0))
        return self._dimensions * 1.2e-7 * (longest + float(self._numpy.linalg.norm(sought))) ** 2


def _highest(numpy: Any, scores: Any, k: int, error: float) -> Any:
    """Return the places, in order, of all scores that may be among the `k` highest; never of minus infinity.

    Args:
        numpy: the module.
        scores: some numbers.
        k: how many are sought.
        error: by how much each may be wrong.
    """
    least = _kth_highest(numpy, scores, k) if k < len(scores) else -numpy.inf
    return numpy.flatnonzero((scores >= least - 2 * error) & (scores > -numpy.inf))


def _kth_highest(numpy: Any, scores: Any, k: int) -> Any:
    """Return the `k`-th highest of more than `k` scores.

    With the scores in groups, the `k`-th highest of what is best in each is a bound below which nothing need be looked
    at: a fifth of the time. The members of a group are far apart, as rows that are near one another are alike.
    """
    groups = max(8 * k, _GROUPS)
    size = len(scores) // groups
    if size > 1:
        tops = scores[: size * groups].reshape(size, groups).max(axis=0)
        scores = scores[scores >= numpy.partition(tops, groups - k)[groups - k]]
    return numpy.partition(scores, len(scores) - k)[len(scores) - k]
