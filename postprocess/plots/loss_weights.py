"""Figures of a sweep over many loss weightings: ranking, ranks, Pareto fronts, influence."""

from collections.abc import Sequence
from functools import partial
from itertools import chain, groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inr.quantities import QUANTITIES
from postprocess.dataset.merged_sweep import MergedSweep
from postprocess.plots import layout, style
from postprocess.plots.plot_variable import ERRORS
from postprocess.stats.factors import Variation
from postprocess.stats.loss_weightings import MANY, NAMES, OVERALL, Weightings, find_weightings

_ORDER = "value, gradient, Laplacian, time derivative"
_TOP = 4
_ERRORS = [*NAMES.values(), OVERALL]
_VALUE, _OVERALL = 0, len(_ERRORS) - 1
_FRONT: dict[str, Any] = {"color": style.COLORS[0], "marker": "o", "markersize": 3.5}
_OTHER: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 2.5,
    "color": style.PALE,
    "alpha": 0.7,
}
_CLOSE = (0.13, 0.06)  # parts of a panel within which numbers would touch


def figures(merged: MergedSweep, _variation: Variation) -> layout.Drawings:
    """What only a sweep over many weightings can show."""
    weightings = find_weightings(merged.readable)
    if len(weightings) < MANY:
        return {}
    draws = (draw_ranking, draw_ranks, draw_pareto, draw_influence)
    return {f"weights_{d.__name__.removeprefix('draw_')}": partial(d, weightings) for d in draws}


def draw_ranking(weightings: Weightings) -> Figure:
    """A table of the best weightings by value error and over all, with their rank on each error.

    Colour is the rank, so that a row says at a glance where a weighting is good and where not.
    """
    figure = Figure(figsize=(style.PAGE_WIDTH * 0.75, 3.6))
    titles = {_VALUE: "lowest value error", _OVERALL: "lowest error over all"}
    for panel, (error, title) in zip(figure.subplots(2, 1), titles.items(), strict=True):
        rows = weightings.best(error, _TOP)
        names = [weightings.names[row] for row in rows]
        errors, ranks = weightings.errors[rows], weightings.ranks[rows]
        texts = [
            [f"{error:.3g}\n#{rank}" for error, rank in zip(*row, strict=True)]
            for row in zip(errors, ranks, strict=True)
        ]
        panel.set_title(f"{title}: best {len(rows)} of {len(weightings)}", loc="left")
        shades = ranks / len(weightings)
        layout.draw_table(panel, shades, texts, rows=names, columns=_ERRORS, colors="cividis_r")
    figure.suptitle(
        f"weights: {_ORDER}\nfinal MSE / variance, # rank among {len(weightings)}; dark: worse"
    )
    return figure


def draw_ranks(weightings: Weightings) -> Figure:
    """The rank of each weighting on each error: a line for each, the best on value in colour."""
    figure = Figure(figsize=(style.PAGE_WIDTH * 0.75, 3.4))
    panel = figure.subplots()
    best = weightings.best(_VALUE, _TOP)
    others = np.delete(weightings.ranks, best, axis=0)
    panel.plot(_ERRORS, others.T, color=style.PALE, linewidth=0.5, alpha=0.5)
    lines = panel.plot(_ERRORS, weightings.ranks[best].T, marker="o", markersize=4)
    for line, color in zip(lines, style.COLORS, strict=False):
        line.set_color(color)
    panel.set_xlim(-0.2, len(_ERRORS) - 0.8)
    panel.set_ylim(len(weightings) + 1, 0)
    panel.set_yticks(sorted({1, len(weightings), *range(20, len(weightings) - 5, 20)}))
    panel.set_ylabel(f"rank among {len(weightings)} weightings (1 is best)")
    panel.grid(visible=False, axis="y")
    names = [(line, weightings.names[i]) for line, i in zip(lines, best, strict=True)]
    other = layout.handle(color=style.PALE, linestyle="-", linewidth=0.8)
    rest = ("other lines", [(other, "all other weightings")])
    layout.add_legend(figure, [(f"lowest value error, weights: {_ORDER}", names), rest])
    return figure


def draw_pareto(weightings: Weightings) -> Figure:
    """Value error against each derivative's error, with the weightings that nothing beats."""
    fronts = [weightings.front(_VALUE, error) for error in range(1, len(QUANTITIES))]
    members = sorted({*chain(*fronts)}, key=lambda i: weightings.errors[i, _VALUE])
    numbers = {i: number for number, i in enumerate(members, start=1)}
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.8))
    panels = figure.subplots(1, len(fronts))
    for error, (panel, front) in enumerate(zip(panels, fronts, strict=True), start=1):
        errors = weightings.errors[:, [_VALUE, error]]
        panel.plot(*errors[np.isfinite(errors).all(axis=1)].T, **_OTHER)
        panel.plot(*errors[front].T, drawstyle="steps-post", linewidth=0.8, **_FRONT)
        panel.margins(x=0.2, y=0.12)
        ERRORS[_VALUE].finish(panel, "x")
        ERRORS[error].finish(panel, "y")
        panel.set(xlabel=layout.wrap(ERRORS[_VALUE].label), ylabel=layout.wrap(ERRORS[error].label))
        _number(panel, errors, front, numbers)
    keys = [(layout.handle(), f"{number}  {weightings.names[i]}") for i, number in numbers.items()]
    line = layout.handle(linestyle="-", linewidth=0.8, **_FRONT)
    marks = [(line, "Pareto front"), (layout.handle(**_OTHER), "other weightings")]
    layout.add_legend(figure, [("marks", marks), (f"weights: {_ORDER}", keys)])
    return figure


def _number(panel: Axes, errors: np.ndarray, front: Sequence[int], numbers: dict[int, int]) -> None:
    """Number the points of a front, those that lie close together with one text.

    To the lower left of each: nothing can lie there that is not on the front.
    """
    places = (panel.transScale + panel.transLimits).transform(errors)
    look: dict[str, Any] = {"ha": "right", "va": "top", "fontsize": 6, "color": _FRONT["color"]}
    groups: list[list[int]] = []
    for i in front:
        if groups and (np.abs(places[i] - places[groups[-1][0]]) < _CLOSE).all():
            groups[-1].append(i)
        else:
            groups.append([i])
    for group in groups:
        text, corner = _ranges([numbers[i] for i in group]), errors[group].min(axis=0)
        panel.annotate(text, corner, (4, -3), textcoords="offset points", **look)


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as in ``1-3, 5``."""
    # the number less its place is the same in all of a run
    groups = groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in group] for _, group in groups]
    return ", ".join(f"{run[0]}\N{EN DASH}{run[-1]}" if run[1:] else str(run[0]) for run in runs)


def draw_influence(weightings: Weightings) -> Figure:
    """Rank correlation of each weight with each error, with bootstrap intervals."""
    found = weightings.influence
    varied = sorted({weight for weight, _ in found})
    cells = [[found[weight, error] for error in range(len(_ERRORS))] for weight in varied]
    figure = Figure(figsize=(style.PAGE_WIDTH * 0.75, 0.9 + 0.45 * len(varied)))
    panel = figure.subplots()
    layout.draw_table(
        panel,
        np.array([[cell.estimate for cell in row] for row in cells]),
        [[f"{c.estimate:+.2f}\n{c.low:+.2f} to {c.high:+.2f}" for c in row] for row in cells],
        rows=[NAMES[QUANTITIES[weight]] for weight in varied],
        columns=_ERRORS,
        colors="RdBu_r",
        limits=(-1, 1),
    )
    panel.set(ylabel="weight of", xlabel="final error")
    figure.suptitle(
        f"Spearman's rank correlation over {len(weightings)} weightings and 95 % bootstrap "
        "interval\nblue, below 0: a larger weight goes with a smaller error"
    )
    return figure
