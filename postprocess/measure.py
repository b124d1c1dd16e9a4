"""What a figure can draw: a recorded column with its label, scale and direction."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from inr.results import METRICS


@dataclass(frozen=True)
class Measure:
    """One column of the series, or of the final values."""

    column: str
    label: str
    log_scale: bool
    higher_is_better: bool = False
    ranked: bool = True  # False: its size does not say which run is better

    @property
    def wrapped_label(self) -> str:
        """The label in lines short enough for a small panel."""
        return textwrap.fill(self.label, 24)

    def drawable(self, values: np.ndarray) -> np.ndarray:
        """``values`` with NaN for everything that the scale cannot show."""
        values = np.asarray(values, dtype=float)
        shown = np.isfinite(values) & ((values > 0) | (not self.log_scale))
        return np.where(shown, values, np.nan)

    def finish(self, panel: Axes, axis: Literal["x", "y"] = "y") -> None:
        """Set the scale of one axis of a panel that already holds its lines.

        A panel without a finite value says so.
        """
        target = panel.yaxis if axis == "y" else panel.xaxis
        get = Line2D.get_ydata if axis == "y" else Line2D.get_xdata
        if not any(np.isfinite(np.asarray(get(line), float)).any() for line in panel.lines):
            panel.text(
                0.5, 0.5, "no finite values", ha="center", va="center", transform=panel.transAxes
            )
            target.set_ticks([])
            return
        if self.log_scale:
            panel.set(**{f"{axis}scale": "log"})
            _set_log_ticks(target)


def _set_log_ticks(axis: Axis) -> None:
    """Plain numbers at ticks that also suit a range of less than two powers of ten."""
    low, high = sorted(axis.get_view_interval())
    decades = np.log10(high / low)
    if decades < 0.5:
        axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    elif decades < 2:  # else matplotlib's own choice of whole powers of ten
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_formatter(NullFormatter())


def _plain(value: float, _position: int) -> str:
    """``0.001``, but ``1e-5``: the way that learning rates are written everywhere else."""
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


LOSS = Measure("loss", "training loss", log_scale=True, ranked=False)
RATE = Measure("lr", "learning rate", log_scale=True, ranked=False)


def metric(name: str) -> Measure:
    """The measure for a metric of the results contract."""
    found = METRICS[name]
    return Measure(name, found.label, found.log_scale, found.higher_is_better)
