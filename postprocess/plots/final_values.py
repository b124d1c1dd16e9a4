"""Final values: the last recorded value of a metric, for all runs of a sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from postprocess.plots import style
from postprocess.plots.legends import Section, add_legend, interval_entries, role_sections
from postprocess.plots.plot_variable import Measure
from postprocess.stats.factors import RATE, ROLES, SCHEDULE, Axis, Roles, Variation

_RANKED = 25  # combinations shown where there are too many for panels
_POSITIONS = 16  # most levels along x
_COMFORTABLE = 12  # points beside each other in a narrow panel
_POINT: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 3.5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.4,
}
_LETTER = 0.055  # inches, of a text along x
_Y_LABEL = 0.6  # inches
_STEP = 0.12  # between groups that stand side by side, in positions along x
_SPREAD = 0.6  # at most, over all groups of one position


def draw_finals(measure: Measure, runs: pd.DataFrame, variation: Variation) -> Figure:
    """Draw the final values of ``measure`` by the axes that vary.

    Every run is a point. Runs that differ in the seed alone get their interquartile mean and its
    bootstrap interval (`Measure.summarise`). One axis lies along x, the others are colour, marker
    and panels. A sweep with too many combinations for that becomes a ranking of the best ones.

    Args:
        measure: What is drawn; a column of ``runs``.
        runs: Rows of ``/runs`` that have results.
        variation: The settings that differ between them.
    """
    measure = measure.fenced(runs[measure.column].to_numpy(float))
    variation = _without_gaps(variation)
    along = _axis_along_x(variation)
    roles = variation.assign(reserved=along)
    if roles.pooled:
        return _draw_ranking(measure, runs, variation)
    if along and not along.numeric and not roles.hue:
        roles = replace(roles, hue=along)  # the colours of the learning curves
    return _draw_positions(measure, runs, variation, along, roles)


def _without_gaps(variation: Variation) -> Variation:
    """Schedules and learning rates as one axis, where most of their combinations were not run.

    Uniform rates beside a few schedules that start from one of them would leave panels empty.
    """
    if 0 < variation.combinations_of_rates <= _POSITIONS:
        return variation.together(SCHEDULE, RATE)
    return variation


def _axis_along_x(variation: Variation) -> Axis | None:
    """The numeric axis with most levels, or else the first axis that fits."""
    fitting = [axis for axis in variation.axes if len(axis.levels) <= _POSITIONS]
    numeric = [axis for axis in fitting if axis.numeric]
    if numeric and "+" not in fitting[0].key:
        return max(numeric, key=lambda axis: len(axis.levels))
    return fitting[0] if fitting else None


def _draw_positions(
    measure: Measure, runs: pd.DataFrame, variation: Variation, along: Axis | None, roles: Roles
) -> Figure:
    """Points at equally spaced levels of one axis."""
    table = variation.places(roles)
    points = math.prod(len(axis.levels) for axis in {along, roles.hue, roles.style} if axis)
    grid = style.make_grid(roles.row, roles.column, crowded=points > _COMFORTABLE)
    table["final"] = runs[measure.column].astype(float)
    table["y"] = measure.drawable(table["final"].to_numpy())
    table["level"] = variation.levels[along.key] if along else ""
    levels = along.levels if along else ("",)
    table["x"] = table["level"].map({level: i for i, level in enumerate(levels)}).astype(float)
    table["x"] += _offsets(table, replace(roles, hue=None) if roles.hue == along else roles)
    for key, members in table.groupby(["row", "column"], sort=False):
        joined = along is not None and along.numeric
        _draw_points(grid.panels[key], members, roles, measure, joined=joined)
    ticks = [_in_lines(level) for level in levels] if along and "+" in along.key else levels
    for panel in grid.panels.values():
        measure.finish(panel)
        panel.set_xticks(range(len(levels)) if along else [], ticks if along else [])
        panel.set_xlim(-0.6, len(levels) - 0.4)
        panel.grid(visible=False, axis="x")
    _turn_crowded(ticks, grid)
    grid.label(along.label if along else "", f"final {measure.label}")
    named = replace(roles, hue=None) if roles.hue == along else roles  # x tells it already
    sections = role_sections(named, points=True)
    marks: list[tuple[Artist, str]] = []
    if table.duplicated([*ROLES, "x"]).any():
        marks.append((Line2D([], [], **_POINT, color=style.NEUTRAL), "one run"))
        marks += interval_entries(variation.seeds)
    if _mark_diverged(grid.panels, table):
        marks.append((Line2D([], [], **style.DIVERGED), "no finite value (diverged)"))
    add_legend(grid.figure, [*sections, Section("marks", marks)])
    return grid.figure


def _in_lines(level: str) -> str:
    """A learning rate below the name of its schedule."""
    return "\n".join(level.rsplit(" ", 1))


def _turn_crowded(ticks: Sequence[str], grid: style.Grid) -> None:
    """Turn texts along x that would touch each other, in a figure that grows by their length."""
    width, height = grid.figure.get_size_inches()
    beside = len({panel.get_position().x0 for panel in grid.panels.values()})
    widths = [max(map(len, tick.split("\n"))) for tick in ticks]
    if (sum(widths) + 2 * len(widths)) * _LETTER > width / beside - _Y_LABEL:
        grid.figure.set_size_inches(width, height + max(widths) * _LETTER)
        for panel in grid.panels.values():
            panel.tick_params(axis="x", labelrotation=90)


def _offsets(table: pd.DataFrame, roles: Roles) -> pd.Series:
    """Sideways shift of each run, so that colours and markers stand side by side."""
    groups = [
        (hue, mark)
        for hue in (roles.hue.levels if roles.hue else ("",))
        for mark in (roles.style.levels if roles.style else ("",))
    ]
    step = min(_STEP, _SPREAD / len(groups))
    shift = {group: (i - (len(groups) - 1) / 2) * step for i, group in enumerate(groups)}
    hues = table["hue"] if roles.hue else [""] * len(table)
    return pd.Series(
        [shift[group] for group in zip(hues, table["style"], strict=True)], index=table.index
    )


def _draw_points(
    panel: Axes, table: pd.DataFrame, roles: Roles, measure: Measure, *, joined: bool
) -> None:
    """All runs of one panel, and their estimates joined along a numeric axis."""
    palette, marks = style.colors(roles.hue), style.markers(roles.style)
    for (hue, mark), group in table.groupby(["hue", "style"], sort=False):
        summary = measure.summaries(group["final"], group["x"])
        shown = summary["estimate"].dropna()
        if joined and len(shown) > 1:
            panel.plot(shown.index, shown, color=palette[hue], linewidth=0.7, alpha=0.6)
        replicated = len(summary) < len(group)
        if replicated:
            _draw_intervals(panel, summary, palette[hue])
        panel.plot(
            group["x"],
            group["y"],
            **_POINT | {"marker": marks[mark], "markersize": 3.5 if replicated else 5},
            color=palette[hue],
            alpha=0.7 if replicated else 1.0,
        )


def _draw_intervals(panel: Axes, summary: pd.DataFrame, color: str) -> None:
    gaps = np.full(len(summary), np.nan)
    across = np.column_stack([summary.index, summary.index, gaps]).ravel()
    along = np.column_stack([summary["low"], summary["high"], gaps]).ravel()
    panel.plot(across, along, color=color, linewidth=style.INTERVAL_WIDTH, alpha=0.7)
    panel.plot(summary.index, summary["estimate"], color=color, **style.ESTIMATE)


def _mark_diverged(panels: dict[tuple[str, str], Axes], table: pd.DataFrame) -> bool:
    """Crosses at the upper edge for runs that have no final value; False if there are none."""
    gone = table[~np.isfinite(table["y"])]
    if gone.empty:
        return False
    _add_headroom(next(iter(panels.values())))  # panels share the axis
    for key, group in gone.groupby(["row", "column"], sort=False):
        panel = panels[key]
        top = np.full(len(group), 0.96)
        panel.plot(group["x"], top, transform=panel.get_xaxis_transform(), **style.DIVERGED)
    return True


def _add_headroom(panel: Axes) -> None:
    """Raise the upper limit, so that nothing lies near the upper edge."""
    to_axes = panel.transData + panel.transAxes.inverted()
    _, top = to_axes.inverted().transform((0.0, 1.12))
    panel.set_ylim(top=top)


def _draw_ranking(measure: Measure, runs: pd.DataFrame, variation: Variation) -> Figure:
    """The best combinations of settings from best to worst, one line each."""
    hue = next((a for a in variation.axes if len(a.levels) <= style.MOST_COLORS), None)
    keys = [axis.key for axis in variation.axes]
    levels = [variation.levels[key] for key in keys]
    ranking = measure.summaries(runs[measure.column], levels).rename_axis(keys)
    finite = ranking.dropna().sort_values("estimate", ascending=not measure.higher_is_better)
    best = finite.head(_RANKED).iloc[::-1].reset_index()
    palette = style.colors(hue)
    grid = style.make_grid(None, None, height=0.6 + 0.15 * len(best))
    (panel,) = grid.panels.values()
    for position, row in best.iterrows():
        color = palette[row[hue.key] if hue else ""]
        panel.plot([row["low"], row["high"]], [position] * 2, color=color, linewidth=1)
        panel.plot(row["estimate"], position, marker="o", markersize=4, color=color)
    named = [axis for axis in variation.axes if axis != hue]
    panel.set_yticks(
        range(len(best)), [", ".join(row) for row in best[[a.key for a in named]].to_numpy()]
    )
    measure.finish(panel, "x")
    gone = (
        f", {len(ranking) - len(finite)} without a finite value"
        if len(finite) < len(ranking)
        else ""
    )
    panel.set_title(f"best {len(best)} of {len(ranking)} combinations{gone}", loc="right")
    grid.label(f"final\n{measure.wrapped_label}", "\n".join(axis.label for axis in named))
    sections = role_sections(Roles(hue=hue), points=True)
    if len(ranking) < len(runs):
        sections.append(Section("runs", interval_entries(variation.seeds, "o")))
    add_legend(grid.figure, sections)
    return grid.figure
