"""Figures of a sweep over many loss weightings: ranking, ranks, Pareto fronts, influence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from inr.quantities import QUANTITIES
from postprocess.plots import style
from postprocess.plots.heatmap import draw_matrix
from postprocess.plots.legends import Section, add_legend
from postprocess.plots.plot_variable import metric
from postprocess.stats.loss_weightings import NAMES, OVERALL, Weightings

_ORDER = "weights: value, gradient, Laplacian, time derivative"
_TOP = 4
_ERRORS = [*NAMES.values(), OVERALL]
_VALUE, _OVERALL = 0, len(_ERRORS) - 1
_VALUE_MEASURE = metric("nmse_value")
_FRONT = "#0072B2"
_OTHER: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 2.5,
    "color": "#999999",
    "alpha": 0.7,
}
_KEY_COLUMNS = 3
_CLOSE = (0.13, 0.06)  # parts of a panel within which numbers would touch


def draw_ranking(weightings: Weightings) -> Figure:
    """A table of the best weightings by value error and over all, with their rank on each error.

    Colour is the rank, so that a row says at a glance where a weighting is good and where not.
    """
    figure = Figure(figsize=(style.PAGE_WIDTH * 0.75, 3.6))
    panels = figure.subplots(2, 1)
    for panel, error, title in zip(
        panels, (_VALUE, _OVERALL), ("lowest value error", "lowest error over all"), strict=True
    ):
        rows = weightings.best(error, _TOP)
        panel.set_title(f"{title}: best {len(rows)} of {len(weightings)}", loc="left")
        errors, ranks = weightings.errors[rows], weightings.ranks[rows]
        draw_matrix(
            panel,
            ranks / len(weightings),
            [
                [f"{error:.3g}\n#{rank}" for error, rank in zip(*row, strict=True)]
                for row in zip(errors, ranks, strict=True)
            ],
            rows=[weightings.names[row] for row in rows],
            columns=_ERRORS,
            colors="cividis_r",
            limits=(0, 1),
        )
    figure.suptitle(f"{_ORDER}\nfinal MSE / variance, # rank among {len(weightings)}; dark: worse")
    return figure


def draw_ranks(weightings: Weightings) -> Figure:
    """The rank of each weighting on each error: a line for each, the best on value in colour."""
    figure = Figure(figsize=(style.PAGE_WIDTH * 0.75, 3.4))
    panel = figure.subplots()
    across = np.arange(len(_ERRORS))
    best = weightings.best(_VALUE, _TOP)
    for i in range(len(weightings)):
        if i not in best:
            panel.plot(across, weightings.ranks[i], color="#999999", linewidth=0.5, alpha=0.5)
    entries: list[tuple[Artist, str]] = []
    shades = style.some_colors(len(best))
    for i, color in zip(best, shades, strict=True):
        (line,) = panel.plot(across, weightings.ranks[i], color=color, marker="o", markersize=4)
        entries.append((line, weightings.names[i]))
    panel.set_xticks(across, _ERRORS)
    panel.set_xlim(-0.2, len(_ERRORS) - 0.8)
    panel.set_ylim(len(weightings) + 1, 0)
    panel.set_yticks(sorted({1, len(weightings), *range(20, len(weightings) - 5, 20)}))
    panel.set_ylabel(f"rank among {len(weightings)} weightings (1 is best)")
    panel.grid(visible=False, axis="y")
    others = Line2D([], [], color="#999999", linewidth=0.8)
    add_legend(
        figure,
        [
            Section(f"lowest value error, {_ORDER}", entries),
            Section("other lines", [(others, "all other weightings")]),
        ],
    )
    return figure


def draw_pareto(weightings: Weightings) -> Figure:
    """Value error against each derivative's error, with the weightings that nothing beats."""
    derivatives = range(1, len(QUANTITIES))
    fronts = {error: weightings.front(_VALUE, error) for error in derivatives}
    members = {i for front in fronts.values() for i in front}
    numbers = {
        i: n for n, i in enumerate(sorted(members, key=lambda i: weightings.errors[i, 0]), 1)
    }
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.8))
    for panel, error in zip(figure.subplots(1, len(fronts)), derivatives, strict=True):
        _draw_front(panel, weightings.errors[:, [_VALUE, error]], fronts[error])
        _VALUE_MEASURE.finish(panel, "x")
        measure = metric(f"nmse_{QUANTITIES[error]}")
        measure.finish(panel, "y")
        panel.set(xlabel=_VALUE_MEASURE.wrapped_label, ylabel=measure.wrapped_label)
        _number(panel, weightings.errors[:, [_VALUE, error]], fronts[error], numbers)
    add_legend(figure, _front_sections(weightings.names, numbers))
    return figure


def _draw_front(panel: Axes, errors: np.ndarray, front: Sequence[int]) -> None:
    finite = np.isfinite(errors).all(axis=1)
    panel.plot(*errors[finite].T, **_OTHER)
    panel.plot(*errors[front].T, drawstyle="steps-post", color=_FRONT, linewidth=0.8)
    panel.plot(*errors[front].T, linestyle="none", marker="o", markersize=3.5, color=_FRONT)
    panel.margins(x=0.2, y=0.12)


def _number(panel: Axes, errors: np.ndarray, front: Sequence[int], numbers: dict[int, int]) -> None:
    """Number the points of a front, those that lie close together with one text.

    To the lower left of each: nothing can lie there that is not on the front.
    """
    to_axes = panel.transScale + panel.transLimits
    groups: list[list[int]] = []
    for i in sorted(front, key=lambda i: numbers[i]):
        if groups:
            apart = np.abs(np.subtract(*to_axes.transform(errors[[i, groups[-1][0]]])))
        if groups and (apart < _CLOSE).all():
            groups[-1].append(i)
        else:
            groups.append([i])
    for group in groups:
        panel.annotate(
            _ranges([numbers[i] for i in group]),
            errors[group].min(axis=0),
            xytext=(4, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=6,
            color=_FRONT,
        )


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as in ``1-3, 5``."""
    # the number less its place is the same in all of a run
    groups = groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in group] for _, group in groups]
    words = [f"{run[0]}\N{EN DASH}{run[-1]}" if run[1:] else str(run[0]) for run in runs]
    return ", ".join(words)


def _front_sections(names: Sequence[str], numbers: dict[int, int]) -> list[Section]:
    """The key to the numbers, in columns of equal length, and the marks."""
    front = Line2D([], [], color=_FRONT, marker="o", markersize=3.5, linewidth=0.8)
    marks: list[tuple[Artist, str]] = [
        (front, "Pareto front"),
        (Line2D([], [], **_OTHER), "other weightings"),
    ]
    keys: list[tuple[Artist, str]] = [
        (Line2D([], [], linestyle="none"), f"{number}  {names[i]}") for i, number in numbers.items()
    ]
    height = -(-len(keys) // _KEY_COLUMNS) or 1
    parts = [keys[start : start + height] for start in range(0, len(keys), height)]
    titles = ["value, gradient, Laplacian, time", "", ""]
    return [Section("marks", marks), *map(Section, titles, parts)]


def draw_influence(weightings: Weightings) -> Figure:
    """Rank correlation of each weight with each error, with bootstrap intervals."""
    found = weightings.influence
    varied = sorted({weight for weight, _ in found})
    cells = [[found[weight, error] for error in range(len(_ERRORS))] for weight in varied]
    figure = Figure(figsize=(style.PAGE_WIDTH * 0.75, 0.9 + 0.45 * len(varied)))
    panel = figure.subplots()
    draw_matrix(
        panel,
        np.array([[cell.estimate for cell in row] for row in cells]),
        [[f"{c.estimate:+.2f}\n{c.low:+.2f} to {c.high:+.2f}" for c in row] for row in cells],
        rows=[NAMES[QUANTITIES[weight]] for weight in varied],
        columns=_ERRORS,
        colors="RdBu_r",
        limits=(-1, 1),
    )
    panel.set(ylabel="weight of", xlabel="final error")
    panel.xaxis.set_label_position("top")
    figure.suptitle(
        f"Spearman's rank correlation over {len(weightings)} weightings and 95 % bootstrap "
        "interval\nblue, below 0: a larger weight goes with a smaller error"
    )
    return figure
