"""How sure a mean, a share and a difference are. Pure arithmetic, the same each time.

Examples are drawn from what users may ask, so they are what is resampled: the repeated runs of one example are not
independent of each other, and are averaged first.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Difference", "Interval", "bootstrap_interval", "holm", "mcnemar", "paired_difference", "wilson_interval"]

RESAMPLES = 2000
EXACT = 12


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and where the true one is likely to be.

    Attributes:
        mean: of what was measured.
        low: the lower end.
        high: the upper end.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better the second of two runs is.

    Attributes:
        mean: the mean of the differences; above 0 if the second is higher.
        low: the lower end of the interval.
        high: the upper end.
        p_value: how likely so large a difference is, either way, if there is none.
    """

    mean: float
    low: float
    high: float
    p_value: float


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the interval of a share, which stays between 0 and 1 and holds for few trials.

    ```python
    >>> interval = wilson_interval(8, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.49, 0.943)

    ```

    Raises:
        ValueError: there are no trials, or more successes than trials.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"need 0 <= successes <= trials and trials >= 1, got {successes!r} of {trials!r}")
    z = NormalDist().inv_cdf((1 + _checked(confidence)) / 2)
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    # At the ends of the scale the arithmetic is exact only on paper.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Interval(share, low, high)


def bootstrap_interval(
    values: Sequence[float], confidence: float = 0.95, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the interval of a mean by resampling: percentiles of the means of random draws with replacement.

    With fewer than ten values it is too narrow; of one value it is that value.

    ```python
    >>> bootstrap_interval([1.0, 1.0, 1.0])
    Interval(mean=1.0, low=1.0, high=1.0)

    ```

    Raises:
        ValueError: there are no values.

    Source: B. Efron, "Bootstrap methods: another look at the jackknife", 1979.
    """
    means = _resampled(values, resamples, seed)
    low, high = _ends(means, confidence)
    return Interval(fmean(values), low, high)


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    confidence: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare two runs over the same examples, in the same order.

    The interval is a bootstrap of the differences. The p-value is that of a permutation test: without a difference each
    of the two values of an example might as well be the other's, so the share of all ways to swap them that are at
    least as far from 0 as what was seen. Up to 12 examples all ways are looked at, of more a random choice. A bootstrap
    would call a difference of four examples significant, which it cannot be: one way in eight looks like it.

    ```python
    >>> paired_difference([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    Difference(mean=0.0, low=0.0, high=0.0, p_value=1.0)
    >>> paired_difference([0.0, 0.0, 0.0, 0.0], [0.9, 0.8, 1.0, 0.7]).p_value
    0.125

    ```

    Raises:
        ValueError: there are no values, or not as many of one as of the other.

    Source: R. A. Fisher, "The Design of Experiments", 1935, section 21.
    """
    if len(first) != len(second):
        raise ValueError(f"runs to compare need the same examples, got {len(first)} and {len(second)}")
    differences = [b - a for a, b in zip(first, second, strict=True)]
    low, high = _ends(_resampled(differences, resamples, seed), confidence)
    return Difference(fmean(differences), low, high, _permutation(differences, resamples, seed))


def _permutation(differences: Sequence[float], resamples: int, seed: int) -> float:
    moved = [difference for difference in differences if difference]  # the others are the same either way
    seen = abs(math.fsum(moved)) * (1 - 1e-12)
    if not moved:
        return 1.0
    if len(moved) <= EXACT:
        sums = (math.fsum(signs) for signs in itertools.product(*((value, -value) for value in moved)))
        return sum(abs(total) >= seen for total in sums) / 2 ** len(moved)
    bits = random.Random(seed).getrandbits
    extreme = 0
    for _ in range(resamples):
        signs = bits(len(moved))
        total = math.fsum(value if signs >> place & 1 else -value for place, value in enumerate(moved))
        extreme += abs(total) >= seen
    return (extreme + 1) / (resamples + 1)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Return the p-value of the exact McNemar test: whether two runs pass equally often.

    Only examples that one passes and the other does not count; without a difference each way is as likely.

    ```python
    >>> mcnemar([False] * 6, [True] * 6)
    0.03125

    ```

    Raises:
        ValueError: there are not as many of one as of the other.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions", 1947.
    """
    if len(first) != len(second):
        raise ValueError(f"runs to compare need the same examples, got {len(first)} and {len(second)}")
    lost = sum(a and not b for a, b in zip(first, second, strict=True))
    won = sum(b and not a for a, b in zip(first, second, strict=True))
    trials = lost + won
    # In whole numbers: 2**trials is beyond a float from 1,024 on.
    tail = ways = 1
    for k in range(min(lost, won)):
        ways = ways * (trials - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**trials)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values as they count when so many were looked at: one in twenty is below 0.05 by chance.

    ```python
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]

    ```

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is between 0 and 1, such as 0.95, not {confidence!r}")
    return confidence


def _resampled(values: Sequence[float], resamples: int, seed: int) -> list[float]:
    if not values or resamples < 1:
        raise ValueError(f"need a value and a resample or more, got {len(values)} and {resamples!r}")
    if min(values) == max(values):
        return [values[0]] * resamples
    draw, count = random.Random(seed).choices, len(values)
    return sorted(math.fsum(draw(values, k=count)) / count for _ in range(resamples))


def _ends(means: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return the ends of the middle of sorted means, between two where they fall between them."""
    tail = (1 - _checked(confidence)) / 2
    return _quantile(means, tail), _quantile(means, 1 - tail)


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
