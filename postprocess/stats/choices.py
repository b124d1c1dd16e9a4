"""What the error becomes with each level of an axis, everything else equal."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from postprocess.dataset.run_reader import READABLE
from postprocess.intervals import Interval
from postprocess.stats.ranking import Ranking, Score


@dataclass(frozen=True)
class Ratio(Interval):
    """Geometric mean of ratios of errors, with the smallest and the largest; NaN if none count."""

    count: int
    comparisons: int  # those that do not count included


def compare_levels(ranking: Ranking, key: str, score: Score) -> dict[str, Ratio]:
    r"""How many times the error of the best level each level of the axis ``key`` has, best first.

    A comparison b is a combination of levels of the other axes that was run with every level of
    this one; errors e are those of settings, over their seeds and targets. Level l has, with r
    the best level,

    .. math:: \Bigl(\prod_{b=1}^B e_{l,b} / e_{r,b}\Bigr)^{1/B}.

    Comparisons in which one of the two errors is not finite do not count. So that failing makes no
    level the best, that is the one with the fewest failures, then the lowest geometric mean.
    Nothing if there is no comparison, or one axis, of which the ranking itself tells.
    """
    axes = [axis.key for axis in ranking.variation.axes]
    run = [s for s in ranking.settings if s.runs["status"].isin(READABLE).any()]
    if len(axes) < 2 or not run:
        return {}
    index = pd.MultiIndex.from_tuples([setting.levels for setting in run], names=axes)
    costs = score.costs([setting.estimates[score.column].estimate for setting in run])
    table = pd.Series(costs, index).unstack(key).dropna()  # failures are infinite
    table = table.where(np.isfinite(table))
    if table.isna().all(axis=None):
        return {}
    order = sorted(table, key=lambda level: (table[level].isna().sum(), table[level].mean()))
    logs = table[order].sub(table[order[0]], axis=0)
    return {
        level: Ratio(
            estimate=score.value(own.mean()),
            low=score.value(own.min()),
            high=score.value(own.max()),
            count=int(own.count()),
            comparisons=len(own),
        )
        for level, own in logs.items()
    }
