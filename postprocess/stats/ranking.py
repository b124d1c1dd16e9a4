"""What runs are compared by, and the ranking of a sweep by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from inr.metrics import METRICS
from inr.quantities import QUANTITIES
from inr.results import HELDOUT as POINTS
from postprocess.dataset.run_reader import READABLE
from postprocess.intervals import Interval, bootstrap_interval, interquartile_mean, worst_if_missing
from postprocess.stats.factors import Variation, find_variation
from postprocess.stats.fields import DATA, WEIGHT_COLUMNS

_FEWEST_LEVELS = 3  # with two levels, every one of them lies at an edge


@dataclass(frozen=True)
class Score:
    """A number by which runs are compared: a column of ``/runs``, or of `add_scores`."""

    column: str
    label: str
    explanation: str = ""
    higher_is_better: bool = False  # a score; what is not is an error, which spans decades

    def costs(self, values: ArrayLike) -> np.ndarray:
        """What is averaged, smaller being better: log10 of errors, minus PSNR or SSIM.

        A run without a finite value (it diverged) is worse than any other: plus infinity.
        """
        finite = np.where(np.isfinite(values), values, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):  # an error of 0
            return worst_if_missing(-finite if self.higher_is_better else np.log10(finite))

    def value(self, cost: float) -> float:
        """The value with this cost."""
        return -cost if self.higher_is_better else 10.0**cost

    def middle(self, values: ArrayLike) -> float:
        """The interquartile mean of the costs, as a value."""
        return self.value(interquartile_mean(self.costs(values)))

    def interval(self, values: ArrayLike) -> Interval:
        """`middle` with its 95 % bootstrap interval."""
        return bootstrap_interval([self.costs(values)], interquartile_mean).map(self.value)


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
HELDOUT_ERRORS = tuple(
    replace(
        error,
        column=f"heldout_{error.column}",
        label=f"{error.label}, held out",
        explanation=f"{error.explanation}, between pixels and frames, where nothing was trained",
    )
    for error in ERRORS
)
PSNR = Score("psnr_value", "value PSNR (dB)", METRICS["psnr_value"].label, True)
PSNR_MEAN_REMOVED = Score(
    "psnr_value_mean_removed",
    METRICS["psnr_value_mean_removed"].label,
    "after the mean error of each frame is subtracted, "
    "which a network trained on derivatives alone cannot know",
    True,
)
AWARDS = (OVERALL, *ERRORS)  # for each of them the report names a best setting
HELDOUT_AWARDS = (HELDOUT, *HELDOUT_ERRORS)
SCORES = (*AWARDS, *HELDOUT_AWARDS, PSNR, PSNR_MEAN_REMOVED)


def score_of(column: str) -> Score:
    """The score in a column of ``/runs``, or of `add_scores`."""
    known = {score.column: score for score in SCORES}
    if column in known:
        return known[column]
    metric = next(
        metric
        for name, metric in METRICS.items()
        if column in (name, *(f"{points}_{name}" for points in POINTS))
    )
    return Score(column, metric.label, "", metric.higher_is_better)


def suits(column: str, runs: pd.DataFrame) -> bool:
    """Whether a metric has something to say of ``runs``.

    Errors with the mean removed do where some runs have weight 0 on the value, if they have them;
    held-out ones if they were measured.
    """
    if column.startswith("heldout_"):
        return bool(runs[column].notna().any())
    if not column.endswith("_mean_removed"):
        return True
    return bool((runs[WEIGHT_COLUMNS[0]] == 0).any() and runs[column].notna().any())


def add_scores(runs: pd.DataFrame) -> pd.DataFrame:
    """``runs`` with the errors over all; every column of `SCORES` is there, NaN if unknown."""
    added: dict[str, float | pd.Series] = {
        score.column: np.nan for score in SCORES if score.column not in runs
    }
    for score, prefix in ((OVERALL, "nmse_"), (HELDOUT, "heldout_nmse_")):
        errors = runs.reindex(columns=[f"{prefix}{quantity}" for quantity in QUANTITIES])
        with np.errstate(divide="ignore"):  # an error of 0
            added[score.column] = np.exp(np.log(errors.astype(float)).mean(axis=1, skipna=False))
    rest = runs.drop(columns=[name for name in added if name in runs])
    return pd.concat([rest, pd.DataFrame(added, index=runs.index)], axis=1)


def over_targets(runs: pd.DataFrame, variation: Variation) -> pd.DataFrame:
    r"""Errors over all targets: one row for the first run of a setting on every target, and so on.

    .. math:: \bar e = \Bigl(\prod_{t=1}^T e_t\Bigr)^{1/T},

    the mean of PSNR and SSIM, the sum of seconds. A row has diverged if one of its runs has.
    Settings without results on one of the targets have no row, so that all targets always count
    alike. Rows keep the index of the run on the first target, and no field that tells targets
    apart.
    """
    assert variation.target is not None
    known = runs[runs["status"].isin(READABLE)]
    levels = variation.levels.loc[known.index]
    number = levels.groupby([*levels], sort=False).cumcount()  # seeds need not be the same
    row = levels.drop(columns=variation.target.key).assign(number=number)
    row = row.groupby([*row], sort=False).ngroup()
    row = row[row.groupby(row).transform("size") == len(variation.target.levels)]
    known = known.loc[row.index]
    names = [f"{points}_{name}" for points in POINTS for name in METRICS]
    scores = [score_of(name) for name in known.columns.intersection([*METRICS, *names])]
    costs = {each.column: each.costs(known[each.column].astype(float)) for each in scores}
    mean = pd.DataFrame(costs, known.index).groupby(row).transform("mean")
    means = {each.column: each.value(mean[each.column]) for each in scores}
    for name in known.columns.intersection(["seconds", "wall_seconds"]):
        means[name] = known[name].groupby(row).transform("sum", min_count=1)
    diverged = (known["status"] == "diverged").groupby(row).transform("any")
    means["status"] = known["status"].mask(diverged, "diverged")
    varied = [name for name in known if name.startswith(DATA) and known[name].nunique() > 1]
    return known.assign(**means)[~row.duplicated()].drop(columns=varied)


@dataclass(frozen=True)
class Estimate(Interval):
    """`Score.middle` over the runs of one setting, and the range of the finite ones; else NaN."""

    finite: int
    runs: int


@dataclass(frozen=True)
class Setting:
    """Runs that differ in nothing but the seed."""

    levels: tuple[str, ...]  # one for each axis that varies
    runs: pd.DataFrame  # rows of /runs, with the columns of `add_scores`
    estimates: dict[str, Estimate]  # by column of the score

    @property
    def typical(self) -> pd.Series:
        """The run nearest to the estimate over all; the first one if none is finite."""
        distance = (self.runs[OVERALL.column] - self.estimates[OVERALL.column].estimate).abs()
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
    """All settings of a sweep, best over all first.

    Of several targets, those that were run on all of them, by their errors `over_targets`.
    """

    settings: Sequence[Setting]
    variation: Variation
    targets: Mapping[str, "Ranking"] = field(default_factory=dict)  # if several: of each

    @property
    def parts(self) -> Sequence["Ranking"]:
        """The rankings whose rows are runs: of each target, or this one."""
        return [*self.targets.values()] or [self]

    @property
    def left_out(self) -> int:
        """How many settings were not run on every target."""
        some = {setting.levels for part in self.parts for setting in part.settings}
        return len(some - {setting.levels for setting in self.settings})

    def ordered(self, score: Score) -> list[Setting]:
        """The settings that have a finite ``score``, best first."""
        costs = score.costs([s.estimates[score.column].estimate for s in self.settings])
        order = np.argsort(costs, kind="stable")[: np.sum(costs < np.inf)]
        return [self.settings[place] for place in order]

    @cached_property
    def best(self) -> dict[str, Setting]:
        """The best setting by column of the score; without scores that no setting has."""
        return {s.column: ordered[0] for s in SCORES if (ordered := self.ordered(s))}

    @property
    def replicated(self) -> bool:
        """True when a setting was run more than once."""
        return any(len(setting.runs) > 1 for part in self.parts for setting in part.settings)

    def edges(self, setting: Setting) -> list[tuple[str, str, str]]:
        """Numbers of ``setting`` that are the smallest or largest tried: axis, level, which."""
        return [
            (axis.label, level, "smallest" if level == axis.levels[0] else "largest")
            for axis, level in zip(self.variation.axes, setting.levels, strict=True)
            if axis.numeric and len(axis.levels) >= _FEWEST_LEVELS
            if level in (axis.levels[0], axis.levels[-1])
        ]


def rank(runs: pd.DataFrame) -> Ranking:
    """Group the rows of ``/runs`` into settings and rank them by the error over all.

    A run that has results but no finite score (it diverged) counts as worse than any number; a
    run without results does not count. Settings without a finite error come last, in the order of
    their tasks. Runs of one target are never compared with those of another.
    """
    variation = find_variation(runs)
    if variation.target is None:
        return _rank(runs, variation)
    targets = {
        level: _rank(members, variation) for level, members in variation.by_target(runs).items()
    }
    return replace(_rank(over_targets(runs, variation), variation), targets=targets)


def _rank(runs: pd.DataFrame, variation: Variation) -> Ranking:
    levels = variation.select(runs.index).levels  # a column for each axis
    by = [levels[key] for key in levels] or np.zeros(len(runs))
    settings = [
        Setting(tuple(levels.loc[members.index[0]]), members, _estimates(members))
        for _, members in add_scores(runs).groupby(by, sort=False)
    ]
    settings.sort(key=lambda setting: worst_if_missing(setting.estimates[OVERALL.column].estimate))
    return Ranking(settings, variation)


def _estimates(runs: pd.DataFrame) -> dict[str, Estimate]:
    """All scores of the runs of a setting, by column."""
    found = {}
    known = runs[runs["status"].isin(READABLE)]
    for score in SCORES:
        values = known[score.column].astype(float)
        finite = values[np.isfinite(values)]  # of none the minimum is NaN
        middle = score.middle(values) if len(finite) else np.nan
        middle = middle if np.isfinite(middle) else np.nan
        ends = finite.min(), finite.max()
        found[score.column] = Estimate(middle, *ends, len(finite), len(runs))
    return found
