"""The whole sweep at a glance: final errors of all four quantities, side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from inr.quantities import QUANTITIES
from postprocess.intervals import Interval
from postprocess.plots import style
from postprocess.plots.legends import Section, add_legend, blank, interval_entries, role_sections
from postprocess.plots.plot_variable import metric
from postprocess.stats.factors import Axis, Roles, Variation

_MOST_ROWS = 16
_ROW, _COLOR = 0.24, 0.05  # inches: a row of one colour, and each further colour
_MEASURES = [metric(f"nmse_{quantity}") for quantity in QUANTITIES]


def draw_overview(runs: pd.DataFrame, variation: Variation) -> Figure:
    """Final normalised errors, a panel for each quantity and a line for each combination.

    Points are interquartile means over the runs that differ in the seed alone, bars their
    bootstrap intervals (`Measure.summarise`). Combinations are ordered by the geometric mean of
    the four errors of their best colour; a sweep with many shows the best ones.

    Args:
        runs: Rows of ``/runs`` that have results.
        variation: The settings that differ between them.
    """
    hue = next((a for a in variation.axes if len(a.levels) <= style.MOST_COLORS), None)
    named = [axis for axis in variation.axes if axis != hue]
    measures = [each.fenced(runs[each.column].to_numpy(float)) for each in _MEASURES]
    table = _summaries(runs, variation, hue, named)
    order = _order(table)
    shown = order[:_MOST_ROWS]
    levels = hue.levels if hue else ("",)
    row = _ROW + _COLOR * (len(levels) - 1)
    figure = Figure(figsize=(style.PAGE_WIDTH, 1.0 + row * len(shown)))
    panels = figure.subplots(1, len(measures), sharey=True)
    palette = style.colors(hue)
    for panel, measure in zip(panels, measures, strict=True):
        for (name, level), interval in table[measure.column].items():
            if name in shown:
                shift = (levels.index(level) - (len(levels) - 1) / 2) * _COLOR / row
                position, color = shown.index(name) + shift, palette[level]
                reach = measure.drawable(np.array([interval.low, interval.high]))
                panel.plot(reach, [position] * 2, color=color, linewidth=1)
                middle = measure.drawable(np.array(interval.estimate))
                panel.plot(middle, position, "o", color=color, markersize=4.5)
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
    sections = [*role_sections(Roles(hue=hue), points=True), Section("line", marks)]
    if variation.seeds > 1:
        entries = interval_entries(variation.seeds, "o")
        if table.map(_is_partly_failed).to_numpy().any():
            entries.append((blank(), "bar alone: too many runs diverged"))
        sections.append(Section("seeds", entries))
    add_legend(figure, sections)
    return figure


def _summaries(
    runs: pd.DataFrame, variation: Variation, hue: Axis | None, named: list[Axis]
) -> pd.DataFrame:
    """The interval of each error, [(name of the combination, level of its colour), error]."""
    names = variation.levels[[axis.key for axis in named]].agg(", ".join, axis=1) if named else ""
    keys = pd.DataFrame({"name": names}, index=runs.index)
    keys["hue"] = variation.levels[hue.key] if hue else ""
    groups = runs.groupby([keys["name"], keys["hue"]], sort=False)
    return pd.DataFrame(
        {
            measure.column: groups[measure.column].agg(
                lambda values, measure=measure: measure.drawable_summary(values.to_numpy(float))
            )
            for measure in _MEASURES
        }
    )


def _is_partly_failed(interval: Interval) -> bool:
    return bool(np.isnan(interval.estimate) and np.isfinite(interval.low))


def _order(table: pd.DataFrame) -> list[str]:
    """Names of the combinations, best first; those without finite errors last."""
    estimates = table.map(lambda interval: interval.estimate).astype(float)
    score = np.log(estimates).mean(axis=1, skipna=False)
    best = score.groupby("name", sort=False).min()
    return [str(name) for name in best.sort_values(na_position="last", kind="stable").index]
