"""Probability of improvement: how often one level of an axis beats another, all else equal."""

from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from inr.quantities import QUANTITIES
from postprocess.dataset.merged_sweep import MergedSweep
from postprocess.intervals import Interval, probability_of_improvement
from postprocess.plots import layout, style
from postprocess.stats.factors import Axis, Variation
from postprocess.stats.fields import ACTIVATION, RATE, SCHEDULE
from postprocess.stats.ranking import ERRORS, OVERALL, add_scores

_FEWEST_RUNS = 3  # a side: of fewer, 1 of 1 would look like a certainty
_MOST = 13  # levels that a matrix can show
_MOST_ACTIVATIONS = 40  # to compare; of more than a matrix can show, the best are shown
_CELL = 0.55, 0.34  # inches
_MARGIN = 1.3, 0.9
_LEAST_HEIGHT = 1.6  # of all rows


def figures(merged: MergedSweep, variation: Variation) -> layout.Drawings:
    """One over all and one for each error, where seeds differ and there is an axis to compare."""
    factor = find_factor(variation)
    if factor is None:
        return {}
    runs = add_scores(merged.readable)
    if not compare(runs[OVERALL.column], factor):
        return {}
    whats = {"improvement": (OVERALL, "mean of the four log errors")} | {
        f"improvement_{quantity}": (error, f"{error.label} error")
        for quantity, error in zip(QUANTITIES, ERRORS, strict=True)
    }
    return {
        name: partial(draw_improvement, runs[score.column], what, factor)
        for name, (score, what) in whats.items()
    }


def find_factor(variation: Variation) -> Variation | None:
    """What to compare: activations, or schedules with their learning rates, or else another axis.

    The one of the first two that has more levels; it is the first axis of what is returned. None
    when no axis has two to thirteen levels (activations: forty), or when no setting was run with
    three seeds. Targets are not compared.
    """
    seeds = variation.levels.groupby([*variation.levels]).size() if variation.axes else [0]
    if max(seeds) < _FEWEST_RUNS:
        return None
    keys = [axis.key for axis in variation.axes]
    for groups in ([(ACTIVATION,), (SCHEDULE, RATE)], [(key,) for key in keys]):
        factors = [variation.together(*group) for group in groups if {*group} & {*keys}]
        fitting = [factor for factor in factors if _fits(factor.axes[0])]
        if fitting:
            return max(fitting, key=lambda factor: len(factor.axes[0].levels))
    return None


def _fits(axis: Axis) -> bool:
    return len(axis.levels) <= (_MOST_ACTIVATIONS if axis.key == ACTIVATION else _MOST)


def compare(scores: pd.Series, factor: Variation) -> dict[tuple[str, str], Interval]:
    """Probability that a run of one level of the first axis has a smaller score than of another.

    Each is compared with its like, and the probability averaged: over the strata, combinations of
    levels of all other axes and targets, in which both were run three times or more. Pairs without
    one are left out. A run that failed, whose score is not finite, loses against any that did not.
    """
    axes = [*factor.axes, *([factor.target] if factor.target else [])]
    levels = [factor.levels[axis.key] for axis in axes]
    runs: dict[tuple[str, ...], np.ndarray] = {
        key: values.to_numpy(float)
        for key, values in scores.groupby(levels, sort=False)
        if len(values) >= _FEWEST_RUNS
    }
    strata = dict.fromkeys(key[1:] for key in runs)
    found = {}
    for first, second in combinations(factor.axes[0].levels, 2):
        pairs = [
            (runs[first, *stratum], runs[second, *stratum])
            for stratum in strata
            if (first, *stratum) in runs and (second, *stratum) in runs
        ]
        if pairs:
            interval = probability_of_improvement(*zip(*pairs, strict=True))
            found[first, second] = interval
            found[second, first] = interval.map(lambda p: 1 - p)
    return found


def draw_improvement(scores: pd.Series, what: str, factor: Variation) -> Figure:
    """A matrix of the probabilities that the level of a row beats that of a column (`compare`).

    ``what`` the scores are is told in words.
    """
    found = compare(scores, factor)
    axis, *others = factor.axes
    others += [factor.target] if factor.target else []
    shown, title = axis.levels, f"{what}: probability of improvement"
    if len(shown) > _MOST:
        means = pd.Series(found).map(lambda cell: cell.estimate).groupby(level=0).mean()
        shown = (*means.sort_values(ascending=False, kind="stable").index[:_MOST],)
        title += f", best {_MOST} of {len(axis.levels)}"
    size = len(shown)
    values = np.full((size, size), np.nan)
    texts = np.full((size, size), "", dtype=object)
    for (first, second), cell in found.items():
        if first not in shown or second not in shown:
            continue
        place = shown.index(first), shown.index(second)
        values[place] = cell.estimate
        texts[place] = f"{cell.estimate:.2f}\n{cell.low:.2f}–{cell.high:.2f}"
    width = float(np.clip(_MARGIN[0] + _CELL[0] * size, style.COLUMN_WIDTH, style.PAGE_WIDTH))
    figure = Figure(figsize=(width, _MARGIN[1] + max(_CELL[1] * size, _LEAST_HEIGHT)))
    panel = figure.subplots()
    layout.draw_table(panel, values, texts, rows=shown, columns=shown, colors="RdBu")
    if size > 3:
        panel.tick_params(axis="x", labelrotation=90)
    panel.set_ylabel(f"{axis.label}:\nthis one ...")
    panel.set_xlabel("... has a smaller error than this one")
    title += "\nwith 95 % bootstrap interval over seeds"
    if others:
        title += f"\ncompared at the same {', '.join(other.label for other in others)}"
    layout.add_heading(figure, title)
    return figure
