"""Learning curves: one series against the optimiser steps, for all runs of a sweep."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from postprocess.dataset.merged_sweep import MergedSweep
from postprocess.plots import layout, style
from postprocess.plots.plot_variable import LOSS, RATE, Measure, measures
from postprocess.stats.factors import ROLES, Variation, find_variation
from postprocess.stats.learning_rates import distinct_schedules, rate_curves

_GRID_POINTS = 300  # of a summarised curve
_SMALL_GROUP = 10  # up to here a band spans all runs, above it the central 80 %
_BEST = 4  # curves shown one by one where an axis has too many levels for a role


def figures(merged: MergedSweep, variation: Variation) -> layout.Drawings:
    """Every metric that suits the runs, the loss and the learning rate, for every sweep."""

    def draw(measure: Measure) -> Figure:
        return draw_curves(measure, merged.series(measure.column), variation)

    def draw_rates() -> Figure:  # one curve for each schedule, not one for each run
        distinct = distinct_schedules(merged.readable)
        curves = rate_curves(merged.readable.loc[distinct.index])
        return draw_curves(RATE, curves, find_variation(distinct))

    shown = (*measures(merged.readable), LOSS)
    metrics = {f"curve_{measure.column}": partial(draw, measure) for measure in shown}
    return metrics | {"curve_lr": draw_rates}


def draw_curves(measure: Measure, series: pd.DataFrame, variation: Variation) -> Figure:
    """Draw a column of ``series`` against steps; NaN and infinity are where a run diverged.

    Runs that differ in the seed, or in a setting without a role, become a median with a band.
    """
    roles = variation.assign()
    places = variation.places(roles)
    final = series.groupby("run")[measure.column].last()
    measures = {
        target: measure.fenced(runs.to_numpy(float))
        for target, runs in final.groupby(places["target"])
    }
    by_target = series.groupby(series["run"].map(places["target"]))[measure.column]
    drawn = by_target.transform(lambda own: measures[own.name].drawable(own.to_numpy()))
    series = series.assign(value=drawn)
    palette, linestyles = style.colors(roles.hue), style.each_level(roles.style, style.LINESTYLES)
    if roles.pooled and not roles.hue:
        palette = {"": style.NEUTRAL}  # colours are for the best runs
    figure, panels = layout.make_role_panels(roles)
    most = 1
    for (row, column, hue, mark), members in places.groupby(list(ROLES), sort=False):
        rows = series[series["run"].isin(members.index)]
        most = max(most, rows["run"].nunique())
        _draw_group(panels[row, column], rows, palette[hue], linestyles[mark])
    best: layout.Entries = []
    if roles.pooled and not roles.hue and len(panels) == 1 and measure.ranked:
        names = variation.levels[[axis.key for axis in roles.pooled]].agg(", ".join, axis=1)
        best = _draw_best(panels["", ""], series, names, measure)
    for key, panel in panels.items():
        measures.get(roles.target_of(*key), measure).finish(panel)
    ends = _broken_ends(series)
    for key, group in ends.groupby([ends["run"].map(places[role]) for role in ("row", "column")]):
        panels[key].plot(group["step"], group["value"], **style.DIVERGED)
    layout.name_axes(panels.values(), "optimiser steps", measure.label)
    marks: layout.Entries = []
    if most > 1:
        band = Patch(color=style.NEUTRAL, alpha=0.25, linewidth=0)
        marks.append((layout.handle(linestyle="-"), f"median of up to {most} runs"))
        marks.append((band, "range" if most <= _SMALL_GROUP else "10 to 90 %"))
    if len(ends):
        marks.append((layout.handle(**style.DIVERGED), "run diverged"))
    layout.add_legend(figure, [*layout.role_sections(roles), ("best runs", best), ("marks", marks)])
    return figure


def _draw_group(panel: Axes, rows: pd.DataFrame, color: str, linestyle: Any) -> None:
    """The curve of one run; of several their median with a band, on common steps."""
    table = rows.pivot(index="step", columns="run", values="value")
    runs = table.shape[1]
    if len(table) > _GRID_POINTS and runs > 1:
        steps = pd.Index(np.linspace(table.index[0], table.index[-1], _GRID_POINTS))
        table = table.reindex(table.index.union(steps))
    else:
        steps = table.index
    # a run has no value outside the steps where it has finite ones
    table = table.interpolate("index", limit_area="inside").loc[steps]
    tail = 0.0 if runs <= _SMALL_GROUP else 0.1
    low, middle, high = table.quantile([tail, 0.5, 1 - tail], axis=1).to_numpy()
    panel.plot(steps, middle, color=color, linestyle=linestyle)
    if runs > 1:
        panel.fill_between(steps, low, high, color=color, alpha=0.18, linewidth=0)


def _draw_best(
    panel: Axes, series: pd.DataFrame, names: pd.Series, measure: Measure
) -> layout.Entries:
    """Draw the best runs by themselves, where one panel summarises many; their legend entries."""
    last = series.groupby("run")[measure.column].last(skipna=False)
    finite = last[np.isfinite(last)].sort_values(ascending=not measure.higher_is_better)
    entries: layout.Entries = []
    for run, color in zip(finite.index[:_BEST], sns.color_palette("colorblind"), strict=False):
        rows = series[series["run"] == run]
        (line,) = panel.plot(rows["step"], rows["value"], color=color, linewidth=0.9)
        entries.append((line, names[run]))
    return entries


def _broken_ends(series: pd.DataFrame) -> pd.DataFrame:
    """The last finite point of each run that goes on without finite values."""
    last = series.drop_duplicates("run", keep="last")
    finite = series.dropna(subset="value").drop_duplicates("run", keep="last")
    return finite[finite["run"].isin(last.loc[last["value"].isna(), "run"])]
