"""The ranking of a sweep: a row for each combination of settings, statistics over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from inr.quantities import METRICS, QUANTITIES
from postprocess.dataset.run_reader import READABLE
from postprocess.intervals import interquartile_mean, worst_if_missing
from postprocess.stats.factors import Variation, find_variation

_FEWEST_LEVELS = 3  # with two levels, every one of them lies at an edge


@dataclass(frozen=True)
class Score:
    """A number by which settings are ranked."""

    column: str
    label: str
    explanation: str
    higher_is_better: bool = False


OVERALL = Score("overall", "over all", "geometric mean of the four errors")
ERRORS = tuple(
    Score(f"nmse_{q}", METRICS[f"nmse_{q}"].label.partition(" MSE")[0], METRICS[f"nmse_{q}"].label)
    for q in QUANTITIES
)
HELDOUT = Score(
    "heldout_overall",
    "over all, held out",
    "geometric mean of the four errors between pixels and frames, where nothing was trained",
)
PSNR = Score("psnr_value", "value PSNR (dB)", METRICS["psnr_value"].label, True)
AWARDS = (OVERALL, *ERRORS)  # for each of them the report names a best setting
SCORES = (*AWARDS, HELDOUT, PSNR)


@dataclass(frozen=True)
class Estimate:
    """A score over the runs of one setting; NaN where it is not finite."""

    middle: float  # interquartile mean, of logarithms for errors; diverged runs are the worst
    low: float  # smallest and largest finite value
    high: float
    finite: int
    runs: int

    def overlaps(self, other: Estimate) -> bool:
        """True when the ranges have a point in common."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Setting:
    """Runs that differ in nothing but the seed."""

    levels: tuple[str, ...]  # one for each axis that varies
    runs: pd.DataFrame  # rows of /runs, with the columns of `add_scores`
    estimates: dict[str, Estimate]  # by column of the score

    @property
    def typical(self) -> pd.Series:
        """The run nearest to the estimate over all; the first one if none is finite."""
        distance = (self.runs[OVERALL.column] - self.estimates[OVERALL.column].middle).abs()
        return self.runs.iloc[int(np.argmin(distance.fillna(np.inf)))]

    @property
    def status(self) -> str:
        """``complete``, or how many runs ended in which way."""
        counts = self.runs["status"].value_counts(sort=False)
        if len(counts) == 1:
            return str(counts.index[0])
        return ", ".join(f"{count} {status}" for status, count in counts.items())


@dataclass(frozen=True)
class Ranking:
    """All settings of a sweep, best over all first."""

    settings: Sequence[Setting]
    variation: Variation

    def ordered(self, score: Score) -> list[Setting]:
        """The settings that have a finite ``score``, best first."""
        finite = [s for s in self.settings if np.isfinite(s.estimates[score.column].middle)]
        sign = -1 if score.higher_is_better else 1
        return sorted(finite, key=lambda s: sign * s.estimates[score.column].middle)

    @cached_property
    def best(self) -> dict[str, Setting]:
        """The best setting by column of the score; without scores that no setting has."""
        ordered = ((score, self.ordered(score)) for score in SCORES)
        return {score.column: settings[0] for score, settings in ordered if settings}

    @property
    def replicated(self) -> bool:
        """True when a setting was run more than once."""
        return any(len(setting.runs) > 1 for setting in self.settings)

    def edges(self, setting: Setting) -> list[tuple[str, str, str]]:
        """Numbers of ``setting`` that are the smallest or largest tried: axis, level, which."""
        found = []
        for axis, level in zip(self.variation.axes, setting.levels, strict=True):
            if axis.numeric and len(axis.levels) >= _FEWEST_LEVELS:
                ends = {axis.levels[0]: "smallest", axis.levels[-1]: "largest"}
                if level in ends:
                    found.append((axis.label, level, ends[level]))
        return found


def rank(runs: pd.DataFrame) -> Ranking:
    """Group the rows of ``/runs`` into settings and rank them by the error over all.

    Settings without a finite one come last, in the order of their tasks.
    """
    variation = find_variation(runs)
    scored = add_scores(runs)
    keys = [axis.key for axis in variation.axes]
    groups = scored.groupby(
        [variation.levels[key] for key in keys] or np.zeros(len(runs)), sort=False
    )
    settings = []
    for _, members in groups:
        levels = tuple(variation.levels.loc[members.index[0], keys])
        settings.append(Setting(levels, members, estimate(members)))
    overall = worst_if_missing([setting.estimates[OVERALL.column].middle for setting in settings])
    order = np.argsort(overall, kind="stable")
    return Ranking([settings[place] for place in order], variation)


def add_scores(runs: pd.DataFrame) -> pd.DataFrame:
    """``runs`` with the errors over all; every column of `SCORES` is there, NaN if unknown."""
    added = {}
    for score, prefix in ((OVERALL, "nmse_"), (HELDOUT, "heldout_nmse_")):
        errors = runs.reindex(columns=[f"{prefix}{quantity}" for quantity in QUANTITIES])
        with np.errstate(divide="ignore"):  # an error of 0
            added[score.column] = np.exp(np.log(errors.astype(float)).mean(axis=1, skipna=False))
    return runs.assign(**added)


def estimate(runs: pd.DataFrame) -> dict[str, Estimate]:
    """All scores of runs that differ in the seed, by column.

    A run that has results but no finite score (it diverged) counts as worse than any number; a
    run without results does not count.
    """
    known = runs.loc[runs["status"].isin(READABLE), [score.column for score in SCORES]]
    columns = known.to_numpy(float).T
    return {
        score.column: _estimate(values, score, len(runs))
        for score, values in zip(SCORES, columns, strict=True)
    }


def _estimate(known: np.ndarray, score: Score, runs: int) -> Estimate:
    finite = known[np.isfinite(known)]
    values = np.where(np.isfinite(known), known, np.nan)  # a run that diverged is the worst
    middle = _middle(values, score) if len(values) else np.nan
    return Estimate(
        middle=middle if np.isfinite(middle) else np.nan,
        low=float(finite.min()) if len(finite) else np.nan,
        high=float(finite.max()) if len(finite) else np.nan,
        finite=len(finite),
        runs=runs,
    )


def _middle(values: np.ndarray, score: Score) -> float:
    if score.higher_is_better:
        return -interquartile_mean(-values)
    with np.errstate(divide="ignore"):  # an error of 0 stays 0
        return float(10.0 ** interquartile_mean(np.log10(values)))
