"""The zoom into a run: pixels beside the network, the value above a derivative.

A window shrinks while time goes there and back. Positions are in pixels of the image: x from its
left edge, y from its top edge, so that the centre of the first pixel is (0.5, 0.5). `ZoomNetwork`
is the one place of `postprocess` that uses torch.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy.ndimage import uniform_filter, zoom

from inr.errors import UsageError, UserError
from inr.progress import track
from inr.quantities import Quantity
from inr.results import open_run, read_heldout
from inr.storage.paths import RunLayout
from inr.targets.sequences import SEQUENCES
from postprocess.dataset.run_frames import Column, RunFrames
from postprocess.video.canvas import Canvas, Layout, extent, place
from postprocess.video.encoder import Format, encode
from postprocess.video.selection import Plan

_HOLD = 1.0  # seconds that the last picture stays
_FEWEST = 80  # samples of the network along the longer side of a view


@dataclass(frozen=True)
class View:
    """One picture of a zoom."""

    x: float  # left edge of the window, px
    y: float  # upper edge
    width: float
    height: float
    scale: float  # 1: the whole image
    frame: float  # position in the sequence; 1.5 lies between the second frame and the third

    def positions(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Centres of the cells of a grid that fills the window, px: y of rows, x of columns."""
        y = self.y + (np.arange(rows) + 0.5) * (self.height / rows)
        x = self.x + (np.arange(columns) + 0.5) * (self.width / columns)
        return y, x

    def nearest(self, picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The window of a picture [row, column], each point from the pixel that it lies in."""
        places = zip(self.positions(*size), picture.shape, strict=True)
        rows, columns = (np.clip(np.floor(p).astype(int), 0, n - 1) for p, n in places)
        found: np.ndarray = picture[rows[:, None], columns]
        return found


def plan_views(
    shape: tuple[int, int], centre: tuple[float, float], scale: float, frames: int, count: int
) -> list[View]:
    """The ``count`` views of a zoom, from the whole image to a region ``scale`` times as small.

    With u from 0 to 1, the magnification is scale^(3u² - 2u³), and the position in a sequence of
    ``frames`` is (frames - 1)(1 - cos 2πu) / 2: to the last frame and back to the first, the
    sharpest one. The region has its ``centre`` (x, y), unless it must be moved to lie inside the
    image of ``shape``, rows and columns.
    """
    height, width = shape
    x, y = (
        np.clip(middle - side / scale / 2, 0, side - side / scale)
        for middle, side in zip(centre, (width, height), strict=True)
    )
    views = []
    for u in np.linspace(0, 1, count):
        now = scale ** (u * u * (3 - 2 * u))
        # edges move in proportion to the size of the window: all heads for one point
        share = (1 - 1 / now) / (1 - 1 / scale)
        frame = (frames - 1) * (1 - math.cos(2 * math.pi * u)) / 2
        views.append(View(x * share, y * share, width / now, height / now, now, frame))
    return views


def find_detail(gradient: np.ndarray, scale: float) -> tuple[float, float]:
    """Centre (x, y) of the region, ``scale`` times as small as the image, of most detail.

    Detail is the mean square of the magnitude of the ``gradient`` [row, column].
    """
    rows, columns = (max(1, round(side / scale)) for side in gradient.shape)
    # at each pixel the mean of the region that begins there
    origin = (-(rows // 2), -(columns // 2))
    squares = np.square(gradient, dtype=float)
    detail = uniform_filter(squares, (rows, columns), mode="constant", origin=origin)
    inside = detail[: len(gradient) - rows + 1, : len(gradient[0]) - columns + 1]
    y, x = np.unravel_index(np.argmax(inside), inside.shape)
    return x + columns / 2, y + rows / 2


class ZoomNetwork:
    """The network in the file ``model``, which was trained on an image of ``shape``, in a `View`.

    Raises `UserError` if the file is missing, damaged, or of another image.
    """

    def __init__(self, model: Path, shape: tuple[int, int]) -> None:
        # here: torch takes seconds to import, and --help none
        from inr.network.trained_network import load

        self._trained = load(model)
        if self._trained.shape != shape:
            raise UserError(
                f"{model}: trained on {self._trained.shape} px, the frames beside it have {shape}. "
                "Both must be of one run"
            )
        x, y = SEQUENCES[self._trained.config.training.protocol].pixel_coordinates(shape)
        # pixels are evenly spaced, which fixes coordinates between and beyond them, too
        self._pixels = [(p[0], (p[-1] - p[0]) / max(1, len(p) - 1)) for p in (y, x)]

    def time(self, view: View) -> float:
        """Network time of a view."""
        times = self._trained.times
        return float(np.interp(view.frame, np.arange(len(times)), times))

    def pictures(
        self, view: View, size: tuple[int, int], quantities: tuple[Quantity, ...]
    ) -> list[np.ndarray]:
        """What the network says in the window of ``view``: the gradient as its magnitude.

        It is sampled at least once a pixel of the image, never finer than the panel, and enlarged
        smoothly to ``size``: rows and columns of the panel.
        """
        density = max(1.0, _FEWEST / max(view.height, view.width))
        sides = zip((view.height, view.width), size, strict=True)
        rows, columns = (min(math.ceil(side * density), most) for side, most in sides)
        places = zip(view.positions(rows, columns), self._pixels, strict=True)
        y, x = (first + (place - 0.5) * step for place, (first, step) in places)
        row, column = np.meshgrid(y, x, indexing="ij")
        time = np.full(row.size, self.time(view))
        fields = self._trained.at(np.stack([column.ravel(), row.ravel(), time], axis=-1))
        found = []
        for quantity in quantities:
            data = getattr(fields, quantity)
            samples = np.hypot(*data.T) if quantity == "gradient" else data
            found.append(_enlarge(samples.reshape(rows, columns), size))
        return found


def _enlarge(samples: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolate by cubic splines; linearly where a value is not finite, which spreads less."""
    factors = [side / count for side, count in zip(size, samples.shape, strict=True)]
    order = 3 if np.isfinite(samples).all() else 1
    enlarged: np.ndarray = zoom(samples, factors, order=order, mode="nearest", grid_mode=True)
    return enlarged


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
