"""Probability of improvement: how often one level of an axis beats another, all else equal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from postprocess.intervals import Interval, probability_of_improvement
from postprocess.plots import style
from postprocess.plots.heatmap import draw_matrix
from postprocess.stats.factors import ACTIVATION, RATE, SCHEDULE, Axis, Variation

_MOST = 13  # levels that a matrix can show
_CELL = 0.55, 0.34  # inches
_MARGIN = 1.3
_LETTERS_PER_INCH = 16


@dataclass(frozen=True)
class Factor:
    """The axis of a comparison.

    Attributes:
        axis: What is compared; it has the levels of the matrix.
        level: Of each run.
        stratum: Of each run: its levels of all other axes, by which it is compared with its like.
        others: Labels of the other axes.
    """

    axis: Axis
    level: pd.Series
    stratum: pd.Series
    others: tuple[str, ...]


def find_factor(variation: Variation) -> Factor | None:
    """What to compare: activations, or schedules with their learning rates, or else another axis.

    The one of the first two that has more levels, up to thirteen. None when no axis has two to
    thirteen levels, or when no setting was run with more than one seed: one run proves nothing.
    """
    if not variation.levels.duplicated().any() or not variation.axes:
        return None
    keys = [axis.key for axis in variation.axes]
    rates = [key for key in (SCHEDULE, RATE) if key in keys]
    main = [group for group in ([ACTIVATION] if ACTIVATION in keys else [], rates) if group]
    for groups in (main, [[key] for key in keys]):
        factors = [_factor(variation.together(*group)) for group in groups]
        fitting = [factor for factor in factors if len(factor.axis.levels) <= _MOST]
        if fitting:
            return max(fitting, key=lambda factor: len(factor.axis.levels))
    return None


def _factor(variation: Variation) -> Factor:
    """The first axis against all others."""
    axis, *others = variation.axes
    strata = variation.levels[[other.key for other in others]]
    return Factor(
        axis=axis,
        level=variation.levels[axis.key],
        stratum=strata.agg(", ".join, axis=1) if others else pd.Series("", index=strata.index),
        others=tuple(other.label for other in others),
    )


def compare(scores: pd.Series, factor: Factor) -> dict[tuple[str, str], Interval]:
    """Probability that a run of the first level has a smaller score than one of the second.

    Averaged over the strata in which both were run; pairs without one are left out.

    Args:
        scores: Errors by run; NaN where a run failed.
        factor: The levels to compare.
    """
    groups: Mapping[tuple[str, str], np.ndarray] = {
        key: values.to_numpy(float)
        for key, values in scores.groupby([factor.level, factor.stratum], sort=False)
    }
    strata = list(dict.fromkeys(factor.stratum))
    found = {}
    for i, first in enumerate(factor.axis.levels):
        for second in factor.axis.levels[i + 1 :]:
            common = [s for s in strata if (first, s) in groups and (second, s) in groups]
            if common:
                interval = probability_of_improvement(
                    [groups[first, s] for s in common], [groups[second, s] for s in common]
                )
                found[first, second] = interval
                found[second, first] = interval.map(lambda p: 1 - p)
    return found


def draw_improvement(scores: pd.Series, what: str, factor: Factor) -> Figure:
    """A matrix of the probabilities that the level of a row beats that of a column.

    Args:
        scores: Errors by run; NaN where a run failed, which loses against any that did not.
        what: The error, for people.
        factor: The levels to compare.
    """
    found = compare(scores, factor)
    size = len(factor.axis.levels)
    values = np.full((size, size), np.nan)
    texts = [["" for _ in factor.axis.levels] for _ in factor.axis.levels]
    for i, first in enumerate(factor.axis.levels):
        for j, second in enumerate(factor.axis.levels):
            if (first, second) in found:
                cell = found[first, second]
                values[i, j] = cell.estimate
                texts[i][j] = f"{cell.estimate:.2f}\n{cell.low:.2f}–{cell.high:.2f}"
    width = float(np.clip(_MARGIN + _CELL[0] * size, style.COLUMN_WIDTH, style.PAGE_WIDTH))
    figure = Figure(figsize=(width, _MARGIN + _CELL[1] * size))
    panel = figure.subplots()
    draw_matrix(
        panel,
        values,
        texts,
        rows=factor.axis.levels,
        columns=factor.axis.levels,
        colors="RdBu",
        limits=(0, 1),
    )
    if size > 3:
        panel.tick_params(axis="x", labelrotation=90)
    panel.set_ylabel(f"{factor.axis.label}: this one ...")
    panel.set_xlabel("... has a smaller error than this one")
    panel.xaxis.set_label_position("top")
    alike = f"compared at the same {', '.join(factor.others)}" if factor.others else ""
    title = [
        f"{what}: probability of improvement",
        "with 95 % bootstrap interval over seeds",
        *textwrap.wrap(alike, int(width * _LETTERS_PER_INCH)),
    ]
    figure.suptitle("\n".join(title), x=0.01, ha="left")
    return figure
