"""Intervals and tests, against known values and against scipy."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.evals import bootstrap_interval, holm, mcnemar, paired_difference, wilson_interval


def mean(values: Any, axis: int) -> Any:
    """Return the mean of an array."""
    return values.mean(axis=axis)


def total(first: Any, second: Any, axis: int) -> Any:
    """Return the sum of the differences of two arrays."""
    return (first - second).sum(axis=axis)


@pytest.fixture(scope="module")
def stats() -> Any:
    """Return scipy's statistics."""
    return pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_against_published_values(successes: int, trials: int, low: float, high: float) -> None:
    """The interval has the values that tables give (the last is Newcombe's example)."""
    found = wilson_interval(successes, trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)
    assert found.mean == successes / trials


@given(trials=st.integers(1, 500), data=st.data(), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_against_scipy(trials: int, data: Any, confidence: float) -> None:
    """The interval is scipy's, for any share."""
    from scipy.stats import binomtest  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    successes = data.draw(st.integers(0, trials))
    theirs: Any = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    found = wilson_interval(successes, trials, confidence)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_bootstrap_against_scipy(stats: Any) -> None:
    """The interval of a mean is scipy's percentile bootstrap, within what chance allows."""
    dice = random.Random(3)
    values = [dice.gauss(5, 2) for _ in range(60)]
    theirs = stats.bootstrap((values,), mean, method="percentile", n_resamples=20_000)
    found = bootstrap_interval(values, resamples=10_000)
    ends = theirs.confidence_interval
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=0.05)


def test_the_bootstrap_covers_what_it_says() -> None:
    """Of 200 samples with a known mean, about 95 % of the intervals hold it."""
    dice = random.Random(11)
    held = 0
    for seed in range(200):
        found = bootstrap_interval([dice.random() for _ in range(40)], resamples=400, seed=seed)
        held += found.low <= 0.5 <= found.high
    assert 180 <= held <= 198


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_mcnemar_against_scipy(pairs: list[tuple[bool, bool]]) -> None:
    """The exact test is scipy's binomial test of the pairs that differ."""
    from scipy.stats import binomtest  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    won = sum(b and not a for a, b in pairs)
    lost = sum(a and not b for a, b in pairs)
    theirs: Any = binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert mcnemar([a for a, _ in pairs], [b for _, b in pairs]) == pytest.approx(theirs)


def test_mcnemar_of_many() -> None:
    """Thousands of pairs are no overflow."""
    assert mcnemar([False] * 3000, [True] * 3000) < 1e-300
    assert mcnemar([True, False] * 2000, [False, True] * 2000) == 1.0


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_small_differences_are_tested_exactly(differences: list[int]) -> None:
    """Of few examples the p-value is scipy's exact permutation test."""
    from scipy.stats import permutation_test  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    zeros = [0.0] * len(differences)
    found = paired_difference(zeros, [float(value) for value in differences], resamples=50)
    moved = [float(value) for value in differences if value]
    if not moved:
        assert found.p_value == 1.0
    elif len(moved) > 1:
        theirs: Any = permutation_test(
            (moved, [0.0] * len(moved)), total, permutation_type="samples", vectorized=True, n_resamples=10_000
        )
        # scipy doubles the smaller side; of sums that are symmetric around 0 that is the same.
        assert found.p_value == pytest.approx(float(theirs.pvalue), abs=1e-9)


def test_many_differences_are_sampled() -> None:
    """Of many examples a clear difference is significant, and none is none."""
    dice = random.Random(5)
    before = [dice.random() for _ in range(200)]
    same = [value + dice.gauss(0, 0.3) for value in before]
    better = [value + 0.3 + dice.gauss(0, 0.3) for value in before]
    assert paired_difference(before, same).p_value > 0.05
    found = paired_difference(before, better)
    assert found.p_value < 0.002
    assert found.low < 0.3 < found.high
    assert paired_difference(before, better) == found  # the same each time


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Without any difference, one comparison in twenty is called significant, even of few examples."""
    dice = random.Random(2)
    alarms = 0
    for seed in range(400):
        before = [dice.gauss(0, 1) for _ in range(8)]
        after = [dice.gauss(0, 1) for _ in range(8)]
        alarms += paired_difference(before, after, resamples=200, seed=seed).p_value < 0.05
    assert alarms <= 34  # 5 % are 20; three standard deviations more


def test_holm_against_published_values() -> None:
    """The adjusted values are those of R's `p.adjust(…, "holm")`."""
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    assert holm([]) == []


def test_numbers_that_make_no_sense() -> None:
    """Too little, or not as many of one as of the other, is refused."""
    for call in (
        lambda: wilson_interval(1, 0),
        lambda: wilson_interval(3, 2),
        lambda: wilson_interval(1, 2, 1.0),
        lambda: bootstrap_interval([]),
        lambda: bootstrap_interval([1.0], resamples=0),
        lambda: paired_difference([1.0], []),
        lambda: mcnemar([True], []),
    ):
        with pytest.raises(ValueError, match=r"need|confidence"):
            call()
