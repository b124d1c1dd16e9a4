"""The picture of a video: four panels of the target, and four below it for each network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import matplotlib as mpl
import numpy as np
from matplotlib.text import Text

from postprocess.dataset.run_frames import Column, Part, RunFrames
from postprocess.video.blitting import TITLE, Box, Stage
from postprocess.video.rasterize import ColorTable, Resampler


@dataclass(frozen=True)
class Layout:
    """Sizes in pixels, from the left and from the top."""

    panel_width: int
    panel_height: int
    networks: int = 1  # rows below that of the target
    left: int = 44
    right: int = 24
    gap: int = 28  # between columns
    top: int = 92  # title, captions, names of the columns
    between: int = 12  # target and first network
    error: int = 34  # below each network's row
    bar: int = 14
    bottom: int = 62  # ticks and unit of the colour bars

    @classmethod
    def for_image(cls, shape: tuple[int, int], networks: int = 1, lines: int = 1) -> Layout:
        """Panels in the aspect of the image, within bounds that keep names and ticks legible.

        Args:
            shape: Rows and columns of the image.
            networks: How many are compared.
            lines: Lines of the title.
        """
        aspect = shape[0] / shape[1]
        width = min(280, 420 / aspect)
        layout = cls(max(round(width), 170), max(round(width * aspect), 60), networks)
        return replace(layout, top=layout.top + (lines - 1) * TITLE)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame, both even, as H.264 with yuv420p needs."""
        width = self.left + 4 * self.panel_width + 3 * self.gap + self.right
        height = self.bar_top + self.bar + self.bottom
        return width + width % 2, height + height % 2

    @property
    def bar_top(self) -> int:
        """Upper edge of the colour bars."""
        last: int = self.panel(0, self.networks)[0].stop
        return last + self.error

    def panel(self, column: int, row: int) -> Box:
        """Rows and columns of the pixels of a panel; row 0 shows the target."""
        y = self.top + row * self.panel_height
        if row:
            y += self.between + (row - 1) * self.error
        x = self.left + column * (self.panel_width + self.gap)
        return slice(y, y + self.panel_height), slice(x, x + self.panel_width)

    def bar_box(self, column: int) -> Box:
        """Rows and columns of the pixels of a colour bar."""
        return slice(self.bar_top, self.bar_top + self.bar), self.panel(column, 0)[1]


@dataclass(frozen=True)
class _Row:
    label: str
    frames: RunFrames
    part: Part


class Canvas:
    """Draws the frames of one run, or of two runs that learned the same target.

    Colour tables and scales are those of the first run's target.

    Args:
        frames: The run.
        title: Its name, or several lines.
        sigmas: Blur of the first and the last frame, px.
        rival: Another run to show below it.
    """

    def __init__(
        self,
        frames: RunFrames,
        title: str,
        sigmas: tuple[float, float],
        rival: RunFrames | None = None,
    ) -> None:
        self._frames = frames
        self._sigmas = sigmas
        networks = [("network", frames)] if rival is None else [("A", frames), ("B", rival)]
        self._rows = [
            _Row("target", frames, "target"),
            *(_Row(label, shown, "prediction") for label, shown in networks),
        ]
        lines = title.splitlines() or [""]
        self._layout = Layout.for_image(frames.shape, len(networks), len(lines))
        self.size = self._layout.size  # of a frame: width, height
        self._stage = Stage(self.size)
        self._resample = Resampler(
            frames.shape, (self._layout.panel_height, self._layout.panel_width)
        )
        self._tables = [ColorTable(c.colormap, c.low, c.high) for c in frames.columns]
        self._errors: dict[tuple[int, int], Text] = {}  # by column and row
        with mpl.rc_context({"font.size": 11}):
            self._caption = self._stage.title(lines)
            for number, column in enumerate(frames.columns):
                self._add_column(number, column)
        self._stage.freeze()

    def draw(self) -> Iterator[np.ndarray]:
        """Every frame in turn as RGBA [row, column, 4]; valid until the next one is drawn."""
        for frame in range(len(self._frames)):
            self._update(frame)
            yield self._stage.show(self._pictures(frame), [*self._errors.values(), self._caption])

    def _pictures(self, frame: int) -> Iterator[tuple[Box, np.ndarray]]:
        for number, (column, table) in enumerate(
            zip(self._frames.columns, self._tables, strict=True)
        ):
            for place, row in enumerate(self._rows):
                picture = row.frames.picture(column.quantity, row.part, frame)
                yield self._layout.panel(number, place), table(self._resample(picture))

    def _update(self, frame: int) -> None:
        """Set the numbers of a frame."""
        moment = self._frames.describe(self._frames.times[frame], self._sigmas)
        self._caption.set_text(f"frame {frame + 1} of {len(self._frames)}    {moment}")
        for (number, place), text in self._errors.items():
            error = self._rows[place].frames.error(self._frames.columns[number], frame)
            text.set_text(f"MSE / variance {error:#.2g}" if np.isfinite(error) else "not finite")

    def _add_column(self, number: int, column: Column) -> None:
        for place, row in enumerate(self._rows):
            axes = self._stage.panel(self._layout.panel(number, place))
            if row.part == "target":
                axes.set_title(column.title, fontsize=12, pad=7)
            else:
                self._errors[number, place] = self._stage.note(axes)
            if number == 0:
                axes.set_ylabel(row.label, fontsize=12, labelpad=8)
        self._stage.color_bar(self._layout.bar_box(number), column)
