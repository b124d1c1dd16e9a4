"""The look of every figure: sizes for print, colour-blind-safe colours, legends, saving."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inr.files import replace_atomically
from postprocess.stats.factors import Axis

COLUMN_WIDTH = 3.5  # inches, one column of a two-column page
PAGE_WIDTH = 7.16  # inches, both columns
PANEL_HEIGHT = 2.1  # inches
FORMATS = ("png", "pdf")

NEUTRAL = "#444444"
DIVERGED: dict[str, Any] = {
    "linestyle": "none",
    "marker": "x",
    "markersize": 5,
    "markeredgewidth": 1.4,
    "color": "#000000",
    "zorder": 5,
}
ESTIMATE: dict[str, Any] = {  # of several runs
    "linestyle": "none",
    "marker": "_",
    "markersize": 9,
    "markeredgewidth": 1.6,
}
INTERVAL_WIDTH = 1.0  # points
MOST_COLORS = 7  # levels that colours can tell apart
MOST_MARKERS = 6
_DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (4, 1.5),
    (1, 1.2),
    (5, 1.2, 1, 1.2),
    (5, 1.2, 1, 1.2, 1, 1.2),
)
_MARKERS = ("o", "s", "^", "D", "v", "P")
# Okabe and Ito's colours, which people with any colour vision can tell apart, without the yellow
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def use_style() -> None:
    """Set the fonts and lines of all figures that follow.

    Embedding fonts is most of the time that a PDF takes, so there is no bold, and no mathematics.
    """
    mpl.rcdefaults()  # nothing from a matplotlibrc of the user's
    sns.set_theme(
        context="paper",
        style="ticks",
        rc={
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "savefig.dpi": 200,
            "font.size": 8,
            "axes.labelsize": 8,
            "axes.titlesize": 8,
            "figure.titlesize": 8,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "legend.fontsize": 7,
            "legend.frameon": False,
            "lines.linewidth": 1.2,
            "axes.linewidth": 0.6,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "xtick.major.size": 3,
            "ytick.major.size": 3,
            "xtick.minor.size": 1.5,
            "ytick.minor.size": 1.5,
            "xtick.minor.width": 0.4,
            "ytick.minor.width": 0.4,
            "axes.grid": True,
            "grid.linewidth": 0.4,
            "grid.color": "#dddddd",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "pdf.fonttype": 42,  # TrueType, which journals ask for
        },
    )


def some_colors(count: int) -> tuple[str, ...]:
    """The first colours; at most `MOST_COLORS`."""
    return _COLORS[:count]


def colors(axis: Axis | None) -> dict[str, str]:
    """A colour for each level; a sequence from dark to light for numbers. ``""`` without axis."""
    if axis is None:
        return {"": _COLORS[0]}
    if axis.numeric and len(axis.levels) > 2:
        shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(axis.levels)))
        return {level: mpl.colors.to_hex(c) for level, c in zip(axis.levels, shades, strict=True)}
    return {level: _COLORS[i % len(_COLORS)] for i, level in enumerate(axis.levels)}


def dashes(axis: Axis | None) -> dict[str, tuple[float, ...]]:
    """A dash pattern for each level, in line widths; empty for a solid line."""
    levels = axis.levels if axis else ("",)
    return {level: _DASHES[i % len(_DASHES)] for i, level in enumerate(levels)}


def markers(axis: Axis | None) -> dict[str, str]:
    """A marker for each level."""
    levels = axis.levels if axis else ("",)
    return {level: _MARKERS[i % len(_MARKERS)] for i, level in enumerate(levels)}


@dataclass(frozen=True)
class Grid:
    """The panels of one figure."""

    figure: Figure
    panels: dict[tuple[str, str], Axes]  # (row level, column level); "" where there is no axis

    def label(self, x: str, y: str) -> None:
        """Name the axes, once for each column and each row of panels."""
        for panel in self.panels.values():
            panel.set_xlabel(x if _lowest(panel, self.panels.values()) else "")
            panel.set_ylabel(textwrap.fill(y, 24) if _place(panel)[0] == 0 else "")


def make_grid(
    row: Axis | None,
    column: Axis | None,
    *,
    height: float = PANEL_HEIGHT,
    crowded: bool = False,
) -> Grid:
    """Panels for every level of ``row`` and ``column``, with shared axes and labelled levels.

    Columns wrap when there are no rows. ``height`` is that of one panel in inches. A
    ``crowded`` panel is as wide as the page even if it is the only one.
    """
    rows = row.levels if row else ("",)
    columns = column.levels if column else ("",)
    wide = len(columns) if row else panels_side_by_side(len(columns))
    high = len(rows) if row else math.ceil(len(columns) / wide)
    width = COLUMN_WIDTH if wide == 1 and not crowded else max(PAGE_WIDTH, 1.7 * wide)
    figure = Figure(figsize=(width, height * high))
    axes = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False)
    keys = [(r, c) for r in rows for c in columns]
    panels = dict(zip(keys, axes.flat, strict=False))
    for unused in axes.flat[len(keys) :]:
        unused.remove()
    for (row_level, column_level), panel in panels.items():
        if column and (not row or row_level == rows[0]):
            panel.set_title(column_level)
        if row and column_level == columns[-1]:
            panel.annotate(
                f"{row.label}: {row_level}",
                (1.03, 0.5),
                xycoords="axes fraction",
                rotation=270,
                va="center",
            )
        panel.tick_params(labelbottom=_lowest(panel, panels.values()))
    if column:
        figure.suptitle(column.label)
    return Grid(figure, panels)


def panels_side_by_side(count: int) -> int:
    """How many of ``count`` panels stand in one row."""
    return 2 if count == 4 else min(count, 3)


def _lowest(panel: Axes, others: Iterable[Axes]) -> bool:
    """True when no other panel lies below ``panel``."""
    column, bottom = _place(panel)
    places = [_place(other) for other in others]
    return not any(c == column and b > bottom for c, b in places)


def _place(panel: Axes) -> tuple[int, int]:
    spec = panel.get_subplotspec()
    assert spec is not None
    return spec.colspan.start, spec.rowspan.start


def save(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write ``stem.png`` and so on, each completely or not at all; returns the paths."""
    engine = figure.get_layout_engine()
    assert engine is not None  # see `use_style`
    engine.execute(figure)  # once, not once per format
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)  # with "none", every file would be drawn twice
    paths = []
    for suffix in formats:
        path = stem.with_name(f"{stem.name}.{suffix}")
        # no dates: the same data give the same bytes
        metadata = {"CreationDate": None} if suffix == "pdf" else {"Software": None}
        with replace_atomically(path) as temporary:
            figure.savefig(temporary, format=suffix, metadata=metadata)
        paths.append(path)
    return paths
