"""The zoom into a run: pixels beside the network, the value above a derivative."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import matplotlib as mpl
import numpy as np

from inr.errors import UsageError
from inr.progress import track
from inr.quantities import Quantity
from inr.results import open_run, read_heldout
from inr.storage.paths import RunLayout
from postprocess.dataset.run_frames import Column, RunFrames
from postprocess.video.canvas import Canvas, Layout, extent, place
from postprocess.video.encoder import Format, encode
from postprocess.video.selection import Plan
from postprocess.video.zoom_view import View, ZoomNetwork, find_detail, plan_views

_HOLD = 1.0  # seconds that the last picture stays


def write_zoom(
    plan: Plan,
    outputs: Mapping[Format, Path],
    scale: float,
    count: int,
    centre: tuple[float, float] | None,
    derivative: Quantity,
    fps: float,
) -> None:
    """Film a zoom in ``count`` pictures, ``fps`` a second, in every format that is wanted.

    It ends magnified by ``scale`` around ``centre`` (x, y) in px, or where the first frame has most
    detail; ``derivative`` is what the lower row shows.

    Raises:
        UsageError: the region lies outside the image.
        UserError: results or network cannot be read, or a file cannot be written.
    """
    mpl.rcdefaults()  # nothing from a matplotlibrc of the user's
    results = plan.runs[0].results
    with open_run(results) as file:
        frames = RunFrames(file)
        network = ZoomNetwork(RunLayout(results.parent).model, frames.shape)
        if centre is None:
            centre = find_detail(frames.picture("gradient", "target", 0), scale)
        (x, y), (height, width) = centre, frames.shape
        if not (0 <= x <= width and 0 <= y <= height):
            raise UsageError(
                f"--centre {x:g} {y:g}: outside the image. Give x from 0 to {width} and y from 0 "
                f"to {height} px, from its left and upper edge"
            )
        views = plan_views(frames.shape, centre, scale, len(frames), count)
        hold = round(_HOLD * fps)
        pictures = _draw(views, hold, frames, network, read_heldout(file), derivative, plan.title)
        encode(pictures, count + hold, fps, outputs)


def lay_out(shape: tuple[int, int]) -> Layout:
    """Two rows of two panels in the aspect of the image, whose rows and columns are ``shape``."""
    aspect = shape[0] / shape[1]
    wanted = min(360, 480 / aspect)
    width, height = max(round(wanted), 240), max(round(wanted * aspect), 90)
    *columns, bar = place(44, [width, width, 14], [16, 16])
    top, below = 118, 34  # title of two lines, caption, names of the columns; errors
    rows = place(top, [height, height], [below])
    end = bar.stop + 82, rows[-1].stop + below  # ticks and unit of the colour bars
    return Layout(columns, rows, bar, upright=True, end=end)


def _draw(
    views: Sequence[View],
    hold: int,
    frames: RunFrames,
    network: ZoomNetwork,
    heldout: Mapping[str, float],
    derivative: Quantity,
    title: str,
) -> Iterator[np.ndarray]:
    """Every view in turn as RGBA [row, column, 4], the last one ``hold`` times more.

    Each is valid until the next one is drawn. Pixels of the last view widen the colour scales
    where they lie beyond them.
    """
    quantities: tuple[Quantity, Quantity] = ("value", derivative)
    known = {column.quantity: column for column in frames.columns}
    columns = [_widen(known[quantity], frames, views[-1]) for quantity in quantities]
    layout = lay_out(frames.shape)
    canvas = Canvas(layout, title.splitlines(), columns)
    for (left, right), column in zip(canvas.panels, columns, strict=True):
        left.set_ylabel(column.title, fontsize=12, labelpad=8)
        if heldout:
            error = f"MSE / variance {heldout[f'nmse_{column.quantity}']:#.2g}"
            right.set_xlabel(f"between pixels and frames: {error}", fontsize=10)
    left_note, right_note = (canvas.add_note(axes, above=True) for axes in canvas.panels[0])
    size = extent(layout.panel(0, 0))
    for view in track(views, "zooming"):
        nearest = round(view.frame)
        left_note.set_text(f"pixels of frame {nearest + 1}")
        right_note.set_text(f"network at frame {view.frame + 1:.1f}")
        moment = frames.describe(network.time(view))
        canvas.caption.set_text(f"magnified {view.scale:.1f} times    {moment}")
        pixels = [view.nearest(frames.picture(q, "target", nearest), size) for q in quantities]
        network_says = network.pictures(view, size, quantities)
        picture = canvas.draw(list(zip(pixels, network_says, strict=True)))
        yield picture
    yield from repeat(picture, hold)


def _widen(column: Column, frames: RunFrames, region: View) -> Column:
    """A scale that also spans the pixels of ``region``, which may show what is rare elsewhere."""
    if column.extend == "neither":
        return column
    picture = frames.picture(column.quantity, "target", round(region.frame))
    top = max(column.high, float(np.abs(region.nearest(picture, picture.shape)).max()))
    return replace(column, low=-top if column.low < 0 else column.low, high=top)
