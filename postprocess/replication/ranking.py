"""Which setting is best, with intervals: the comparisons that the study's text is made of."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from inr.quantities import METRICS, QUANTITIES
from postprocess.intervals import Interval, bootstrap_interval, interquartile_mean

OVERALL = "overall"  # mean of log10 of the four normalised errors
Verdict = Literal["holds", "does not hold", "cannot be decided"]


@dataclass(frozen=True)
class Entry:
    """One setting and what its runs came to.

    Attributes:
        level: values of the compared fields; a single value is not wrapped.
        score: interquartile mean over the runs with its interval, in the metric's own unit.
        runs: how many.
    """

    level: Any
    score: Interval
    runs: int


def select(runs: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """Runs with these settings; the last part of a dotted name is enough."""
    for name, wanted in settings.items():
        column = next(c for c in runs.columns if c == name or c.endswith(f".{name}"))
        runs = runs[runs[column].isin(wanted if isinstance(wanted, (list, tuple)) else [wanted])]
    return runs


def scores(runs: pd.DataFrame, metric: str) -> np.ndarray:
    """What is averaged, smaller being better: log10 of errors, minus SSIM or PSNR.

    ``overall`` and ``heldout_overall`` are the mean of log10 of the four normalised errors. A
    diverged run has plus infinity.
    """
    prefix, name = _split(metric)
    with np.errstate(divide="ignore", invalid="ignore"):
        if name == OVERALL:
            columns = [f"{prefix}nmse_{quantity}" for quantity in QUANTITIES]
            values = np.log10(runs[columns].to_numpy(float)).mean(axis=1)
        elif METRICS[name].higher_is_better:
            values = -runs[metric].to_numpy(float)
        else:
            values = np.log10(runs[metric].to_numpy(float))
    failed = (runs["status"] != "complete").to_numpy() | np.isnan(values)
    return np.where(failed, np.inf, values)


def typical(runs: pd.DataFrame, metric: str) -> Interval:
    """Interquartile mean of a metric over runs with a 95 % bootstrap interval, in its own unit."""
    found = bootstrap_interval([scores(runs, metric)], interquartile_mean)
    if _higher_is_better(metric):
        return found.map(lambda score: -score)
    return found.map(lambda score: 10.0**score)


def rank(runs: pd.DataFrame, by: Sequence[str], metric: str) -> list[Entry]:
    """Settings from best to worst."""
    columns = [next(c for c in runs.columns if c == n or c.endswith(f".{n}")) for n in by]
    entries = [
        Entry(_level(key), typical(group, metric), len(group))
        for key, group in runs.groupby(columns, sort=False)
    ]
    sign = -1 if _higher_is_better(metric) else 1
    return sorted(entries, key=lambda entry: sign * entry.score.estimate)


def find(ranking: Sequence[Entry], level: Any) -> Entry:
    """The entry of one setting."""
    return next(entry for entry in ranking if entry.level == level)


def is_best(ranking: Sequence[Entry], claimed: Any) -> Verdict:
    """Whether ``claimed`` is the best setting of a ranking.

    It holds when the claimed one is best and its interval touches no other; it does not hold when
    the best one's interval lies wholly on the better side of the claimed one's; else the runs
    cannot decide.
    """
    best = ranking[0]
    mine = find(ranking, claimed)
    if best.level == claimed:
        apart = all(not _overlap(mine.score, other.score) for other in ranking[1:])
        return "holds" if apart else "cannot be decided"
    return "cannot be decided" if _overlap(mine.score, best.score) else "does not hold"


def _overlap(a: Interval, b: Interval) -> bool:
    return a.low <= b.high and b.low <= a.high


def _level(key: Hashable) -> Any:
    return key[0] if isinstance(key, tuple) and len(key) == 1 else key


def _split(metric: str) -> tuple[str, str]:
    prefix = "heldout_" if metric.startswith("heldout_") else ""
    return prefix, metric.removeprefix(prefix)


def _higher_is_better(metric: str) -> bool:
    name = _split(metric)[1]
    return name != OVERALL and METRICS[name].higher_is_better
