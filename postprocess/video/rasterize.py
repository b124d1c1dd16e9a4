"""From a scalar picture to the pixels of a panel: area sampling and a colour table."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from scipy.sparse import coo_array, csr_array

BAD = "#ff33cc"  # not finite: in none of the colour maps
_COLORS = 256


class Resampler:
    """Scales pictures to the size of a panel by area.

    A pixel of the panel is the mean over the part of the picture that it covers: enlarged, a
    picture keeps its sharp cells; reduced, no detail is skipped. A value that is not finite
    reaches the pixels that it touches, and no others.

    Args:
        shape: Rows and columns of the pictures.
        size: Rows and columns of the panel.
    """

    def __init__(self, shape: tuple[int, int], size: tuple[int, int]) -> None:
        self._rows, self._columns = (
            _shares(*counts).astype(np.float32) for counts in zip(shape, size, strict=True)
        )

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """The picture [row, column] in the size of the panel."""
        with np.errstate(invalid="ignore", over="ignore"):
            rows = self._rows @ picture
            return np.ascontiguousarray((self._columns @ rows.T).T)


def _shares(source: int, target: int) -> csr_array:
    """Share [target, source] of each source cell in each target cell; both span the same length.

    Each row sums to 1. Cells are cut at the borders of both grids, so that every piece lies in
    one cell of each.
    """
    # whole numbers: borders that coincide do so exactly
    borders = np.union1d(np.arange(source + 1) * target, np.arange(target + 1) * source)
    first = borders[:-1]
    cells = (first // source, first // target)
    return coo_array((np.diff(borders) / source, cells), shape=(target, source)).tocsr()


class ColorTable:
    """Looks colours up as matplotlib's colour maps do, with the ends for what lies beyond.

    Args:
        colormap: Name of a matplotlib colour map.
        low: Value of the first colour.
        high: Value of the last colour.
    """

    def __init__(self, colormap: str, low: float, high: float) -> None:
        colors = mpl.colormaps[colormap].resampled(_COLORS)(np.arange(_COLORS), bytes=True)
        bad = [round(255 * part) for part in mpl.colors.to_rgba(BAD)]
        table = np.concatenate([colors, [bad]]).astype(np.uint8)
        self._table = table.view(np.uint32).ravel()  # one look-up per pixel instead of four
        self._low = low
        self._scale = _COLORS / (high - low) if high > low else 0.0

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """The colours of a picture [row, column] as RGBA bytes [row, column, 4]."""
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = (picture - self._low) * self._scale
        shown = np.where(np.isfinite(picture), np.clip(scaled, 0, _COLORS - 1), _COLORS)
        pixels = self._table[shown.astype(np.uint16)]
        return pixels.view(np.uint8).reshape(*picture.shape, 4)
