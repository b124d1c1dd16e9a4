"""The look of every figure: sizes for print, colour-blind-safe colours, saving."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from PIL import Image

from inr.files import replace_atomically
from postprocess.stats.factors import Axis, Variation

T = TypeVar("T")

COLUMN_WIDTH = 3.5  # inches, one column of a two-column page
PAGE_WIDTH = 7.16  # inches, both columns
FORMATS = ("png", "pdf")
_DRAWN_BY = "INR diffusion sweeps"  # in every PNG, so that only our own are ever removed

NEUTRAL = "#444444"
PALE = "#999999"
# Okabe and Ito's colours, which people with any colour vision can tell apart, without the yellow
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINESTYLES: tuple[Any, ...] = (  # dashes in line widths
    "-",
    (0, (4, 1.5)),
    (0, (1, 1.2)),
    (0, (5, 1.2, 1, 1.2)),
    (0, (5, 1.2, 1, 1.2, 1, 1.2)),
)

POINT: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 3.5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.4,
}
DIVERGED: dict[str, Any] = {
    "linestyle": "none",
    "marker": "x",
    "markersize": 5,
    "markeredgewidth": 1.4,
    "color": "#000000",
    "zorder": 5,
}
REFERENCE: dict[str, Any] = {  # a line to compare with
    "color": NEUTRAL,
    "linewidth": 0.8,
    "linestyle": "--",
    "zorder": 1,
}
_TICKS = {
    "labelsize": 7,
    "major.width": 0.6,
    "major.size": 3,
    "minor.size": 1.5,
    "minor.width": 0.4,
}


def use_style() -> None:
    """Set the fonts and lines of all figures that follow.

    Embedding fonts is most of the time that a PDF takes, so there is no bold, and no mathematics.
    """
    mpl.rcdefaults()  # nothing from a matplotlibrc of the user's
    sizes = ("font.size", "axes.labelsize", "axes.titlesize", "figure.titlesize")
    sns.set_theme(
        context="paper",
        style="ticks",
        rc={
            **dict.fromkeys(sizes, 8),
            **{f"{axis}tick.{name}": size for axis in "xy" for name, size in _TICKS.items()},
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "savefig.dpi": 200,
            "legend.fontsize": 7,
            "legend.frameon": False,
            "lines.linewidth": 1.2,
            "axes.linewidth": 0.6,
            "axes.grid": True,
            "grid.linewidth": 0.4,
            "grid.color": "#dddddd",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "pdf.fonttype": 42,  # TrueType, which journals ask for
        },
    )


def color_axis(variation: Variation) -> Axis | None:
    """The first axis whose levels colours can tell apart."""
    return next((axis for axis in variation.axes if len(axis.levels) <= len(COLORS)), None)


def colors(axis: Axis | None) -> dict[str, str]:
    """A colour for each level; a sequence from dark to light for numbers. ``""`` without axis.

    They begin again in each of `Axis.parts`.
    """
    if axis is None:
        return each_level(axis, COLORS)
    palette: dict[str, str] = {}
    for part in axis.parts.values():
        if axis.numeric and len(axis.levels) > 2:
            shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(part)))
            palette |= zip(part, map(mpl.colors.to_hex, shades), strict=True)
        else:
            palette |= zip(part, COLORS, strict=False)
    return palette


def each_level(axis: Axis | None, looks: Sequence[T]) -> dict[str, T]:
    """One of ``looks`` for each level; ``""`` without axis."""
    return dict(zip(axis.levels if axis else ("",), cycle(looks), strict=False))


def is_ours(path: Path) -> bool:
    """Whether a PNG was written by `save`."""
    with suppress(OSError), Image.open(path) as image:
        return image.info.get("Software") == _DRAWN_BY
    return False


def save(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write ``stem.png`` and so on, each completely or not at all; returns the paths."""
    engine = figure.get_layout_engine()
    assert engine is not None  # see `use_style`
    engine.execute(figure)  # once, not once per format
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)  # with "none", every file would be drawn twice
    paths = []
    for suffix in formats:
        path = stem.with_name(f"{stem.name}.{suffix}")
        # no dates: the same data give the same bytes
        metadata = {"CreationDate": None} if suffix == "pdf" else {"Software": _DRAWN_BY}
        with replace_atomically(path) as temporary:
            figure.savefig(temporary, format=suffix, metadata=metadata)
        paths.append(path)
    return paths
