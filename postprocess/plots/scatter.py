"""Scatter figures: held-out against on-grid errors, and errors against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from postprocess.plots import style
from postprocess.plots.legends import Section, add_legend, role_sections
from postprocess.plots.plot_variable import Measure
from postprocess.stats.factors import Axis, Roles, Variation

Pair = tuple[Measure, Measure]  # horizontal, vertical


def draw_pairs(
    pairs: Sequence[Pair], runs: pd.DataFrame, variation: Variation, *, diagonal: bool
) -> Figure:
    """One panel for each pair of measures, one point for each run.

    Args:
        pairs: Columns of ``runs`` to draw against each other.
        runs: Rows of ``/runs`` that have results.
        variation: The settings that differ; the first two of few levels are colour and marker.
        diagonal: Both measures of a pair are in the same unit: draw the line of equality.
    """
    pairs = [_fence(pair, runs, together=diagonal) for pair in pairs]
    roles = _two_roles(variation)
    wide = style.panels_side_by_side(len(pairs))
    high = math.ceil(len(pairs) / wide)
    figure = Figure(
        figsize=(style.PAGE_WIDTH, 2.3 * high),
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06),
    )
    panels = figure.subplots(high, wide, squeeze=False).flat
    for unused in panels[len(pairs) :]:
        unused.remove()
    for panel, (x, y) in zip(panels, pairs, strict=False):
        _draw_panel(panel, x, y, runs, variation.places(roles), roles)
        if diagonal:
            _draw_diagonal(panel)
        panel.set(xlabel=x.wrapped_label, ylabel=y.wrapped_label)
    equality = Line2D([], [], color=style.NEUTRAL, linewidth=0.8, linestyle="--")
    marks = Section("line", [(equality, "both equal")] if diagonal else [])
    add_legend(figure, [*role_sections(roles, points=True), marks])
    return figure


def _fence(pair: Pair, runs: pd.DataFrame, *, together: bool) -> Pair:
    """Both measures without what lies far out, from the same limit on if ``together``."""
    finals = [runs[measure.column].to_numpy(float) for measure in pair]
    x, y = (measure.fenced(own) for measure, own in zip(pair, finals, strict=True))
    if together:
        ceiling = x.fenced(np.concatenate(finals)).ceiling
        x, y = replace(x, ceiling=ceiling), replace(y, ceiling=ceiling)
    return x, y


def _two_roles(variation: Variation) -> Roles:
    """Colour for the first axis that colours can show, a marker for the next."""
    hue: Axis | None = None
    mark: Axis | None = None
    for axis in variation.axes:
        if hue is None and len(axis.levels) <= style.MOST_COLORS:
            hue = axis
        elif mark is None and len(axis.levels) <= style.MOST_MARKERS:
            mark = axis
    return Roles(hue=hue, style=mark)


def _draw_panel(
    panel: Axes, x: Measure, y: Measure, runs: pd.DataFrame, places: pd.DataFrame, roles: Roles
) -> None:
    palette, marks = style.colors(roles.hue), style.markers(roles.style)
    for (hue, mark), group in places.groupby(["hue", "style"], sort=False):
        across = x.drawable(runs.loc[group.index, x.column].to_numpy())
        up = y.drawable(runs.loc[group.index, y.column].to_numpy())
        both = np.isfinite(across) & np.isfinite(up)
        panel.plot(
            across[both],
            up[both],
            linestyle="none",
            marker=marks[mark],
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.4,
            color=palette[hue],
        )
    panel.margins(0.12)
    x.finish(panel, "x")
    y.finish(panel, "y")


def _draw_diagonal(panel: Axes) -> None:
    """The line of equality, from corner to corner: both axes get the limits of both."""
    x_limits, y_limits = panel.get_xlim(), panel.get_ylim()
    low, high = min(*x_limits, *y_limits), max(*x_limits, *y_limits)
    panel.set(xlim=(low, high), ylim=(low, high))
    panel.plot(
        [low, high], [low, high], color=style.NEUTRAL, linewidth=0.8, linestyle="--", zorder=1
    )
