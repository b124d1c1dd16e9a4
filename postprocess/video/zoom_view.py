"""What a zoom shows: a window that shrinks while time goes there and back, and a network in it.

Positions are in pixels of the image: x from its left edge, y from its top edge, so that the centre
of the first pixel is (0.5, 0.5). `ZoomNetwork` is the one place of `postprocess` that uses torch.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter, zoom

from inr.errors import UserError
from inr.quantities import Quantity
from inr.targets.sequences import SEQUENCES

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
