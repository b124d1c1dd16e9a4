"""How errors follow the weights of the loss: exponents, by least squares on logarithms."""

import numpy as np
import pandas as pd

from inr.quantities import QUANTITIES
from postprocess.intervals import DRAWS, Interval, percentile_limits, resample
from postprocess.replication.comparison import costs


def weight_slopes(runs: pd.DataFrame, metric: str) -> dict[str, Interval]:
    r"""How an error follows the weights: exponents, by quantity, and ``r2``.

    .. math:: \log_{10} e = a + \sum_q b_q \log_{10}(w_q / w_\mathrm{value}), \qquad
              b_\mathrm{value} = -\sum_q b_q,

    by least squares over the weightings without a 0, each with its mean over seeds: ten
    times the weight of q, the others as they are, goes with :math:`10^{b_q}` times the error.
    Intervals are 95 %, by resampling weightings. ``lead`` is by how much the lowest exponent
    is below the others: apart from all of them where its interval is above 0.
    """
    runs = runs[(runs[[*QUANTITIES]] > 0).all(axis=1)]
    means = pd.Series(costs(runs, metric), runs.index).groupby(runs["weights"]).mean()
    weights = runs.groupby("weights")[[*QUANTITIES]].first().loc[means.index]
    logs = np.log10(weights.to_numpy(float))
    ratios = np.column_stack([np.ones(len(logs)), logs[:, 1:] - logs[:, :1]])
    errors = means.to_numpy()

    def fit(chosen: np.ndarray) -> np.ndarray:  # [draw, weighting] -> [draw, number]
        x, y = ratios[chosen], errors[chosen][..., None]
        across = x.swapaxes(-1, -2)
        found = np.linalg.solve(across @ x, across @ y)
        explained = 1 - np.var(y - x @ found, axis=1) / np.var(y, axis=1)
        own = found[:, 1:, 0]
        return np.column_stack([-own.sum(axis=1), own, explained])

    once = fit(np.arange(len(errors))[None])
    drawn = fit(resample(len(errors), DRAWS, np.random.default_rng(0)))
    first = int(np.argmin(once[0, :-1]))

    def with_lead(found: np.ndarray) -> np.ndarray:
        others = np.delete(found[:, :-1], first, axis=1).min(axis=1)
        return np.column_stack([found, others - found[:, first]])

    limits = percentile_limits(with_lead(drawn))
    table = zip(*with_lead(once), *limits, strict=True)
    names = (*QUANTITIES, "r2", "lead")
    return {name: Interval(*map(float, row)) for name, row in zip(names, table, strict=True)}


def lowest(exponents: dict[str, Interval]) -> str:
    """The quantity whose weight lowers an error most."""
    return min(QUANTITIES, key=lambda quantity: exponents[quantity].estimate)
