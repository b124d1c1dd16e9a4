"""Statistics over runs: closed forms, brute force, and coverage where the truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postprocess.intervals import (
    FEW,
    Interval,
    bootstrap_interval,
    interquartile_mean,
    probability_of_improvement,
)

NUMBERS = st.floats(-1e3, 1e3, allow_subnormal=False)
SAMPLES = st.lists(NUMBERS, min_size=1, max_size=30)

MEANS = {
    "one": ([7.0], 7.0),
    "two": ([1.0, 3.0], 2.0),
    "three": ([0.0, 6.0, 18.0], 8.0),
    "four": ([-100.0, 1.0, 3.0, 1e9], 2.0),
    "seven": ([9.0, 0, 1, 2, 3, 4, -5], (0 + 1 + 2 + 3 + 4) / 5),
    "eight": ([9.0, 0, 1, 2, 3, 4, 5, -5], (1 + 2 + 3 + 4) / 4),
    "nan-counts-as-worst": ([math.nan, 1.0, 3.0, 0.0], 2.0),
    "worst-in-the-middle": ([1.0, 2.0, math.nan], math.inf),
    "best-outside": ([-math.inf, 1.0, 3.0, 5.0], 2.0),
    "best-and-worst": ([-math.inf, math.nan], math.inf),
    "all-failed": ([math.nan, math.inf], math.inf),
}


@pytest.mark.parametrize(("values", "expected"), MEANS.values(), ids=MEANS)
def test_interquartile_mean_of_few_values(values, expected):
    assert interquartile_mean(values) == pytest.approx(expected)


@given(SAMPLES, st.floats(0.1, 10), NUMBERS, st.randoms())
def test_interquartile_mean_follows_shift_and_scale_but_not_order(values, scale, shift, random):
    mean = interquartile_mean(values)
    shuffled = random.sample(values, len(values))
    moved = [scale * value + shift for value in shuffled]
    assert interquartile_mean(moved) == pytest.approx(scale * mean + shift, abs=1e-6)
    assert min(values) - 1e-9 <= mean <= max(values) + 1e-9


def test_interquartile_mean_along_an_axis():
    table = np.random.default_rng(0).normal(size=(5, 7))
    expected = [interquartile_mean(column) for column in table.T]
    np.testing.assert_allclose(interquartile_mean(table, axis=0), expected)


def test_intervals_cover_a_known_interquartile_mean():
    """Of exponential variables: 2 x the integral of -ln(u) from 1/4 to 3/4."""

    def integral(u: float) -> float:
        return u - u * math.log(u)

    truth = 2 * (integral(0.75) - integral(0.25))
    rng = np.random.default_rng(1)
    studies = 400
    covered = 0
    for study in range(studies):
        strata = rng.exponential(size=(2, 20))
        found = bootstrap_interval(list(strata), interquartile_mean, draws=400, seed=study)
        covered += found.low <= truth <= found.high
    # three standard errors of the count, and the known deficit of percentile intervals
    assert 0.90 <= covered / studies <= 0.985


def test_probability_of_improvement_covers_a_known_one():
    """P(X < Y) = Phi(shift / sqrt 2) for normal variables."""
    shift, truth, studies = 0.7, 0.5 * (1 + math.erf(0.7 / 2)), 300
    rng = np.random.default_rng(2)
    covered = 0
    for study in range(studies):
        x, y = rng.normal(size=(2, 25)), rng.normal(shift, size=(2, 15))
        found = probability_of_improvement(list(x), list(y), draws=400, seed=study)
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / studies <= 0.985


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8])
def test_interval_of_few_runs_is_their_range(count):
    found = bootstrap_interval([np.arange(count)], interquartile_mean)
    assert found.estimate == pytest.approx((count - 1) / 2)
    assert ((found.low, found.high) == (0, count - 1)) == (count <= FEW)


def test_resampling_stays_inside_the_strata():
    """Strata that differ a lot, each without spread: nothing can vary."""
    scores = [[0.0] * 5, [100.0] * 5]
    assert bootstrap_interval(scores, interquartile_mean) == Interval(50.0, 50.0, 50.0)
    pooled = bootstrap_interval([np.concatenate(scores)], interquartile_mean)
    assert pooled.high - pooled.low > 10


def test_any_reduction_can_be_the_statistic():
    values = np.random.default_rng(0).normal(size=50)
    found = bootstrap_interval([values], np.median)
    assert found.estimate == np.median(values)
    assert found.low < found.estimate < found.high


def test_failed_runs_widen_the_interval_to_infinity():
    found = bootstrap_interval([[1.0, 1.1, 1.2, 1.3, math.nan]], interquartile_mean)
    assert found.estimate == pytest.approx(1.2)
    assert math.isfinite(found.low)
    assert found.high == math.inf


PROBABILITIES = {
    "always": ([[1, 2]], [[3, 4, 5]], 1.0),
    "never": ([[3, 4]], [[1, 2]], 0.0),
    "equal": ([[1, 1]], [[1]], 0.5),
    "half": ([[1, 4]], [[2, 3]], 0.5),
    "failed": ([[1, 2]], [[math.nan]], 1.0),
    "both-failed": ([[math.nan]], [[math.inf]], 0.5),
    "strata-count-alike": ([[1] * 9, [3]], [[2], [2] * 9], 0.5),
}


@pytest.mark.parametrize(("x", "y", "expected"), PROBABILITIES.values(), ids=PROBABILITIES)
def test_probability_of_improvement_of_few_runs(x, y, expected):
    assert probability_of_improvement(x, y, draws=10).estimate == pytest.approx(expected)


@settings(max_examples=40)
@given(st.lists(st.tuples(SAMPLES, SAMPLES), min_size=1, max_size=3))
def test_one_of_two_is_better(strata):
    x, y = zip(*strata, strict=True)
    one = probability_of_improvement(x, y, draws=20)
    other = probability_of_improvement(y, x, draws=20)
    assert one.estimate + other.estimate == pytest.approx(1)
    assert 0 <= one.low <= one.high <= 1 + 1e-12


def test_same_scores_give_the_same_interval():
    values = np.random.default_rng(0).normal(size=12)
    first, second = (bootstrap_interval([values], interquartile_mean, seed=3) for _ in range(2))
    assert first == second
    assert first != bootstrap_interval([values], interquartile_mean, seed=4)


def test_a_monotone_function_of_an_interval():
    interval = Interval(1.0, 0.0, 2.0)
    assert interval.map(lambda value: 10**value) == Interval(10, 1, 100)
    assert interval.map(lambda value: -value) == Interval(-1, -2, 0)


BAD = {
    "no-stratum": lambda: bootstrap_interval([], interquartile_mean),
    "empty-stratum": lambda: bootstrap_interval([[1.0], []], interquartile_mean),
    "no-values": lambda: interquartile_mean([]),
    "other-strata": lambda: probability_of_improvement([[1.0]], [[1.0], [2.0]]),
}


@pytest.mark.parametrize("call", BAD.values(), ids=BAD)
def test_nothing_to_estimate_is_refused(call):
    with pytest.raises(ValueError, match=r"at least one|must be the same"):
        call()
