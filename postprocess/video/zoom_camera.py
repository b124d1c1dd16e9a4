"""Where a zoom looks: a window that shrinks to a region while time goes there and back.

Positions are in pixels of the image: x from its left edge, y from its top edge, so that the centre
of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter


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
    """The views of a zoom, from the whole image to a region ``scale`` times as small.

    With u from 0 to 1, the magnification is scale^(3u² - 2u³), and the position in the sequence
    (frames - 1)(1 - cos 2πu) / 2: to the last frame and back to the first, the sharpest one.

    Args:
        shape: Rows and columns of the image.
        centre: (x, y) of the region, px. The region is moved so that it lies inside the image.
        scale: Magnification at the end, above 1.
        frames: Length of the sequence.
        count: Number of views, from 2.
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

    Detail is the mean square of the gradient's magnitude.

    Args:
        gradient: Its magnitude [row, column].
        scale: Magnification that the region is for.
    """
    sides = [max(1, round(side / scale)) for side in gradient.shape]
    # at each pixel the mean of the region that begins there
    detail = uniform_filter(
        np.square(gradient, dtype=float),
        sides,
        mode="constant",
        origin=[-(side // 2) for side in sides],
    )
    inside = detail[: len(gradient) - sides[0] + 1, : len(gradient[0]) - sides[1] + 1]
    y, x = np.unravel_index(np.argmax(inside), inside.shape)
    return x + sides[1] / 2, y + sides[0] / 2
