"""Settings from best to worst, a line each: by all four errors at a glance, or by one metric."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from postprocess.dataset.merged_sweep import MergedSweep
from postprocess.plots import layout, style
from postprocess.plots.plot_variable import ERRORS, ON_GRID, Measure, held_out
from postprocess.stats.factors import Axis, Roles, Variation
from postprocess.stats.ranking import OVERALL, add_scores

_MOST_HEIGHT = 8.7  # inches, of all rows
_LEAST_HEIGHT = 1.25  # of a panel
_FEW_ROWS = 2.0  # inches
_PANELS_WIDTH, _LETTER = 3.3, 0.055  # inches, of two panels, and of a letter beside them
_MOST_ROWS = 25
_RANKED = 25  # combinations in the ranking by one metric
_ROW, _COLOR = 0.24, 0.05  # inches: a row of one colour, and each further colour


def figures(merged: MergedSweep, variation: Variation) -> layout.Drawings:
    """One for every sweep, and the same of held-out errors where they were measured."""
    runs = merged.readable
    drawings = {"overview": partial(draw_overview, runs, variation)}
    if runs.filter(like="heldout_nmse_").notna().any(axis=None):
        drawings["overview_heldout"] = partial(draw_overview, runs, variation, points="heldout_")
    return drawings


def draw_overview(runs: pd.DataFrame, variation: Variation, *, points: str = "") -> Figure:
    """Final normalised errors, a panel for each quantity and a line for each combination.

    They are on the training grid, or on the ``points`` that begin the names of columns.

    Points are interquartile means over the runs that differ in the seed alone, bars their
    bootstrap intervals (`Measure.summarise`). Combinations are ordered by the geometric mean of
    the four errors of their best colour; a sweep with many shows the best ones.
    """
    roles, named, keys = _lines(variation)
    palette = style.colors(roles.hue)
    finals = {measure: runs[points + measure.column] for measure in ERRORS}
    errors = {measure: measure.summaries(own, keys) for measure, own in finals.items()}
    estimates = pd.DataFrame({m.column: table["estimate"] for m, table in errors.items()})
    scores = add_scores(estimates)[OVERALL.column]
    best = scores.groupby(level=0, sort=False).min()  # without finite errors last
    order = best.sort_values(na_position="last", kind="stable").index
    row = _ROW + _COLOR * (len(palette) - 1)
    shown = order[: min(_MOST_ROWS, int(_MOST_HEIGHT / row))]
    lines = pd.MultiIndex.from_product([shown, palette])
    shifts = (np.arange(len(palette)) - (len(palette) - 1) / 2) * _COLOR / row
    places = np.add.outer(np.arange(len(shown)), shifts).ravel()
    rows, wide, width = row * len(shown), len(ERRORS), style.PAGE_WIDTH
    if rows <= _FEW_ROWS:  # two beside two, which are legible on a small screen
        needed = _PANELS_WIDTH + _LETTER * max(map(len, shown))
        wide, width = 2, min(max(needed, style.COLUMN_WIDTH), style.PAGE_WIDTH)
    height = 0.45 + max(rows, _LEAST_HEIGHT)
    figure, panels = layout.make_panels(
        len(ERRORS), height=height, width=width, wide=wide, sharey=True
    )
    for panel, (measure, table) in zip(panels, errors.items(), strict=True):
        fenced = measure.fenced(finals[measure].to_numpy(float))
        drawn = table.reindex(lines).apply(fenced.drawable).set_axis(places)
        colors = [*palette.values()] * len(shown)
        layout.draw_intervals(panel, drawn, colors, across=True, s=20)
        panel.axvline(1, **style.REFERENCE)
        fenced.finish(panel, "x")
        panel.set_title(measure.label.partition(" MSE")[0])
    layout.name_axes(panels, "final MSE / variance", "")
    panels[0].set_yticks(range(len(shown)) if named else [], shown if named else [])
    panels[0].set_ylim(len(shown) - 0.5, -0.5)
    heading = f"errors {held_out(runs) if points else ON_GRID}"
    if named:
        heading += "\nrows: " + ", ".join(axis.label for axis in named)
    if len(shown) > 1:
        which = "" if len(order) == len(shown) else f"; {len(shown)} of {len(order)}"
        heading += f"; best geometric mean first{which}"
    layout.add_heading(figure, heading)
    reference = layout.handle(**style.REFERENCE)
    sections = layout.role_sections(roles, points=True)
    sections.append(("line", [(reference, "predicting the mean")]))
    if variation.seeds > 1:
        entries = layout.interval_entries(variation.seeds, marker="o")
        if any(table["low"].count() > table["estimate"].count() for table in errors.values()):
            entries.append((layout.handle(), "bar alone: too many runs diverged"))
        sections.append(("seeds", entries))
    layout.add_legend(figure, sections)
    return figure


def draw_ranking(measure: Measure, runs: pd.DataFrame, variation: Variation) -> Figure:
    """The best combinations by one metric, for a sweep with too many to show all of them.

    A panel for each target: combinations are ranked within it.
    """
    roles, named, keys = _lines(variation)
    palette = style.colors(roles.hue)
    rankings = {}
    for target, finals in variation.by_target(runs[measure.column]).items():
        own = measure.fenced(finals.to_numpy(float))
        rankings[target] = own, own.summaries(finals, keys)
    sizes = [len(ranking) for _, ranking in rankings.values()]
    most, beside = min(_RANKED, max(sizes)), min(len(rankings), 2)
    width = style.COLUMN_WIDTH if beside == 1 else style.PAGE_WIDTH
    figure, panels = layout.make_panels(
        len(rankings), height=0.6 + 0.15 * most, width=width, wide=beside
    )
    for panel, (target, (own, ranking)) in zip(panels, rankings.items(), strict=True):
        finite = ranking.dropna()
        finite = finite.sort_values("estimate", ascending=not own.higher_is_better, kind="stable")
        best = finite.head(_RANKED).iloc[::-1]
        colors = [palette[hue] for _, hue in best.index]
        layout.draw_intervals(panel, best.reset_index(drop=True), colors, across=True)
        panel.set_yticks(range(len(best)), [name for name, _ in best.index])
        own.finish(panel, "x")
        gone = len(ranking) - len(finite)
        title = f"best {len(best)} of {len(ranking)} combinations"
        title += f", {gone} without a finite value" if gone else ""
        if variation.target:
            title = f"{variation.target.label}: {target}\n{title}"
        panel.set_title(title, loc="right")
        panel.set_xlabel(layout.wrap(f"final {measure.label}"))
        panel.set_ylabel(layout.wrap(", ".join(axis.label for axis in named)))
    sections = layout.role_sections(roles, points=True)
    if sum(sizes) < len(runs):
        sections.append(("runs", layout.interval_entries(variation.seeds, marker="o")))
    layout.add_legend(figure, sections)
    return figure


def _lines(variation: Variation) -> tuple[Roles, list[Axis], list[pd.Series]]:
    """The colour, the axes that name a line, and the name and the colour's level of each run."""
    roles = Roles(hue=style.color_axis(variation))
    named = [axis for axis in variation.axes if axis != roles.hue]
    places = variation.places(roles)
    names = variation.levels[[axis.key for axis in named]].agg(", ".join, axis=1) if named else ""
    return roles, named, [places.assign(name=names)["name"], places["hue"]]
