"""A frame of a video: what stays is drawn once, pictures and numbers are put in for every frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, zip_longest
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.sparse import csr_array

from postprocess.dataset.run_frames import Column

BAD = "#ff33cc"  # not finite: in none of the colour maps
TITLE = 22  # px from the top to the middle of the first line, and between the title's lines
_CAPTION = 24  # px from the last line of the title to the line below
_DPI = 100
_LETTER = 9  # px, of a title

Box = tuple[slice, slice]  # rows and columns of pixels, from the top and from the left


@dataclass(frozen=True)
class Layout:
    """Where everything of a frame is, px from its left and its upper edge."""

    columns: Sequence[slice]  # of panels
    rows: Sequence[slice]
    bar: slice  # of the colour bars: beside each row if ``upright``, else below each column
    upright: bool
    end: tuple[int, int]  # right and lower edge

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, both even, as H.264 with yuv420p needs."""
        width, height = self.end
        return width + width % 2, height + height % 2

    def panel(self, column: int, row: int) -> Box:
        """Where a picture goes."""
        return self.rows[row], self.columns[column]

    def bar_box(self, number: int) -> Box:
        """Where the colour bar of a row or column goes."""
        return (self.rows[number], self.bar) if self.upright else (self.bar, self.columns[number])


def place(start: int, lengths: Sequence[int], gaps: Sequence[int]) -> list[slice]:
    """Where things of these ``lengths`` lie, one after the other, with ``gaps`` between them."""
    placed = []
    for length, gap in zip_longest(lengths, gaps, fillvalue=0):
        placed.append(slice(start, start + length))
        start += length + gap
    return placed


class Canvas:
    """A matplotlib figure in which every place is given in pixels.

    Add everything that stays; the first `draw` then fixes it. After that, pictures are copied
    into their places, and matplotlib draws nothing but the texts that change: the ``caption``
    below the lines of the ``title``, and notes. ``panels`` are axes by row and column, without
    ticks and frame. ``shown`` is what each column shows, or each row if colour bars stand.
    """

    def __init__(self, layout: Layout, title: Sequence[str], shown: Sequence[Column]) -> None:
        self._layout = layout
        width, height = layout.size
        self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        self._figure.set_layout_engine("none")  # every position is given
        self._canvas: Any = FigureCanvasAgg(self._figure)  # its methods have no types
        self._background = None
        self._scales = [color_scale(column) for column in shown]
        with mpl.rc_context({"font.size": 11}):
            for number, line in enumerate(title, start=1):
                text = _shorten(line, (width - 40) // _LETTER)
                self._add_line(number * TITLE, text, weight="bold", fontsize=13)
            self.caption = self._add_line(len(title) * TITLE + _CAPTION, "", animated=True)
            for number, column in enumerate(shown):
                self._add_color_bar(number, column)
            self.panels = [
                [self._add_axes((rows, columns)) for columns in layout.columns]
                for rows in layout.rows
            ]
        for axes in chain(*self.panels):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        self._changing = [self.caption]

    def add_note(self, axes: Axes, *, above: bool = False) -> Text:
        """A text that may change, below a panel or above it."""
        gap = 6 / (axes.bbox.height or 1)
        note = axes.text(
            0.5, 1 + gap if above else -gap, "", transform=axes.transAxes,
            ha="center", va="bottom" if above else "top", fontsize=10, animated=True,
        )  # fmt: skip
        self._changing.append(note)
        return note

    def draw(self, pictures: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        """One frame as RGBA bytes [row, column, 4]; valid until the next one is drawn.

        ``pictures``: by row and column of their panels, values [row, column].
        """
        if self._background is None:
            self._canvas.draw()
            self._background = self._canvas.copy_from_bbox(self._figure.bbox)
        self._canvas.restore_region(self._background)
        for text in self._changing:
            self._figure.draw_artist(text)
        pixels = np.asarray(self._canvas.buffer_rgba())
        for row, column in np.ndindex(len(self.panels), len(self.panels[0])):
            box = self._layout.panel(column, row)
            scale = self._scales[row if self._layout.upright else column]
            pixels[box] = paint(resample(pictures[row][column], extent(box)), scale)
        return pixels

    def _add_line(self, y: int, text: str, **style: Any) -> Text:
        """Text in the middle, ``y`` px from the top."""
        height = self._layout.size[1]
        return self._figure.text(0.5, 1 - y / height, text, ha="center", va="center", **style)

    def _add_axes(self, box: Box) -> Axes:
        """Axes that fill a box; matplotlib counts in shares of the figure, from its lower edge."""
        (rows, columns), (tall, wide), (width, height) = box, extent(box), self._layout.size
        left, bottom = columns.start / width, 1 - rows.stop / height
        return self._figure.add_axes((left, bottom, wide / width, tall / height))

    def _add_color_bar(self, number: int, column: Column) -> None:
        bar = self._figure.colorbar(
            self._scales[number],
            cax=self._add_axes(self._layout.bar_box(number)),
            orientation="vertical" if self._layout.upright else "horizontal",
            extend=column.extend,
        )
        bar.ax.locator_params(nbins=4)
        bar.ax.tick_params(labelsize=10)
        bar.set_label(column.unit)


def resample(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a picture [row, column] to ``size``, rows and columns, by area.

    A pixel is the mean over the part of the picture that it covers: enlarged, a picture keeps its
    sharp cells; reduced, no detail is skipped. A value that is not finite reaches the pixels that
    it touches, and no others.
    """
    rows, columns = (_shares(*counts) for counts in zip(picture.shape, size, strict=True))
    with np.errstate(invalid="ignore", over="ignore"):
        return np.ascontiguousarray((columns @ (rows @ picture).T).T)


@cache
def _shares(source: int, target: int) -> csr_array:
    """Share [target, source] of each source cell in each target cell; both span the same length."""
    # whole numbers: borders that coincide do so exactly
    first, cell = np.arange(target)[:, None] * source, np.arange(source) * target
    overlap = np.minimum(first + source, cell + target) - np.maximum(first, cell)
    return csr_array(np.maximum(overlap, 0).astype(np.float32) / source)


def color_scale(column: Column) -> ScalarMappable:
    """The colours of a quantity: `BAD` for what is not finite, the ends for what lies beyond."""
    colors = mpl.colormaps[column.colormap].with_extremes(bad=BAD)
    return ScalarMappable(Normalize(column.low, column.high), colors)


def paint(picture: np.ndarray, scale: ScalarMappable) -> np.ndarray:
    """The colours of a picture [row, column] as RGBA bytes [row, column, 4]."""
    with np.errstate(over="ignore"):
        # matplotlib takes infinite values for ones that lie beyond the scale
        return scale.to_rgba(np.where(np.isfinite(picture), picture, np.nan), bytes=True)


def extent(box: Box) -> tuple[int, int]:
    """Numbers of rows and columns."""
    rows, columns = box
    return rows.stop - rows.start, columns.stop - columns.start


def _shorten(line: str, longest: int) -> str:
    """``line`` without its middle if it is too long: runs differ at the ends of their names."""
    if len(line) <= longest:
        return line
    head = longest // 3
    return f"{line[:head]}…{line[head - longest + 1 :]}"
