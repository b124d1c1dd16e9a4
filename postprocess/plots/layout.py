"""What figures are put together from: panels, coloured tables, legends, and a caption."""

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import PurePath
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.offsetbox import HPacker
from numpy.typing import ArrayLike

from postprocess.intervals import FEW
from postprocess.plots import style
from postprocess.stats.factors import Roles
from postprocess.stats.fields import DERIVATIVES, PROTOCOL, SEED

Drawings = Mapping[str, Callable[[], Figure]]  # file name without suffix -> draws the figure
Panels = dict[tuple[str, str], Axes]  # (row level, column level); "" where there is no axis
Entries = list[tuple[Artist, str]]
Section = tuple[str, Sequence[tuple[Artist, str]]]  # a titled column of a legend: its entries

_LABEL = 24  # letters in a line beside a panel
_SMALL = 6.0  # pt, of texts in cells
_LIGHT = 0.45  # luminance from which on black text reads better than white
_LETTERS_PER_INCH = 19  # of a legend
_HEADING_LETTERS = 16  # an inch
_HANDLE = 5  # letters, the room that it takes
_LEGEND_GAP = 7.0  # pt, between its entries
_BELOW: dict[str, Any] = {  # where a legend lies
    "loc": "outside lower center",
    "alignment": "left",
    "borderpad": 0,
    "borderaxespad": 0.3,
    "handlelength": 1.6,
    "handletextpad": 0.5,
    "labelspacing": 0.25,
}


def wrap(text: str, letters: int = _LABEL) -> str:
    """The lines of a text broken where they are longer: for a small panel, or some ``letters``."""
    return "\n".join(textwrap.fill(line, letters) for line in text.splitlines())


def make_panels(
    count: int, *, height: float, width: float = style.PAGE_WIDTH, wide: int = 0, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels of one ``height`` (inches), ``wide`` in a row.

    Three by default, or two of four. ``options`` are those of `Figure.subplots`.
    """
    wide = wide or (2 if count == 4 else min(count, 3))
    high = math.ceil(count / wide)
    figure = Figure(figsize=(width, height * high))
    axes = figure.subplots(high, wide, squeeze=False, **options).ravel()
    for unused in axes[count:]:
        unused.remove()
    return figure, list(axes[:count])


def make_role_panels(roles: Roles, *, crowded: bool = False) -> tuple[Figure, Panels]:
    """Panels for every level of ``roles.row`` and every one of ``roles.columns``, with titles.

    Axes are shared, but along y not between targets. Columns wrap when there are no rows. A
    ``crowded`` panel is as wide as the page even if it is the only one.
    """
    rows = roles.row.levels if roles.row else ("",)
    columns = roles.columns
    apart = "row" if roles.target == roles.row else False
    wide = len(columns) if roles.row else 0
    alone = len(columns) == 1 and not crowded
    figure, axes = make_panels(
        len(rows) * len(columns),
        height=2.1 if roles.row else 2.5,
        width=style.COLUMN_WIDTH if alone else max(style.PAGE_WIDTH, 1.7 * wide),
        wide=wide,
        sharex=True,
        sharey=apart if roles.target else True,
    )
    panels = dict(zip(((row, column) for row in rows for column in columns), axes, strict=True))
    for (row, column), panel in panels.items():
        if row == rows[0]:
            panel.set_title(wrap(column))
        if roles.row and column == columns[-1]:
            text, place = wrap(f"{roles.row.label}: {row}"), (1.03, 0.5)
            panel.annotate(text, place, xycoords="axes fraction", rotation=270, va="center")
    if roles.column:
        figure.suptitle(roles.column.label)
    return figure, panels


def name_axes(panels: Iterable[Axes], x: str, y: str) -> None:
    """Name axes, once for each column and each row of panels; so are ticks of shared axes."""
    panels = list(panels)
    for place, panel in enumerate(panels):
        spec = panel.get_subplotspec()
        assert spec is not None
        lowest, first = place + spec.get_gridspec().ncols >= len(panels), spec.is_first_col()
        panel.set_xlabel(x if lowest else "")
        panel.set_ylabel(wrap(y) if first else "")
        lowest |= len(panel.get_shared_x_axes().get_siblings(panel)) == 1
        first |= len(panel.get_shared_y_axes().get_siblings(panel)) == 1
        panel.tick_params(labelbottom=lowest, bottom=lowest, left=first)


def draw_table(
    panel: Axes,
    values: np.ndarray,
    texts: ArrayLike,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    colors: str,
    limits: tuple[float, float] = (0, 1),
) -> None:
    """Draw ``texts`` on cells coloured by ``values``, both [row, column]; NaN leaves one white.

    ``colors`` names a colour map, ``limits`` are the values of its first and last colour.
    """
    shades = mpl.colormaps[colors].with_extremes(bad="white")(mpl.colors.Normalize(*limits)(values))
    if len(rows):
        panel.imshow(shades, aspect="auto", interpolation="none")
    luminance = shades[..., :3] @ (0.2126, 0.7152, 0.0722)
    look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": _SMALL}
    for (row, column), light in np.ndenumerate(luminance):
        color = "black" if light > _LIGHT else "white"
        panel.text(column, row, str(np.asarray(texts)[row, column]), color=color, **look)
    panel.set_yticks(range(len(rows)), rows)
    panel.set_xticks(range(len(columns)), columns)
    panel.tick_params(length=0, labeltop=True, labelbottom=False)
    panel.xaxis.set_label_position("top")
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)


def draw_intervals(
    panel: Axes, summaries: pd.DataFrame, color: Any, *, across: bool = False, **marker: Any
) -> None:
    """Draw what `Measure.summaries` gave: a bar for each interval, a marker for each estimate.

    The index is their place along x, or along y if the bars lie ``across``. They have a ``color``
    each or for all, and a ``marker`` as `Axes.scatter` takes it.
    """
    draw_bars = panel.hlines if across else panel.vlines
    draw_bars(summaries.index, summaries["low"], summaries["high"], color, linewidth=1, zorder=2)
    points = [summaries.index, summaries["estimate"]]
    look = {"s": 16, "linewidths": 1, "zorder": 2} | marker
    panel.scatter(*(reversed(points) if across else points), color=color, **look)


def handle(**look: Any) -> Line2D:
    """What stands for a line or a marker in a legend; nothing without a ``look``."""
    return Line2D([], [], **{"color": style.NEUTRAL, "linestyle": "none"} | look)


def add_legend(figure: Figure, sections: Iterable[Section]) -> None:
    """Put one legend below the panels, in as few lines as it needs; it never covers data.

    A section begins a new line unless all of it fits into the one before.
    """
    sections = [(title, entries) for title, entries in sections if entries]
    if not sections:
        return
    letters = int(figure.get_figwidth() * _LETTERS_PER_INCH)
    shown = [entry for title, own in sections for entry in ((handle(), f"{title}:"), *own)]
    texts = [wrap(text, letters - _HANDLE) for _, text in shown]
    legend = figure.legend([look for look, _ in shown], texts, **_BELOW)
    _set_in_lines(legend, [1 + len(own) for _, own in sections])
    _make_room(figure, legend.get_window_extent().height)


def _set_in_lines(legend: Legend, lengths: Iterable[int]) -> None:
    """Arrange a legend of one column, of sections of some ``lengths`` with their titles, in lines.

    A table, which matplotlib makes of it, has columns as wide as their longest text.
    """
    (table,) = legend.get_children()[0].get_children()[1].get_children()
    items = iter(table.get_children()[:])
    gap, width = _LEGEND_GAP * legend.figure.dpi / 72, legend.figure.bbox.width
    lines: list[list[Artist]] = []
    left = 0.0  # of a line
    for length in lengths:
        section = list(islice(items, length))
        widths = [each.get_window_extent().width + gap for each in section]
        if sum(widths) > left:
            left = 0.0
            section[0] = section[0].get_children()[1]  # the text, without the room of a handle
        for item, taken in zip(section, widths, strict=True):
            if taken > left:
                lines.append([])
                left = width - gap
            lines[-1].append(item)
            left -= taken
    pack = partial(HPacker, pad=0, sep=_LEGEND_GAP, align="baseline")
    table.get_children()[:] = [pack(children=line) for line in lines]


def add_heading(figure: Figure, text: str) -> None:
    """Put a text above the panels, broken into lines where it is wider than the figure."""
    lines = wrap(text, int(figure.get_figwidth() * _HEADING_LETTERS))
    heading = figure.suptitle(lines, x=0.01, ha="left")
    _make_room(figure, heading.get_window_extent().height)


def _make_room(figure: Figure, height: float) -> None:
    """Make a figure higher by that of a text (pixels): the panels keep theirs."""
    width, panels = figure.get_size_inches()
    figure.set_size_inches(width, panels + height / figure.dpi)


def role_sections(
    roles: Roles, *, points: bool = False, markers: Sequence[str] = ("o",)
) -> list[Section]:
    """Legend sections for colour and line style, or for colour and marker.

    Points of the first part of the levels in colour have the first of ``markers``, and so on.
    """
    sections: list[Section] = []
    if roles.hue:
        palette = style.colors(roles.hue)
        for (name, part), marker in zip(roles.hue.parts.items(), cycle(markers), strict=False):
            look = {"marker": marker} if points else {"linestyle": "-"}
            sections.append((name, [(handle(color=palette[lv], **look), lv) for lv in part]))
    if roles.style:
        name, looks = ("marker", style.MARKERS) if points else ("linestyle", style.LINESTYLES)
        marks = style.each_level(roles.style, looks).items()
        entries = [(handle(**{name: mark}), level) for level, mark in marks]
        sections.append((roles.style.label, entries))
    return sections


def interval_entries(seeds: int, **estimate: Any) -> Entries:
    """Legend entries for what `Measure.summarise` gives of ``seeds`` runs: a marker on a line."""
    interval = f"range of {seeds} runs" if seeds <= FEW else "95 % bootstrap interval"
    bar = handle(linestyle="-", linewidth=1)
    return [(handle(**estimate), "interquartile mean"), (bar, interval)]


def study_scale(runs: pd.DataFrame) -> str:
    """Image, network, length and seeds of ``runs``, as far as all runs share them.

    For example ``camera 64 px · 4 hidden layers of 128 · 1,000 steps · 3 seeds``. Settings that
    differ are left out: figures show them. Runs by the original protocol, or of discrete
    derivatives, are called so, since their errors are against these.
    """

    def say(name: str, text: str) -> str:
        shared = name in runs and runs[name].nunique() == 1
        return text.format(runs[name].iloc[0]) if shared else ""

    depth = say("model.depth", "{:g} hidden layers")
    seeds = runs[SEED].nunique() if SEED in runs else 0
    parts = [
        f"{PurePath(say('data.image', '{}')).name} {say('data.size', '{:g} px')}".strip(),
        depth + say("model.width", " of {:g}" if depth else "{:g} units per hidden layer"),
        say("training.steps", "{:,.0f} steps"),
        f"{seeds} seed{'s' if seeds > 1 else ''}" if seeds else "",
    ]
    if say(PROTOCOL, "{}") == "original":
        parts.append("original protocol, errors on the training grid against its own targets")
    if say(DERIVATIVES, "{}") == "discrete":
        parts.append("target derivatives by discrete filters")
    return " · ".join(part for part in parts if part)


def state_scale(figure: Figure, scale: str) -> Figure:
    """Add the line to a finished figure, as the title of its legend; returns the figure."""
    if not scale:
        return figure
    (legend,) = figure.legends or [figure.legend([], [], **_BELOW)]
    before = legend.get_window_extent().height
    text = wrap(scale, int(figure.get_figwidth() * _LETTERS_PER_INCH))
    legend.set_title(text, prop=legend.prop)
    legend.get_title().set_color(style.NEUTRAL)
    _make_room(figure, legend.get_window_extent().height - before)
    return figure
