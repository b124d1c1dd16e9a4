"""``settings.csv``: what every setting of a sweep comes to, over its seeds."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from inr.quantities import QUANTITIES
from inr.results import HELDOUT as POINTS
from postprocess.dataset.run_reader import READABLE
from postprocess.intervals import FEW, Interval
from postprocess.stats.factors import find_variation
from postprocess.stats.ranking import OVERALL

TRAINED = "pixels"  # the set of points that the runs were trained on


def settings_table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each setting, set of points and error, from the rows of ``/runs``.

    Of several targets each has rows of its own. The fields that vary; ``points``: ``pixels``, or a
    set of `inr.results.HELDOUT`; ``error``: a quantity's over its variance, or ``overall``, their
    geometric mean; ``estimate``: the interquartile mean over seeds, of logarithms; ``low`` and
    ``high`` with what they are as ``interval``; ``n`` runs with results, of which ``finite`` have a
    finite error. Estimates are empty if the runs that diverged reach the middle half.
    """
    variation = find_variation(runs)
    table, rows = _with_overall(runs), []
    parts = variation.by_target(table) if variation.target else {"": table}
    for target, members in parts.items():
        levels = variation.select(members.index).levels  # a column for each axis
        by = [levels[key] for key in levels] or np.zeros(len(members))
        wanted = {variation.target.key: target} if variation.target else {}
        for _, own in members.groupby(by, sort=False):
            fields = wanted | levels.loc[own.index[0]].to_dict()
            rows += [fields | row for row in _errors(own)]
    return pd.DataFrame(rows)


def _columns() -> dict[tuple[str, str], str]:
    """Where each error on each set of points stands, in the order of the table."""
    names = {OVERALL.column: OVERALL.column} | {q: f"nmse_{q}" for q in QUANTITIES}
    return {
        (points, error): name if points == TRAINED else f"{points}_{name}"
        for points in (TRAINED, *POINTS)
        for error, name in names.items()
    }


def _with_overall(runs: pd.DataFrame) -> pd.DataFrame:
    columns, added = _columns(), {}
    for points in (TRAINED, *POINTS):
        errors = runs.reindex(columns=[columns[points, quantity] for quantity in QUANTITIES])
        with np.errstate(divide="ignore"):  # an error of 0
            mean = np.log(errors.astype(float)).mean(axis=1, skipna=False)
            added[columns[points, OVERALL.column]] = np.exp(mean)
    return runs.reindex(columns=[*runs, *(set(columns.values()) - {*runs})]).assign(**added)


def _errors(runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    columns = _columns()
    known = runs["status"].isin(READABLE).to_numpy()
    numbers = runs[[*columns.values()]].to_numpy(float)[known]
    for (points, error), values in zip(columns, numbers.T, strict=True):
        yield {"points": points, "error": error} | _summary(values)


def _summary(values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    found = Interval(np.nan, np.nan, np.nan)
    if len(values) > FEW:
        found = OVERALL.interval(values)
    elif len(finite):
        middle = OVERALL.middle(values) if len(values) > 1 else finite[0]
        found = Interval(middle, finite.min(), finite.max())
    numbers = {name: each if np.isfinite(each) else np.nan for name, each in vars(found).items()}
    kind = "95 % bootstrap" if len(values) > FEW else "range"
    return numbers | {"interval": kind, "n": len(values), "finite": len(finite)}
