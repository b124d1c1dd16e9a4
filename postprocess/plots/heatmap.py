"""A table of numbers on coloured cells."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

_FONT = 6.0  # pt
_LIGHT = 0.45  # luminance from which on black text reads better than white


def draw_matrix(
    panel: Axes,
    values: np.ndarray,
    texts: Sequence[Sequence[str]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    colors: str,
    limits: tuple[float, float],
) -> None:
    """Draw ``texts`` on cells coloured by ``values``.

    Args:
        panel: Where to draw.
        values: [row, column]; NaN leaves the cell white.
        texts: What each cell says.
        rows: Names of the rows.
        columns: Names of the columns, written above.
        colors: Name of a colour map.
        limits: Values of its first and last colour.
    """
    shown = np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1)
    shades = mpl.colormaps[colors](shown)
    shades[~np.isfinite(values)] = 1.0
    if len(rows):
        panel.imshow(shades, aspect="auto", interpolation="none")
    luminance = shades[..., :3] @ (0.2126, 0.7152, 0.0722)
    for (row, column), light in np.ndenumerate(luminance):
        panel.text(
            column,
            row,
            texts[row][column],
            ha="center",
            va="center",
            fontsize=_FONT,
            color="black" if light > _LIGHT else "white",
        )
    panel.set_yticks(range(len(rows)), rows)
    panel.set_xticks(range(len(columns)), columns)
    panel.tick_params(length=0, labeltop=True, labelbottom=False)
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)
