"""The whole sweep at a glance: final errors of all four quantities, side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from inr.results import QUANTITIES
from postprocess import style
from postprocess.legends import Section, add_legend, role_sections
from postprocess.measure import metric
from postprocess.variation import Axis, Roles, Variation

_MOST_ROWS = 16
_MEASURES = [metric(f"nmse_{quantity}") for quantity in QUANTITIES]


def draw_overview(runs: pd.DataFrame, variation: Variation) -> Figure:
    """Final normalised errors, a panel for each quantity and a line for each combination.

    Points are medians over the runs that differ in the seed alone, bars reach from the lowest to
    the highest. Combinations are ordered by the geometric mean of the four errors of their best
    colour; a sweep with many shows the best ones.

    Args:
        runs: Rows of ``/runs`` that have results.
        variation: The settings that differ between them.
    """
    hue = next((a for a in variation.axes if len(a.levels) <= style.MOST_COLORS), None)
    named = [axis for axis in variation.axes if axis != hue]
    table = _table(runs, variation, hue, named)
    order = _order(table)
    shown = order[:_MOST_ROWS]
    figure = Figure(figsize=(style.PAGE_WIDTH, 1.0 + 0.24 * len(shown)))
    panels = figure.subplots(1, len(_MEASURES), sharey=True)
    palette = style.colors(hue)
    for panel, measure in zip(panels, _MEASURES, strict=True):
        for position, name in enumerate(shown):
            for level, group in table[table["name"] == name].groupby("hue", sort=False):
                values = group[measure.column].dropna()
                if len(values):
                    reach = [values.min(), values.max()]
                    panel.plot(reach, [position] * 2, color=palette[level], linewidth=1)
                    panel.plot(values.median(), position, "o", color=palette[level], markersize=5)
        panel.axvline(1, color=style.NEUTRAL, linewidth=0.8, linestyle="--", zorder=1)
        measure.finish(panel, "x")
        panel.set_title(measure.label.partition(" MSE")[0])
        panel.set_xlabel("final MSE / variance")
    panels[0].set_yticks(range(len(shown)), shown)
    panels[0].set_ylim(len(shown) - 0.5, -0.5)
    heading = "rows: " + ", ".join(axis.label for axis in named) if named else ""
    if len(shown) > 1:
        which = "" if len(order) == len(shown) else f"; {len(shown)} of {len(order)}"
        heading += f"\nbest first, by the mean of the four logarithms{which}"
    figure.suptitle(heading, x=0.01, ha="left")
    mean = Line2D([], [], color=style.NEUTRAL, linewidth=0.8, linestyle="--")
    marks: list[tuple[Artist, str]] = [(mean, "predicting the mean")]
    if variation.seeds > 1:
        span = Line2D([], [], color=style.NEUTRAL, linewidth=1)
        marks.append((span, "lowest to highest seed; point: median"))
    add_legend(figure, [*role_sections(Roles(hue=hue), points=True), Section("lines", marks)])
    return figure


def _table(
    runs: pd.DataFrame, variation: Variation, hue: Axis | None, named: list[Axis]
) -> pd.DataFrame:
    """One row a run: name of its combination, level of its colour, drawable errors."""
    names = variation.levels[[axis.key for axis in named]].agg(", ".join, axis=1) if named else ""
    table = pd.DataFrame({"name": names}, index=runs.index)
    table["hue"] = variation.levels[hue.key] if hue else ""
    for measure in _MEASURES:
        table[measure.column] = measure.drawable(runs[measure.column].to_numpy())
    return table


def _order(table: pd.DataFrame) -> list[str]:
    """Names of the combinations, best first; those without finite errors last."""
    columns = [measure.column for measure in _MEASURES]
    medians = table.groupby(["name", "hue"], sort=False)[columns].median()
    score = np.log(medians).mean(axis=1, skipna=False)
    best = score.groupby("name", sort=False).min()
    return [str(name) for name in best.sort_values(na_position="last", kind="stable").index]
