"""The whole sweep at a glance: final errors of all four quantities, side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from postprocess.dataset.read import MergedSweep
from postprocess.plots import style
from postprocess.plots.layout import (
    Drawings,
    Section,
    add_legend,
    draw_intervals,
    handle,
    interval_entries,
    role_sections,
)
from postprocess.plots.plot_variable import ERRORS
from postprocess.stats.factors import Roles, Variation

_MOST_ROWS = 16
_ROW, _COLOR = 0.24, 0.05  # inches: a row of one colour, and each further colour


def figures(merged: MergedSweep, variation: Variation) -> Drawings:
    """One figure, for every sweep."""
    return {"overview": lambda: draw_overview(merged.readable, variation)}


def draw_overview(runs: pd.DataFrame, variation: Variation) -> Figure:
    """Final normalised errors, a panel for each quantity and a line for each combination.

    Points are interquartile means over the runs that differ in the seed alone, bars their
    bootstrap intervals (`Measure.summarise`). Combinations are ordered by the geometric mean of
    the four errors of their best colour; a sweep with many shows the best ones.

    Args:
        runs: Rows of ``/runs`` that have results.
        variation: The settings that differ between them.
    """
    hue = style.color_axis(variation)
    palette = style.colors(hue)
    named = [axis for axis in variation.axes if axis != hue]
    names = variation.levels[[axis.key for axis in named]].agg(", ".join, axis=1) if named else ""
    keys = variation.places(Roles(hue=hue)).assign(name=names)
    errors = {m.column: m.summaries(runs[m.column], [keys["name"], keys["hue"]]) for m in ERRORS}
    order = _order(errors)
    shown = order[:_MOST_ROWS]
    lines = pd.MultiIndex.from_product([shown, palette])
    row = _ROW + _COLOR * (len(palette) - 1)
    shifts = (np.arange(len(palette)) - (len(palette) - 1) / 2) * _COLOR / row
    figure = Figure(figsize=(style.PAGE_WIDTH, 1.0 + row * len(shown)))
    panels = figure.subplots(1, len(ERRORS), sharey=True)
    for panel, measure in zip(panels, ERRORS, strict=True):
        fenced = measure.fenced(runs[measure.column].to_numpy(float))
        table = errors[measure.column].reindex(lines)
        table[:] = fenced.drawable(table.to_numpy())
        draw_intervals(
            panel,
            np.add.outer(np.arange(len(shown)), shifts).ravel(),
            table,
            [*palette.values()] * len(shown),
            across=True,
            s=20,
        )
        panel.axvline(1, **style.REFERENCE)
        fenced.finish(panel, "x")
        panel.set_title(measure.label.partition(" MSE")[0])
        panel.set_xlabel("final MSE / variance")
    panels[0].set_yticks(range(len(shown)), shown)
    panels[0].set_ylim(len(shown) - 0.5, -0.5)
    heading = "rows: " + ", ".join(axis.label for axis in named) if named else ""
    if len(shown) > 1:
        which = "" if len(order) == len(shown) else f"; {len(shown)} of {len(order)}"
        heading += f"\nbest first, by the mean of the four logarithms{which}"
    figure.suptitle(heading, x=0.01, ha="left")
    reference: Section = ("line", [(handle(**style.REFERENCE), "predicting the mean")])
    sections = [*role_sections(Roles(hue=hue), points=True), reference]
    if variation.seeds > 1:
        entries = interval_entries(variation.seeds, marker="o")
        if any((each["estimate"].isna() & each["low"].notna()).any() for each in errors.values()):
            entries.append((handle(), "bar alone: too many runs diverged"))
        sections.append(("seeds", entries))
    add_legend(figure, sections)
    return figure


def _order(errors: dict[str, pd.DataFrame]) -> list[str]:
    """Names of the combinations, best first; those without finite errors last."""
    estimates = pd.DataFrame({column: table["estimate"] for column, table in errors.items()})
    score = np.log(estimates).mean(axis=1, skipna=False)
    best = score.groupby(level=0, sort=False).min()
    return [str(name) for name in best.sort_values(na_position="last", kind="stable").index]
