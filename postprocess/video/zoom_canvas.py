"""The picture of a zoom: pixels beside the network, the value above a derivative."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from inr.quantities import Quantity
from postprocess.dataset.run_frames import Column, RunFrames
from postprocess.video.blitting import Box, Stage
from postprocess.video.rasterize import ColorTable
from postprocess.video.zoom_camera import View
from postprocess.video.zoom_network import ZoomNetwork


@dataclass(frozen=True)
class Layout:
    """Sizes in pixels, from the left and from the top."""

    panel_width: int
    panel_height: int
    left: int = 44
    gap: int = 16  # between columns, and between the network and the colour bars
    top: int = 118  # title of two lines, caption, names of the columns
    below: int = 34  # each row
    bar: int = 14
    right: int = 82  # ticks and unit of the colour bars

    @classmethod
    def for_image(cls, shape: tuple[int, int]) -> Layout:
        """Panels in the aspect of the image."""
        aspect = shape[0] / shape[1]
        width = min(360, 480 / aspect)
        return cls(max(round(width), 240), max(round(width * aspect), 90))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame, both even, as H.264 with yuv420p needs."""
        width = self.bar_box(0)[1].stop + self.right
        height = self.panel(0, 1)[0].stop + self.below
        return width + width % 2, height + height % 2

    def panel(self, column: int, row: int) -> Box:
        """Pixels of a panel: column 0 shows the sequence, column 1 the network."""
        y = self.top + row * (self.panel_height + self.below)
        x = self.left + column * (self.panel_width + self.gap)
        return slice(y, y + self.panel_height), slice(x, x + self.panel_width)

    def bar_box(self, row: int) -> Box:
        """Pixels of the colour bar of a row."""
        rows, columns = self.panel(1, row)
        x = columns.stop + self.gap
        return rows, slice(x, x + self.bar)


class ZoomCanvas:
    """Draws the views of a zoom.

    Args:
        frames: The sequence that was learned.
        network: What learned it.
        quantities: What the upper and the lower row show.
        title: Two lines.
        heldout: MSE / variance between pixels and frames, by quantity; may be empty.
        region: The last view. Its pixels widen the colour scales where they lie beyond them.
    """

    def __init__(
        self,
        frames: RunFrames,
        network: ZoomNetwork,
        quantities: tuple[Quantity, Quantity],
        title: Sequence[str],
        heldout: dict[Quantity, float],
        region: View,
    ) -> None:
        self._frames, self._network = frames, network
        columns = {column.quantity: column for column in frames.columns}
        self._shown = [_widen(columns[quantity], frames, region) for quantity in quantities]
        self._tables = [ColorTable(c.colormap, c.low, c.high) for c in self._shown]
        self._layout = Layout.for_image(frames.shape)
        self.size = self._layout.size  # of a frame: width, height
        self._stage = Stage(self.size)
        with mpl.rc_context({"font.size": 11}):
            self._caption = self._stage.title(title)
            upper, _ = (
                self._add_row(row, column, heldout) for row, column in enumerate(self._shown)
            )
            self._headings = [self._stage.note(axes, above=True) for axes in upper]
        self._stage.freeze()

    def draw(self, view: View) -> np.ndarray:
        """One view as RGBA [row, column, 4]; valid until the next one is drawn."""
        nearest = round(view.frame)
        time = self._network.time(view)
        pixels, network = self._headings
        pixels.set_text(f"pixels of frame {nearest + 1}")
        network.set_text(f"network at frame {view.frame + 1:.1f}")
        moment = self._frames.describe(time, self._network.sigmas)
        self._caption.set_text(f"magnified {view.scale:.1f} times    {moment}")
        return self._stage.show(self._pictures(view, nearest), [self._caption, pixels, network])

    def _pictures(self, view: View, nearest: int) -> Iterator[tuple[Box, np.ndarray]]:
        size = (self._layout.panel_height, self._layout.panel_width)
        quantities = tuple(column.quantity for column in self._shown)
        found = self._network.pictures(view, size, quantities)
        for row, (quantity, table) in enumerate(zip(quantities, self._tables, strict=True)):
            pixels = self._frames.picture(quantity, "target", nearest)
            yield self._layout.panel(0, row), table(view.nearest(pixels, size))
            yield self._layout.panel(1, row), table(found[quantity])

    def _add_row(self, row: int, column: Column, heldout: dict[Quantity, float]) -> list[Axes]:
        """Draw what stays of a row; gives its panels."""
        axes = [self._stage.panel(self._layout.panel(side, row)) for side in (0, 1)]
        axes[0].set_ylabel(column.title, fontsize=12, labelpad=8)
        if column.quantity in heldout:
            axes[1].set_xlabel(
                f"between pixels and frames: MSE / variance {heldout[column.quantity]:#.2g}",
                fontsize=10,
            )
        self._stage.color_bar(self._layout.bar_box(row), column, vertical=True)
        return axes


def _widen(column: Column, frames: RunFrames, region: View) -> Column:
    """A scale that also spans the pixels of ``region``, which may show what is rare elsewhere."""
    if column.extend == "neither":
        return column
    picture = frames.picture(column.quantity, "target", round(region.frame))
    top = max(column.high, float(np.abs(region.nearest(picture, picture.shape)).max()))
    return replace(column, low=-top if column.low < 0 else column.low, high=top)
