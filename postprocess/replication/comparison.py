"""Settings beside each other: typical values, rankings, verdicts over paired seeds."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from inr.config import format_rate
from postprocess.intervals import Interval
from postprocess.stats.paired import LEVEL, compare, difference
from postprocess.stats.ranking import HELDOUT, OVERALL, Score, add_scores, score_of

# settings from best to worst: values of the compared fields, a single one not wrapped, with the
# interquartile mean over their runs in the metric's own unit
Ranking = dict[Any, Interval]


def level(key: Any) -> str:
    """A setting in words: ``uniform 1e-4``, ``sine (1, 0.01, 0.001, 0)``."""
    parts = key if isinstance(key, tuple) else (key,)
    return " ".join(part if isinstance(part, str) else format_rate(float(part)) for part in parts)


def costs(runs: pd.DataFrame, metric: str) -> np.ndarray:
    """`Score.costs` of a metric; a diverged run has plus infinity."""
    return _score(metric).costs(_known(runs, metric))


def typical(runs: pd.DataFrame, metric: str) -> Interval:
    """Interquartile mean of a metric over runs with a 95 % bootstrap interval, in its own unit."""
    return _score(metric).interval(_known(runs, metric))


def _score(metric: str) -> Score:
    return OVERALL if metric.endswith(("three", "overall")) else score_of(metric)


def _known(runs: pd.DataFrame, metric: str) -> pd.Series:
    return runs[metric].where(runs["status"] == "complete")


def rank(runs: pd.DataFrame, by: list[str], metric: str) -> Ranking:
    """Settings from best to worst."""
    groups = runs.groupby(by if len(by) > 1 else by[0], sort=False)
    found = {key: typical(group, metric) for key, group in groups}
    score = _score(metric)
    return dict(sorted(found.items(), key=lambda item: float(score.costs(item[1].estimate))))


def costs_by_seed(runs: pd.DataFrame, by: list[str], metric: str) -> pd.DataFrame:
    """`costs`, [setting in words, seed]: one seed is the same numbers and points for all."""
    keys = [runs[name] for name in (*by, "seed")]
    table = pd.Series(costs(runs, metric), runs.index).groupby(keys, sort=False).first().unstack()
    return table.rename(index=level) if len(by) == 1 else table.set_axis(map(level, table.index))


def verdict(costs: pd.DataFrame, claimed: Any) -> str:
    """Whether ``claimed`` is the best setting of ``costs`` [setting, seed].

    It holds when every other is worse, and does not hold when one is better, by paired t-tests
    over the seeds, corrected for the number of the others; else the runs cannot decide.
    """
    others = compare(costs, claimed)
    apart = others["p"] < LEVEL
    if (apart & (others["difference"] < 0)).any():
        return "does not hold"
    return "holds" if (apart & (others["difference"] > 0)).all() else "cannot be decided"


def place(ranking: Ranking, key: Any) -> int:
    """Place of a setting, 1 for the best; settings with equal scores share it."""
    return [each.estimate for each in ranking.values()].index(ranking[key].estimate) + 1


def places(ranking: Ranking, keys: Iterable[Any]) -> str:
    """Places of several settings: ``1, 5, 12``."""
    return ", ".join(str(place(ranking, key)) for key in keys)


def best_of(costs: pd.DataFrame) -> list[str]:
    """The setting with the lowest mean of ``costs`` [setting, seed], and those not apart from it.

    By paired t-tests over the seeds, corrected for the number of the others. A setting of which a
    run diverged is not among them.
    """
    first = str(costs.mean(axis=1).idxmin())
    others = compare(costs, first)
    return [first, *others.index[(others["p"] >= LEVEL) & np.isfinite(others["difference"])]]


def ratio(costs: pd.DataFrame, one: Any, other: Any) -> Interval:
    """How many times the error of ``other`` that of ``one`` is, paired by seed; 95 % interval."""
    middle, low, high, _ = difference(costs.loc[one], costs.loc[other])
    return Interval(middle, low, high).map(lambda cost: 10.0**cost)


def recipe_ratios(runs: pd.DataFrame) -> dict[str, tuple[Interval, int, int]]:
    """Errors of each reference over those of the recommended recipe, all four, held out.

    Paired by image, with a 95 % interval; then on how many images the recipe's are lower, and of
    how many.
    """
    kept = add_scores(runs)
    scores = pd.Series(costs(kept, HELDOUT.column), kept.index)
    table = scores.groupby([kept["recipe"], kept["data.image"]]).mean().unstack()
    recipe = table.loc["recommended"]
    return {
        str(name): (ratio(table, name, "recommended"), int((row > recipe).sum()), len(recipe))
        for name, row in table.drop("recommended").iterrows()
    }
