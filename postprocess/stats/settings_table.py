"""``settings.csv``: what every setting of a sweep comes to, over its seeds."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from inr.quantities import QUANTITIES
from inr.results import HELDOUT as POINTS
from postprocess.dataset.run_reader import READABLE
from postprocess.intervals import FEW, Interval
from postprocess.stats.factors import Axis
from postprocess.stats.ranking import OVERALL, Score, Setting, rank, score_of

TRAINED = "pixels"  # the set of points that the runs were trained on


def settings_table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each setting, set of points and error, from the rows of ``/runs``.

    Of several targets each has rows of its own. The fields that vary; ``points``: ``pixels``, or a
    set of `inr.results.HELDOUT`; ``error``: a quantity's over its variance, or ``overall``, their
    geometric mean; ``estimate``: the interquartile mean over seeds, of logarithms; ``low`` and
    ``high`` with what they are as ``interval``; ``n`` runs with results, of which ``finite`` have a
    finite error. Estimates are empty if the runs that diverged reach the middle half.
    """
    ranking = rank(runs)
    rows = [
        fields | row
        for target, part in (ranking.targets or {"": ranking}).items()
        for setting in part.settings
        for fields in [_fields(ranking.variation.target, target, part.variation.axes, setting)]
        for row in _errors(setting)
    ]
    return pd.DataFrame(rows)


def _fields(
    target: Axis | None, level: str, axes: tuple[Axis, ...], setting: Setting
) -> dict[str, str]:
    wanted = {target.key: level} if target else {}
    return wanted | {axis.key: value for axis, value in zip(axes, setting.levels, strict=True)}


def _errors(setting: Setting) -> Iterator[dict[str, Any]]:
    runs = setting.runs[setting.runs["status"].isin(READABLE)]
    for points in (TRAINED, *POINTS):
        prefix = "" if points == TRAINED else f"{points}_"
        errors = runs.reindex(columns=[f"{prefix}nmse_{quantity}" for quantity in QUANTITIES])
        with np.errstate(divide="ignore"):  # an error of 0
            overall = np.exp(np.log(errors.astype(float)).mean(axis=1, skipna=False))
        columns = {OVERALL.column: overall} | dict(zip(QUANTITIES, errors.T.values, strict=True))
        for name, values in columns.items():
            score = OVERALL if name == OVERALL.column else score_of(f"nmse_{name}")
            yield {"points": points, "error": name} | _summary(score, np.asarray(values, float))


def _summary(score: Score, values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    found = Interval(np.nan, np.nan, np.nan)
    if len(finite):
        found = Interval(score.middle(values), finite.min(), finite.max())
        if len(values) > FEW:
            found = score.interval(values)
    numbers = {
        name: number if np.isfinite(number) else np.nan for name, number in vars(found).items()
    }
    kind = "95 % bootstrap" if len(values) > FEW else "range"
    return numbers | {"interval": kind, "n": len(values), "finite": len(finite)}
