"""Final values: the last recorded value of a metric, for all runs of a sweep."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from postprocess.dataset.merged_sweep import MergedSweep
from postprocess.plots import layout, style
from postprocess.plots.overview import draw_ranking
from postprocess.plots.plot_variable import Measure, measures
from postprocess.stats.factors import ROLES, Axis, Roles, Variation
from postprocess.stats.fields import RATE, SCHEDULE

_POSITIONS = 16  # most levels along x
_COMFORTABLE = 12  # points beside each other in a narrow panel
_LETTER = 0.055  # inches, of a text along x
_Y_LABEL = 0.6  # inches
_STEP = 0.12  # between groups that stand side by side, in positions along x
_SPREAD = 0.6  # at most, over all groups of one position
_DASH: dict[str, Any] = {"marker": "_", "s": 81, "linewidths": 1.6}
_ESTIMATE = {"marker": "_", "markersize": 9, "markeredgewidth": 1.6}  # the dash, in a legend


def figures(merged: MergedSweep, variation: Variation) -> layout.Drawings:
    """Every metric that suits the runs, for every sweep."""
    runs = merged.readable
    return {f"final_{m.column}": partial(draw_finals, m, runs, variation) for m in measures(runs)}


def draw_finals(measure: Measure, runs: pd.DataFrame, variation: Variation) -> Figure:
    """Draw the final values of ``measure`` by the axes that vary, for ``runs`` that have results.

    Every run is a point. Runs that differ in the seed alone get their interquartile mean and its
    bootstrap interval (`Measure.summarise`). One axis lies along x, the others are colour, marker
    and panels. A sweep with too many combinations for that becomes a ranking of the best ones.
    A target has a panel, or a place along x if it is a number or nothing else varies.
    """
    # uniform rates beside a few schedules that start from one of them would leave panels empty
    if 0 < variation.combinations_of_rates <= _POSITIONS:
        variation = variation.together(SCHEDULE, RATE)
    along = _axis_along_x(variation)
    roles = variation.assign(reserved=along)
    if roles.pooled or (along is None and variation.axes):
        return draw_ranking(measure, runs, variation)
    return _draw_positions(measure, runs, variation, along, roles)


def _axis_along_x(variation: Variation) -> Axis | None:
    """The numeric axis with most levels, or else the first axis that fits."""
    target = variation.target
    if target and len(target.levels) <= _POSITIONS and (target.numeric or not variation.axes):
        return target
    fitting = [axis for axis in variation.axes if len(axis.levels) <= _POSITIONS]
    numeric = [axis for axis in fitting if axis.numeric]
    if numeric and "+" not in fitting[0].key:
        return max(numeric, key=lambda axis: len(axis.levels))
    return fitting[0] if fitting else None


def _draw_positions(
    measure: Measure, runs: pd.DataFrame, variation: Variation, along: Axis | None, roles: Roles
) -> Figure:
    """Points at equally spaced levels of one axis."""
    levels = along.levels if along else ("",)
    beside = [axis.levels if axis else ("",) for axis in (roles.hue, roles.style)]
    crowded = len(levels) * math.prod(map(len, beside)) > _COMFORTABLE
    figure, panels = layout.make_role_panels(roles, crowded=crowded)
    table = variation.places(roles)
    table["final"] = runs[measure.column].astype(float)
    measures = _fence(measure, table["final"], variation, roles)
    by_target = table.groupby("target")["final"]
    table["y"] = by_target.transform(lambda own: measures[own.name].drawable(own.to_numpy()))
    groups = pd.MultiIndex.from_product(beside)
    shifts = groups.get_indexer(pd.MultiIndex.from_frame(table[["hue", "style"]]))
    table["x"] = (shifts - (len(groups) - 1) / 2) * min(_STEP, _SPREAD / len(groups))
    hue, joined = roles.hue, along is not None and along.numeric
    if along:
        table["x"] += variation.levels[along.key].map(levels.index)
        if not joined and not hue:  # the colours of the learning curves
            hue, table["hue"] = along, variation.levels[along.key]
    palette, markers = style.colors(hue), style.each_level(roles.style, style.MARKERS)
    for (row, column, level, mark), group in table.groupby(list(ROLES), sort=False):
        look = {"color": palette[level], "marker": markers[mark]}
        own = measures[roles.target_of(row, column)]
        _draw_points(panels[row, column], group, own, joined=joined, **look)
    ticks: Sequence[str] = levels
    if along and "+" in along.key:  # a learning rate below the name of its schedule
        ticks = ["\n".join(level.rsplit(" ", 1)) for level in levels]
    for key, panel in panels.items():
        measures[roles.target_of(*key)].finish(panel)
        panel.set_xticks(range(len(levels)) if along else [], ticks if along else [])
        panel.set_xlim(-0.6, len(levels) - 0.4)
        panel.grid(visible=False, axis="x")
    _turn_crowded(ticks, figure, list(panels.values()))
    layout.name_axes(panels.values(), along.label if along else "", f"final {measure.label}")
    marks: layout.Entries = []
    if table.duplicated([*ROLES, "x"]).any():
        marks.append((layout.handle(**style.POINT), "one run"))
        marks += layout.interval_entries(variation.seeds, **_ESTIMATE)
    if table["y"].isna().any():
        _mark_diverged(panels, table[table["y"].isna()])
        marks.append((layout.handle(**style.DIVERGED), "no finite value (diverged)"))
    layout.add_legend(figure, [*layout.role_sections(roles, points=True), ("marks", marks)])
    return figure


def _fence(
    measure: Measure, finals: pd.Series, variation: Variation, roles: Roles
) -> dict[str, Measure]:
    """The measure as `fenced` for each target that has panels of its own, or by ``""`` for all."""
    parts = {target: own.to_numpy() for target, own in variation.by_target(finals).items()}
    if roles.target:
        return {target: measure.fenced(own) for target, own in parts.items()}
    return {"": measure.fenced(*parts.values())}


def _turn_crowded(ticks: Sequence[str], figure: Figure, panels: Sequence[Axes]) -> None:
    """Turn texts along x that would touch each other, in a figure that grows by their length."""
    width, height = figure.get_size_inches()
    beside = len({panel.get_position().x0 for panel in panels})
    widths = [max(map(len, tick.split("\n"))) for tick in ticks]
    if (sum(widths) + 2 * len(widths)) * _LETTER > width / beside - _Y_LABEL:
        figure.set_size_inches(width, height + max(widths) * _LETTER)
        for panel in panels:
            panel.tick_params(axis="x", labelrotation=90)


def _draw_points(
    panel: Axes, runs: pd.DataFrame, measure: Measure, *, color: str, marker: str, joined: bool
) -> None:
    """All runs of one colour and marker, and their estimates joined along a numeric axis."""
    summary = measure.summaries(runs["final"], runs["x"]).sort_index()
    shown = summary["estimate"].dropna()
    if joined and len(shown) > 1:
        panel.plot(shown.index, shown, color=color, linewidth=0.7, alpha=0.6)
    look = style.POINT | {"marker": marker, "markersize": 5}
    if len(summary) < len(runs):
        layout.draw_intervals(panel, summary, color, **_DASH)
        look |= {"markersize": 3.5, "alpha": 0.7}
    panel.plot(runs["x"], runs["y"], **look, color=color)


def _mark_diverged(panels: layout.Panels, gone: pd.DataFrame) -> None:
    """Crosses at the upper edge, where nothing else lies, for runs that have no final value."""
    axes = {min(map(id, p.get_shared_y_axes().get_siblings(p))): p for p in panels.values()}
    for panel in axes.values():
        to_axes = panel.transData + panel.transAxes.inverted()
        panel.set_ylim(top=to_axes.inverted().transform((0.0, 1.12))[1])
    for key, group in gone.groupby(["row", "column"], sort=False):
        panel = panels[key]
        top = np.full(len(group), 0.96)
        panel.plot(group["x"], top, transform=panel.get_xaxis_transform(), **style.DIVERGED)
