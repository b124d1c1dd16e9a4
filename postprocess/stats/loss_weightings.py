"""The weightings of a sweep over loss weights: their errors, ranks, Pareto fronts, correlations."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from inr.quantities import QUANTITIES
from postprocess.intervals import DRAWS, Interval, percentile_limits, resample, worst_if_missing
from postprocess.stats import ranking
from postprocess.stats.fields import WEIGHT_COLUMNS, weights_text

MANY = 12  # weightings from which on they are a study of their own
OVERALL = ranking.OVERALL.label
NAMES = {q: score.label for q, score in zip(QUANTITIES, ranking.ERRORS, strict=True)}
_SCORES = (*ranking.ERRORS, ranking.OVERALL)


@dataclass(frozen=True)
class Weightings:
    """Every distinct weighting with its errors.

    These are the normalised errors of the four quantities and, last, their geometric mean: 10 to
    the power of the interquartile mean of log10 over the runs of the weighting. Infinite where
    runs failed.
    """

    names: tuple[str, ...]  # each weighting as text, in task order
    weights: np.ndarray  # [weighting, quantity]
    errors: np.ndarray  # [weighting, error]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def ranks(self) -> np.ndarray:
        """Rank of each weighting on each error, 1 is best, [weighting, error]; equals share it."""
        return np.asarray(rankdata(self.errors, method="min", axis=0))

    def best(self, error: int, count: int) -> list[int]:
        """The ``count`` best weightings on one error that have a finite one, best first."""
        order = np.argsort(self.errors[:, error], kind="stable")
        return [int(i) for i in order[:count] if np.isfinite(self.errors[i, error])]

    def front(self, first: int, second: int) -> list[int]:
        """The Pareto front of two errors, by the first: no weighting is better on both.

        Of weightings that are equal on both, the first is in it.
        """
        pairs = self.errors[:, [first, second]]
        found: list[int] = []
        lowest = np.inf
        for i in np.lexsort((pairs[:, 1], pairs[:, 0])):
            if np.isfinite(pairs[i]).all() and pairs[i, 1] < lowest:
                found.append(int(i))
                lowest = pairs[i, 1]
        return found

    @cached_property
    def influence(self) -> dict[tuple[int, int], Interval]:
        r"""Spearman's rank correlation of each weight with each error, by (weight, error).

        .. math:: \rho = \mathrm{corr}(\mathrm{rank}(w), \mathrm{rank}(e)),

        with the mean rank for equal values: weights of 0 are the lowest, failed runs the highest
        error. Intervals resample the weightings and rank anew. Weights that do not vary have
        none.
        """
        drawn = resample(len(self), DRAWS, np.random.default_rng(0))
        weights, errors = self.weights, worst_if_missing(self.errors)
        estimates = rank_correlations(weights[None], errors[None])[0]
        limits = percentile_limits(rank_correlations(weights[drawn], errors[drawn]))
        table = np.stack([estimates, *limits], axis=-1)
        varied = np.ptp(weights, axis=0) > 0
        return {(w, e): Interval(*table[w, e]) for w, e in np.ndindex(estimates.shape) if varied[w]}


def find_weightings(runs: pd.DataFrame) -> Weightings:
    """Gather ``runs`` that have results by their weighting, whatever else differs between them."""
    if not set(WEIGHT_COLUMNS) <= set(runs.columns):
        return Weightings((), np.empty((0, len(QUANTITIES))), np.empty((0, len(_SCORES))))
    groups = ranking.add_scores(runs).groupby([*WEIGHT_COLUMNS], sort=False)
    errors = groups.agg({score.column: score.middle for score in _SCORES})
    names = tuple(map(weights_text, errors.index))
    return Weightings(names, np.array([*errors.index], dtype=float), errors.to_numpy())


def rank_correlations(weights: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Spearman's correlations of resamples [draw, weighting, ...]: [draw, weight, error].

    0 where a resample holds one value only.
    """
    ranked = [rankdata(table, axis=1) for table in (weights, errors)]
    x, y = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in ranked)
    products = np.einsum("dnw,dne->dwe", x, y)
    norms = np.sqrt((x**2).sum(axis=1)[:, :, None] * (y**2).sum(axis=1)[:, None, :])
    return np.asarray(np.divide(products, norms, out=np.zeros_like(products), where=norms > 0))
