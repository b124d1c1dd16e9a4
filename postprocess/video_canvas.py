"""The picture of a video: two rows of four panels, drawn once and updated for every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.text import Text

from postprocess.video_frames import PARTS, Column, RunFrames, blur
from postprocess.video_pixels import ColorTable, Resampler

_DPI = 100
_ROW_LABELS = {"target": "target", "prediction": "network"}


@dataclass(frozen=True)
class Layout:
    """Sizes in pixels, from the left and from the top."""

    panel_width: int
    panel_height: int
    left: int = 44
    right: int = 24
    gap: int = 28  # between columns
    top: int = 92  # title, captions, names of the columns
    between: int = 12  # rows
    error: int = 34  # below the network's row
    bar: int = 14
    bottom: int = 62  # ticks and unit of the colour bars

    @classmethod
    def for_image(cls, shape: tuple[int, int]) -> Layout:
        """Panels in the aspect of the image, within bounds that keep names and ticks legible."""
        aspect = shape[0] / shape[1]
        width = min(280, 420 / aspect)
        return cls(max(round(width), 170), max(round(width * aspect), 60))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame, both even, as H.264 with yuv420p needs."""
        width = self.left + 4 * self.panel_width + 3 * self.gap + self.right
        height = self.bar_top + self.bar + self.bottom
        return width + width % 2, height + height % 2

    @property
    def bar_top(self) -> int:
        """Upper edge of the colour bars."""
        return self.top + 2 * self.panel_height + self.between + self.error

    def panel(self, column: int, row: int) -> tuple[slice, slice]:
        """Rows and columns of the pixels of a panel; row 0 shows the target."""
        y = self.top + row * (self.panel_height + self.between)
        x = self.left + column * (self.panel_width + self.gap)
        return slice(y, y + self.panel_height), slice(x, x + self.panel_width)

    def bar_box(self, column: int) -> tuple[slice, slice]:
        """Rows and columns of the pixels of a colour bar."""
        return slice(self.bar_top, self.bar_top + self.bar), self.panel(column, 0)[1]

    def fractions(self, box: tuple[slice, slice]) -> tuple[float, float, float, float]:
        """A box as matplotlib counts: left, bottom, width and height, of the whole frame."""
        width, total = self.size
        y, x = box
        return (
            x.start / width,
            1 - y.stop / total,
            (x.stop - x.start) / width,
            (y.stop - y.start) / total,
        )


class Canvas:
    """A frame whose static parts matplotlib draws once.

    For each frame the pictures are looked up in colour tables and put in their places; matplotlib
    draws the numbers that change.
    """

    def __init__(self, frames: RunFrames, name: str, sigmas: tuple[float, float]) -> None:
        self._frames = frames
        self._sigmas = sigmas
        self._layout = Layout.for_image(frames.shape)
        width, height = self.size = self._layout.size
        self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        self._figure.set_layout_engine("none")  # every position is given
        self._canvas = FigureCanvasAgg(self._figure)
        self._resample = Resampler(
            frames.shape, (self._layout.panel_height, self._layout.panel_width)
        )
        self._tables: dict[str, ColorTable] = {}
        self._errors: dict[str, Text] = {}
        with mpl.rc_context({"font.size": 11}):
            self._title(name)
            for number, column in enumerate(frames.columns):
                self._add_column(number, column)
        self._canvas.draw()  # type: ignore[no-untyped-call]
        self._background = self._canvas.copy_from_bbox(  # type: ignore[no-untyped-call]
            self._figure.bbox
        )

    def draw(self) -> Iterator[np.ndarray]:
        """Every frame in turn as RGBA [row, column, 4]; valid until the next one is drawn."""
        for frame in range(len(self._frames)):
            self._canvas.restore_region(self._background)  # type: ignore[no-untyped-call]
            for artist in self._update(frame):
                self._figure.draw_artist(artist)
            pixels = np.asarray(self._canvas.buffer_rgba())  # type: ignore[no-untyped-call]
            self._put_pictures(pixels, frame)
            yield pixels

    def _put_pictures(self, pixels: np.ndarray, frame: int) -> None:
        for number, column in enumerate(self._frames.columns):
            for row, part in enumerate(PARTS):
                picture = self._frames.picture(column.quantity, part, frame)
                table = self._tables[column.quantity]
                pixels[self._layout.panel(number, row)] = table(self._resample(picture))

    def _update(self, frame: int) -> list[Artist]:
        """Set the numbers of a frame; returns the texts that hold them."""
        time = self._frames.times[frame]
        sigma = blur(time, *self._sigmas)
        self._caption.set_text(
            f"frame {frame + 1} of {len(self._frames)}    network time {time:+.2f}    "
            f"blur σ = {sigma:.2f} px"
        )
        for column in self._frames.columns:
            error = self._frames.error(column, frame)
            text = f"MSE / variance {error:#.2g}" if np.isfinite(error) else "not finite"
            self._errors[column.quantity].set_text(text)
        return [*self._errors.values(), self._caption]

    def _title(self, name: str) -> None:
        width, height = self.size
        longest = (width - 40) // 9  # characters that fit at this size
        shown = name if len(name) <= longest else f"…{name[-longest + 1 :]}"
        self._figure.text(
            0.5, 1 - 22 / height, shown, ha="center", va="center", weight="bold", fontsize=13
        )
        self._caption = self._figure.text(
            0.5, 1 - 46 / height, "", ha="center", va="center", animated=True
        )

    def _add_column(self, number: int, column: Column) -> None:
        layout = self._layout
        self._tables[column.quantity] = ColorTable(column.colormap, column.low, column.high)
        for row, part in enumerate(PARTS):
            axes = self._figure.add_axes(layout.fractions(layout.panel(number, row)))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if row == 0:
                axes.set_title(column.title, fontsize=12, pad=7)
            if number == 0:
                axes.set_ylabel(_ROW_LABELS[part], fontsize=12, labelpad=8)
        self._errors[column.quantity] = axes.text(
            0.5, -6 / layout.panel_height, "", transform=axes.transAxes,
            ha="center", va="top", fontsize=10, animated=True,
        )  # fmt: skip
        self._add_bar(number, column)

    def _add_bar(self, number: int, column: Column) -> None:
        scale = ScalarMappable(Normalize(column.low, column.high), column.colormap)
        colorbar = self._figure.colorbar(
            scale,
            cax=self._figure.add_axes(self._layout.fractions(self._layout.bar_box(number))),
            orientation="horizontal",
            extend=column.extend,
        )
        colorbar.ax.locator_params(nbins=4)
        colorbar.ax.tick_params(labelsize=10)
        colorbar.set_label(column.unit)
