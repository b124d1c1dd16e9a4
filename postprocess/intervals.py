r"""Estimates from few runs, with intervals.

The statistics are those that Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of
the Statistical Precipice", https://arxiv.org/abs/2108.13264, recommend for a handful of runs.

Scores are errors: smaller is better. A run without a finite score failed, and failing is worse
than any number: NaN counts as plus infinity. Nothing is dropped, so a setting cannot look good
because its bad runs diverged; an estimate that rests on failed runs is infinite itself. Scores
of which larger ones are better go in with their sign changed.

Compare errors of different magnitude by their logarithms: 10 to the power of the interquartile
mean of log10 is a typical error, whereas a mean of the errors themselves is that of the worst run.

Intervals are as good as the number of runs allows. Of 27 resamples of three runs one repeats the
smallest run only: up to four runs of one setting, the 95 % interval of their interquartile mean
is their range. A true median lies outside the range of three runs in one case of four.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import trim_mean

DRAWS = 2000  # resamples
LEVEL = 0.95
FEW = 4  # runs, up to which the interval of their interquartile mean is their range

Statistic = Callable[..., Any]  # like `np.median`: called as statistic(values, axis=-1)


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval around it."""

    estimate: float
    low: float
    high: float

    def map(self, function: Callable[[float], float]) -> "Interval":
        """The interval of a monotone ``function`` of what was estimated."""
        low, high = sorted((function(self.low), function(self.high)))
        return Interval(function(self.estimate), low, high)

    def overlaps(self, other: "Interval") -> bool:
        """True when the intervals have a point in common."""
        return self.low <= other.high and other.low <= self.high


@overload
def interquartile_mean(values: ArrayLike) -> float: ...
@overload
def interquartile_mean(values: ArrayLike, axis: int) -> np.ndarray: ...
def interquartile_mean(values: ArrayLike, axis: int | None = None) -> float | np.ndarray:
    """Mean of the middle half of the values.

    A quarter of the values, rounded down to whole ones, is cut off at each end:
    ``scipy.stats.trim_mean(values, 0.25)``, as Agarwal et al. have it. Of up to three values it is
    their mean.

    Args:
        values: Scores; NaN counts as plus infinity. The result is infinite when an infinite value
            lies in the middle half.
        axis: The axis of the runs; all of them by default.

    Raises:
        ValueError: there are no values.
    """
    array = worst_if_missing(values)
    array = array.reshape(-1) if axis is None else np.moveaxis(array, axis, -1)
    if array.shape[-1] == 0:
        raise ValueError("interquartile mean of no values: at least one is needed")
    with np.errstate(invalid="ignore"):  # infinitely good and infinitely bad runs
        means = worst_if_missing(trim_mean(array, 0.25, axis=-1))
    return float(means) if axis is None else means


def bootstrap_interval(
    scores: Sequence[ArrayLike], statistic: Statistic, *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """95 % percentile interval of a statistic by the stratified bootstrap.

    Runs are drawn with replacement inside each stratum, so that every resample has as many runs
    of each as there were; the statistic is that of all strata together, as in Agarwal et al.

    Args:
        scores: One array [run] for each stratum, for example one for each image or activation.
            NaN counts as plus infinity.
        statistic: Reduces the last axis, like ``np.median``: called with ``axis=-1``.
        draws: Number of resamples.
        seed: Of the random numbers: the same scores give the same interval.

    Raises:
        ValueError: a stratum, or the list of them, is empty.
    """
    strata = _strata(scores)
    rng = np.random.default_rng(seed)
    resampled = [stratum[resample(len(stratum), draws, rng)] for stratum in strata]
    low, high = percentile_limits(statistic(np.concatenate(resampled, axis=-1), axis=-1))
    return Interval(float(statistic(np.concatenate(strata), axis=-1)), float(low), float(high))


def probability_of_improvement(
    x_scores: Sequence[ArrayLike],
    y_scores: Sequence[ArrayLike],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    r"""How probably a run of X has a smaller score than a run of Y, averaged over strata.

    .. math:: P = \frac{1}{M} \sum_m \frac{1}{N_m K_m} \sum_{i,j} S(x_{m,i}, y_{m,j}),

    where S is 1 when x is smaller, 1/2 when both are equal and 0 otherwise: the statistic of Mann
    and Whitney in each of M strata. The interval resamples the runs of X and those of Y inside
    each stratum, independently. With one run of each in every stratum it has no width.

    Args:
        x_scores: One array [run] for each stratum. NaN counts as plus infinity.
        y_scores: The same strata in the same order; the number of runs may differ.
        draws: Number of resamples.
        seed: Of the random numbers.

    Raises:
        ValueError: the strata do not correspond, or one is empty.
    """
    if len(x_scores) != len(y_scores):
        raise ValueError(f"{len(x_scores)} strata of X and {len(y_scores)} of Y: must be the same")
    rng = np.random.default_rng(seed)
    estimates, resampled = [], []
    for x, y in zip(_strata(x_scores), _strata(y_scores), strict=True):
        wins = (x[:, None] < y) + 0.5 * (x[:, None] == y)
        estimates.append(wins.mean())
        # how often each run was drawn says all about a resample
        x_counts, y_counts = (
            rng.multinomial(count, np.full(count, 1 / count), draws) for count in wins.shape
        )
        resampled.append(((x_counts @ wins) * y_counts).sum(axis=-1) / wins.size)
    low, high = percentile_limits(np.mean(resampled, axis=0))
    return Interval(float(np.mean(estimates)), float(low), float(high))


def resample(count: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Which of ``count`` runs are in each resample, [draw, run]."""
    return rng.integers(count, size=(draws, count))


def percentile_limits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Limits of the 95 % percentile interval from the statistic of each resample [draw, ...].

    They are values that occur: between a number and infinity there is nothing to interpolate.
    """
    tail = (1 - LEVEL) / 2
    low = np.quantile(values, tail, axis=0, method="lower")
    high = np.quantile(values, 1 - tail, axis=0, method="higher")
    return low, high


def worst_if_missing(values: ArrayLike) -> np.ndarray:
    """The values as floats, with plus infinity for NaN."""
    array = np.asarray(values, dtype=float)
    return np.where(np.isnan(array), np.inf, array)


def _strata(scores: Sequence[ArrayLike]) -> list[np.ndarray]:
    strata = [worst_if_missing(stratum).reshape(-1) for stratum in scores]
    if not strata or any(stratum.size == 0 for stratum in strata):
        raise ValueError("a stratum without runs: every stratum needs at least one score")
    return strata
