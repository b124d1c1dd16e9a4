"""Learning curves: one series against the optimiser steps, for all runs of a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from postprocess.plots import style
from postprocess.plots.legends import Section, add_legend, role_sections
from postprocess.plots.plot_variable import Measure
from postprocess.stats.factors import ROLES, Roles, Variation

_GRID_POINTS = 300  # of a summarised curve
_SMALL_GROUP = 10  # up to here a band spans all runs, above it the central 80 %
_BEST = 4  # curves shown one by one where an axis has too many levels for a role


@dataclass(frozen=True)
class Curve:
    """What is drawn for one group of runs that share all roles."""

    place: dict[str, str]  # role -> level
    steps: np.ndarray
    middle: np.ndarray  # the run itself, or the median of the group
    low: np.ndarray | None  # None: one run
    high: np.ndarray | None
    runs: int
    ends: list[tuple[float, float]]  # last finite point of each diverged run


def draw_curves(measure: Measure, series: pd.DataFrame, variation: Variation) -> Figure:
    """Draw ``measure`` against steps.

    Args:
        measure: What is drawn.
        series: Columns run, step and ``measure.column``; NaN and infinity where a run diverged.
        variation: The settings that differ; runs that differ in the seed or in a setting without
            a role become a median with a band.
    """
    measure = measure.fenced(series.groupby("run")[measure.column].last().to_numpy(float))
    roles = variation.assign()
    curves = [
        _summarise(place, group, measure) for place, group in _groups(series, variation, roles)
    ]
    grid = style.make_grid(roles.row, roles.column)
    _draw_lines(curves, grid, roles)
    best = _draw_best(series, variation, roles, measure, grid)
    diverged = _finish_panels(curves, measure, grid)
    grid.label("optimiser steps", measure.label)
    add_legend(
        grid.figure,
        [*role_sections(roles), Section("best runs", best), _notes(curves, diverged)],
    )
    return grid.figure


def _groups(
    series: pd.DataFrame, variation: Variation, roles: Roles
) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """The rows of ``series`` for each combination of role levels."""
    for levels, members in variation.places(roles).groupby(list(ROLES), sort=False):
        rows = series[series["run"].isin(members.index)]
        if len(rows):
            yield dict(zip(ROLES, levels, strict=True)), rows


def _summarise(place: dict[str, str], rows: pd.DataFrame, measure: Measure) -> Curve:
    """The curve of a group: itself if it is one run, else median and band on common steps."""
    curves = [
        (run["step"].to_numpy(float), measure.drawable(run[measure.column].to_numpy()))
        for _, run in rows.groupby("run", sort=False)
    ]
    ends = [end for steps, values in curves if (end := _broken_end(steps, values))]
    if len(curves) == 1:
        steps, values = curves[0]
        return Curve(place, steps, values, None, None, 1, ends)
    steps = np.unique(np.concatenate([steps for steps, _ in curves]))
    if len(steps) > _GRID_POINTS:
        steps = np.linspace(steps[0], steps[-1], _GRID_POINTS)
    table = np.array([_resample(steps, *curve) for curve in curves])
    percent = (0, 50, 100) if len(curves) <= _SMALL_GROUP else (10, 50, 90)
    low, middle, high = _percentiles(table, percent)
    return Curve(place, steps, middle, low, high, len(curves), ends)


def _broken_end(steps: np.ndarray, values: np.ndarray) -> tuple[float, float] | None:
    """The last finite point of a curve that goes on without finite values."""
    finite = np.flatnonzero(np.isfinite(values))
    if len(values) == 0 or np.isfinite(values[-1]) or len(finite) == 0:
        return None
    return float(steps[finite[-1]]), float(values[finite[-1]])


def _resample(steps: np.ndarray, own: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A run's values on common steps; NaN outside the steps where it has finite ones."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(len(steps), np.nan)
    resampled: np.ndarray = np.interp(steps, own[finite], values[finite], left=np.nan, right=np.nan)
    return resampled


def _percentiles(table: np.ndarray, percent: tuple[float, ...]) -> np.ndarray:
    """Percentiles over the runs [run, step], ignoring NaN; NaN where no run has a value."""
    result = np.full((len(percent), table.shape[1]), np.nan)
    counts = np.isfinite(table).sum(axis=0)
    whole = counts == len(table)
    gaps = (counts > 0) & ~whole
    result[:, whole] = np.percentile(table[:, whole], percent, axis=0)
    result[:, gaps] = np.nanpercentile(table[:, gaps], percent, axis=0)  # much slower
    return result


def _draw_lines(curves: list[Curve], grid: style.Grid, roles: Roles) -> None:
    palette, dashes = style.colors(roles.hue), style.dashes(roles.style)
    if not roles.hue and roles.pooled:
        palette = {"": style.NEUTRAL}  # colours are for the best runs
    for key, panel in grid.panels.items():
        mine = [c for c in curves if (c.place["row"], c.place["column"]) == key]
        shown = [c for c in mine if np.isfinite(c.middle).any()]
        if not shown:
            continue
        for curve in shown:
            color, pattern = palette[curve.place["hue"]], dashes[curve.place["style"]]
            there = ~np.isnan(curve.middle)
            panel.plot(
                curve.steps[there],
                curve.middle[there],
                color=color,
                linestyle=(0, pattern) if pattern else "-",
            )
            if curve.low is not None and curve.high is not None:
                panel.fill_between(
                    curve.steps, curve.low, curve.high, color=color, alpha=0.18, linewidth=0
                )


def _draw_best(
    series: pd.DataFrame, variation: Variation, roles: Roles, measure: Measure, grid: style.Grid
) -> list[tuple[Any, str]]:
    """Draw the best runs by themselves where one panel summarises many; returns legend entries."""
    if not roles.pooled or roles.hue or len(grid.panels) > 1 or not measure.ranked:
        return []
    last = series.groupby("run")[measure.column].last()
    finite = last[np.isfinite(last)].sort_values(ascending=not measure.higher_is_better)
    (panel,) = grid.panels.values()
    entries = []
    for run, color in zip(finite.index[:_BEST], sns.color_palette("colorblind"), strict=False):
        rows = series[series["run"] == run]
        values = measure.drawable(rows[measure.column].to_numpy())
        (line,) = panel.plot(rows["step"], values, color=color, linewidth=0.9)
        levels = variation.levels.loc[run, [axis.key for axis in roles.pooled]]
        entries.append((line, ", ".join(levels)))
    return entries


def _finish_panels(curves: list[Curve], measure: Measure, grid: style.Grid) -> int:
    """Set the scales and mark where runs diverged; returns the number of marks."""
    diverged = 0
    for key, panel in grid.panels.items():
        mine = [c for c in curves if (c.place["row"], c.place["column"]) == key]
        ends = [end for curve in mine for end in curve.ends]
        diverged += len(ends)
        measure.finish(panel)
        if ends:
            panel.plot(*zip(*ends, strict=True), **style.DIVERGED)
    return diverged


def _notes(curves: list[Curve], diverged: int) -> Section:
    """Legend section on summaries and diverged runs."""
    entries: list[tuple[Any, str]] = []
    most = max((curve.runs for curve in curves), default=1)
    if most > 1:
        span = "range" if most <= _SMALL_GROUP else "10 to 90 %"
        band = Patch(color=style.NEUTRAL, alpha=0.25, linewidth=0)
        entries.append((Line2D([], [], color=style.NEUTRAL), f"median of up to {most} runs"))
        entries.append((band, span))
    if diverged:
        entries.append((Line2D([], [], **style.DIVERGED), "run diverged"))
    return Section("marks" if entries else "", entries)
