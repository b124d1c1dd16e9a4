"""A video the usual way: a matplotlib figure for every frame, of the same look as this product's.

Two rows of four panels with ``imshow``, titles, colour bars and texts, in the same places, from
the same pictures, scales and errors; drawn whole for every frame.
"""

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from postprocess.dataset.run_frames import PARTS, Column, RunFrames, blur
from postprocess.video.canvas import Box, Layout, extent
from postprocess.video.run_video import lay_out

_DPI = 100
_ROUNDING = 6  # of 255: no colour table has larger steps


def draw_frames(
    frames: RunFrames, name: str, sigmas: tuple[float, float], interpolation: str | None = None
) -> Iterator[np.ndarray]:
    """Every frame in turn as RGBA [row, column, 4]; ``interpolation`` as in ``imshow``."""
    for frame in range(len(frames)):
        with mpl.rc_context({"font.size": 11}):
            figure = _make_figure(frames, name, sigmas, frame, interpolation)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        yield np.asarray(canvas.buffer_rgba())


def _make_figure(
    frames: RunFrames,
    name: str,
    sigmas: tuple[float, float],
    frame: int,
    interpolation: str | None,
) -> Figure:
    layout = lay_out(frames.shape)
    width, height = layout.size
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    figure.set_layout_engine("none")
    time = frames.times[frame]
    caption = (
        f"frame {frame + 1} of {len(frames)}    network time {time:+.2f}    "
        f"blur σ = {blur(time, *sigmas):.2f} px"
    )
    center = {"ha": "center", "va": "center"}
    figure.text(0.5, 1 - 22 / height, name, weight="bold", fontsize=13, **center)
    figure.text(0.5, 1 - 46 / height, caption, **center)
    for number, column in enumerate(frames.columns):
        panels = []
        for row, part in enumerate(PARTS):
            panel = figure.add_axes(_shares(layout.panel(number, row), layout))
            image = panel.imshow(
                frames.picture(column.quantity, part, frame),
                cmap=column.colormap,
                vmin=column.low,
                vmax=column.high,
                interpolation=interpolation,
            )
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
            panels.append(panel)
        _name_panels(panels, column, number, frames.error(column, frame), layout)
        bar = figure.add_axes(_shares(layout.bar_box(number), layout))
        colorbar = figure.colorbar(image, cax=bar, orientation="horizontal", extend=column.extend)
        colorbar.ax.locator_params(nbins=4)
        colorbar.ax.tick_params(labelsize=10)
        colorbar.set_label(column.unit)
    return figure


def _shares(box: Box, layout: Layout) -> tuple[float, float, float, float]:
    """A box as matplotlib counts: left, bottom, width and height, as shares of the figure."""
    (rows, columns), (tall, wide), (width, height) = box, extent(box), layout.size
    return columns.start / width, 1 - rows.stop / height, wide / width, tall / height


def _name_panels(
    panels: list[Axes], column: Column, number: int, error: float, layout: Layout
) -> None:
    upper, lower = panels
    upper.set_title(column.title, fontsize=12, pad=7)
    if number == 0:
        upper.set_ylabel("target", fontsize=12, labelpad=8)
        lower.set_ylabel("network", fontsize=12, labelpad=8)
    lower.text(
        0.5,
        -6 / extent(layout.panel(0, 0))[0],
        f"MSE / variance {error:#.2g}",
        transform=lower.transAxes,
        ha="center",
        va="top",
        fontsize=10,
    )


def check_same(ours: np.ndarray, theirs: np.ndarray, shape: tuple[int, int]) -> int:
    """Compare two pictures of one frame, theirs without interpolation.

    Outside the panels they must be equal, pixel by pixel. Inside, this product averages over the
    cells of the picture that a pixel covers: where that is one cell alone, the colour must be that
    of the nearest cell, or the next in the table by a rounding.

    Args:
        ours: RGBA [row, column, 4].
        theirs: the same.
        shape: rows and columns of the pictures in the panels, fewer than those of the panels.

    Returns:
        How many pixels of the panels could be compared.

    Raises:
        SystemExit: they do not show the same.
    """
    layout = lay_out(shape)
    panel = extent(layout.panel(0, 0))
    inside = np.ix_(*(_in_one_cell(*counts) for counts in zip(shape, panel, strict=True)))
    difference = np.abs(ours.astype(int) - theirs.astype(int))
    compared = []
    for box in [layout.panel(column, row) for column in range(4) for row in range(2)]:
        compared.append(difference[box][inside])
        difference[box] = 0
    largest = np.max(compared)
    if difference.any() or largest > _ROUNDING:
        raise SystemExit(
            f"frames differ: {np.count_nonzero(difference)} values outside the panels; "
            f"in them up to {largest} of 255"
        )
    return int(np.size(compared) // 4)


def _in_one_cell(source: int, target: int) -> np.ndarray:
    """Numbers of the target's cells that lie in one cell of the source; both span the same."""
    cells = np.arange(target)
    return np.flatnonzero(cells * source // target == ((cells + 1) * source - 1) // target)
