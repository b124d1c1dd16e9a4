"""Scatter figures: held-out against on-grid errors, and errors against each other or the rate."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from postprocess.dataset.merged_sweep import MergedSweep
from postprocess.plots import layout, style
from postprocess.plots.plot_variable import ERRORS, Measure, held_out, metric
from postprocess.stats.factors import Roles, Variation
from postprocess.stats.learning_rates import distinct_schedules, integrated_rates

Pair = tuple[Measure, Measure]  # horizontal, vertical

_INTEGRATED = Measure("integrated_rate", "integrated learning rate (steps at 1e-4)", ranked=False)
_MANY_RATES = 3  # distinct ones, from which on errors can be seen to follow them


def figures(merged: MergedSweep, variation: Variation) -> layout.Drawings:
    """Two for every sweep, and one for several learning rates or schedules."""
    runs = merged.readable
    value, *derivatives = ERRORS
    tradeoff = [(value, derivative) for derivative in derivatives]
    drawings = {
        "heldout": lambda: draw_heldout(runs, variation),
        "tradeoff": lambda: draw_pairs(tradeoff, runs, variation),
    }
    if len(distinct_schedules(runs)) >= _MANY_RATES:
        drawings["integrated_rate"] = lambda: draw_integrated_rate(
            runs, integrated_rates(runs), variation
        )
    return drawings


def draw_heldout(runs: pd.DataFrame, variation: Variation) -> Figure:
    """Errors between the pixels and frames against errors on them."""
    where = held_out(runs)
    pairs = [
        (measure, replace(measure, column=f"heldout_{measure.column}", label=where))
        for measure in (*ERRORS, metric("psnr_value"), metric("pde_residual"))
    ]
    # a column is missing if no run got as far as measuring it
    columns = runs.columns.union([own.column for _, own in pairs], sort=False)
    return draw_pairs(pairs, runs.reindex(columns=columns), variation, diagonal=True)


def draw_integrated_rate(runs: pd.DataFrame, rates: pd.Series, variation: Variation) -> Figure:
    """Final errors of the four quantities against ``rates``: what `integrated_rates` gave."""
    table = runs.assign(**{_INTEGRATED.column: rates})
    return draw_pairs([(_INTEGRATED, error) for error in ERRORS], table, variation)


def draw_pairs(
    pairs: Sequence[Pair], runs: pd.DataFrame, variation: Variation, *, diagonal: bool = False
) -> Figure:
    """One panel for each pair of measures, one point for each run that has results.

    The first two settings of few levels are colour and marker; a first one of more levels is both.
    With ``diagonal``, measures of a pair are in the same unit: they get the same ceiling, and the
    line of equality.
    """
    hue = next((a for a in variation.axes if len(a.parts) == 1 or a.has_parts), None)
    few = (a for a in variation.axes if a != hue and len(a.levels) <= len(style.MARKERS))
    both = hue is not None and hue.has_parts
    roles = Roles(hue=hue, style=None if both else next(few, None))
    palette, markers = style.colors(roles.hue), style.each_level(roles.style, style.MARKERS)
    mark_by = "column" if both else "style"
    if both:
        markers = dict(zip(roles.columns, style.MARKERS, strict=False))
    figure, panels = layout.make_panels(len(pairs), height=2.4)
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.06)
    for panel, pair in zip(panels, pairs, strict=True):
        finals = [runs[measure.column].to_numpy(float) for measure in pair]
        if diagonal:
            finals = [np.concatenate(finals)] * 2
        x, y = (measure.fenced(own) for measure, own in zip(pair, finals, strict=True))
        points = variation.places(roles)
        points["x"] = x.drawable(runs[x.column].to_numpy())
        points["y"] = y.drawable(runs[y.column].to_numpy())
        points = points.dropna()
        for (level, mark), group in points.groupby(["hue", mark_by], sort=False):
            look = style.POINT | {"marker": markers[mark], "markersize": 4.5}
            panel.plot(group["x"], group["y"], **look, color=palette[level])
        panel.margins(0.12)
        if diagonal and len(points):  # both axes have the limits of both
            drawn = points[["x", "y"]].to_numpy()
            panel.update_datalim([(drawn.min(),) * 2, (drawn.max(),) * 2])
        x.finish(panel, "x")
        y.finish(panel, "y")
        if diagonal:  # from corner to corner
            ends = panel.get_xlim()
            panel.set_yticks(panel.get_xticks())
            panel.set(xlim=ends, ylim=ends)
            panel.plot(ends, ends, **style.REFERENCE)
        panel.set(xlabel=layout.wrap(x.label), ylabel=layout.wrap(y.label))
    sections = layout.role_sections(roles, points=True, markers=style.MARKERS if both else "o")
    marks = [(layout.handle(**style.REFERENCE), "both equal")] if diagonal else []
    layout.add_legend(figure, [*sections, ("line", marks)])
    return figure
