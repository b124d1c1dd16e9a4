"""A frame of a video: what stays is drawn once, pictures and numbers are put in for every frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.text import Text

from postprocess.dataset.run_frames import Column

_DPI = 100
_LETTER = 9  # px, of a title
TITLE = 22  # px from the top to the middle of the first line, and between the title's lines
CAPTION = 24  # px from the last line of the title to the line below

Box = tuple[slice, slice]  # rows and columns of pixels, from the top and from the left


class Stage:
    """A matplotlib figure of ``size`` pixels in which every place is given in pixels.

    Draw everything that stays, then call `freeze`; after that `show` makes one frame after the
    other: pictures are copied into their places, and matplotlib draws the texts that change.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        width, height = size
        self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        self._figure.set_layout_engine("none")  # every position is given
        self._canvas = FigureCanvasAgg(self._figure)

    def title(self, lines: Sequence[str]) -> Text:
        """Write the lines of a title; gives the text below them, which may change."""
        width, height = self.size
        for number, line in enumerate(lines, start=1):
            self._figure.text(
                0.5, 1 - number * TITLE / height, _shorten(line, (width - 40) // _LETTER),
                ha="center", va="center", weight="bold", fontsize=13,
            )  # fmt: skip
        y = len(lines) * TITLE + CAPTION
        return self._figure.text(0.5, 1 - y / height, "", ha="center", va="center", animated=True)

    def panel(self, box: Box) -> Axes:
        """Axes for a picture: no ticks, no frame."""
        axes = self._axes(box)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    def note(self, axes: Axes, *, above: bool = False) -> Text:
        """A text that may change, below a panel or above it."""
        gap = 6 / (axes.bbox.height or 1)
        return axes.text(
            0.5, 1 + gap if above else -gap, "", transform=axes.transAxes,
            ha="center", va="bottom" if above else "top", fontsize=10, animated=True,
        )  # fmt: skip

    def color_bar(self, box: Box, column: Column, *, vertical: bool = False) -> Colorbar:
        """The scale of a quantity with its unit."""
        bar = self._figure.colorbar(
            ScalarMappable(Normalize(column.low, column.high), column.colormap),
            cax=self._axes(box),
            orientation="vertical" if vertical else "horizontal",
            extend=column.extend,
        )
        bar.ax.locator_params(nbins=4)
        bar.ax.tick_params(labelsize=10)
        bar.set_label(column.unit)
        return bar

    def freeze(self) -> None:
        """Draw what stays. To be called once, before the first frame."""
        self._canvas.draw()  # type: ignore[no-untyped-call]
        self._background = self._canvas.copy_from_bbox(  # type: ignore[no-untyped-call]
            self._figure.bbox
        )

    def show(self, pictures: Iterable[tuple[Box, np.ndarray]], texts: Iterable[Text]) -> np.ndarray:
        """One frame as RGBA bytes [row, column, 4]; valid until the next one is made.

        Args:
            pictures: Where each picture goes, and its pixels [row, column, 4].
            texts: The texts that change.
        """
        self._canvas.restore_region(self._background)  # type: ignore[no-untyped-call]
        for text in texts:
            self._figure.draw_artist(text)
        pixels = np.asarray(self._canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        for box, picture in pictures:
            pixels[box] = picture
        return pixels

    def _axes(self, box: Box) -> Axes:
        return self._figure.add_axes(fractions(box, self.size))


def fractions(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """A box as matplotlib counts: left, bottom, width and height, of a frame of ``size`` px."""
    width, height = size
    y, x = box
    return (
        x.start / width,
        1 - y.stop / height,
        (x.stop - x.start) / width,
        (y.stop - y.start) / height,
    )


def _shorten(line: str, longest: int) -> str:
    """``line`` without its middle if it is too long: runs differ at the ends of their names."""
    if len(line) <= longest:
        return line
    head = longest // 3
    return f"{line[:head]}…{line[head - longest + 1 :]}"
