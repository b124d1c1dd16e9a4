"""What a figure can draw: a recorded column with its label, scale and direction."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from inr.quantities import METRICS
from postprocess.intervals import Interval, bootstrap_interval, interquartile_mean

_FAR_OUT = 3.0  # interquartile ranges
_NEVER_FAR_OUT = 2.0  # powers of ten


@dataclass(frozen=True)
class Measure:
    """One column of the series, or of the final values."""

    column: str
    label: str
    log_scale: bool
    higher_is_better: bool = False
    ranked: bool = True  # False: its size does not say which run is better
    floor: float = -math.inf  # smaller values are drawn there
    ceiling: float = math.inf  # larger values are drawn there

    @property
    def wrapped_label(self) -> str:
        """The label in lines short enough for a small panel."""
        return textwrap.fill(self.label, 24)

    def drawable(self, values: np.ndarray) -> np.ndarray:
        """``values`` within floor and ceiling, NaN for everything that the scale cannot show."""
        values = np.asarray(values, dtype=float)
        shown = np.isfinite(values) & ((values > 0) | (not self.log_scale))
        return np.where(shown, np.clip(values, self.floor, self.ceiling), np.nan)

    def fenced(self, finals: np.ndarray) -> Measure:
        """The same, with a ceiling above which lie only values far out among ``finals``.

        A ruined run can end 15 powers of ten above all others, and would leave no room to tell
        these apart. Far out, on a logarithmic scale, is what Tukey called so: above the third
        quartile by more than three interquartile ranges; here also by more than two powers of ten.
        """
        usable = finals[np.isfinite(finals) & (finals > 0)]
        if not self.log_scale or not len(usable):
            return self
        first, third = np.percentile(np.log10(usable), (25, 75))
        fence = float(10.0 ** np.ceil(third + max(_FAR_OUT * (third - first), _NEVER_FAR_OUT)))
        return replace(self, ceiling=fence) if usable.max() > fence else self

    def summarise(self, values: np.ndarray) -> Interval:
        """Interquartile mean over runs and its 95 % bootstrap interval, in units of the measure.

        On a logarithmic scale it is that of the logarithms. A run without a finite value counts
        as worse than any other: limits that rest on such runs are infinite or NaN.

        Raises:
            ValueError: there are no values.
        """
        sign = -1.0 if self.higher_is_better else 1.0
        finite = np.where(np.isfinite(values), values, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            shown = sign * (np.log10(finite) if self.log_scale else finite)
        interval = bootstrap_interval([shown], interquartile_mean)
        return interval.map(
            lambda score: 10.0 ** (sign * score) if self.log_scale else sign * score
        )

    def drawable_summary(self, values: np.ndarray) -> Interval:
        """`summarise`, as far as the scale can show it.

        The estimate is NaN when it rests on failed runs; a limit that does so ends where there
        are runs. A single run has an interval without width.

        Raises:
            ValueError: there are no values.
        """
        shown = self.drawable(values)
        if len(shown) == 1:
            return Interval(shown[0], shown[0], shown[0])
        interval = self.summarise(values)
        if not np.isfinite(shown).any():
            return Interval(np.nan, np.nan, np.nan)
        estimate, low, high = self.drawable(
            np.array([interval.estimate, interval.low, interval.high])
        )
        return Interval(
            estimate=float(estimate),
            low=float(low if np.isfinite(low) else np.nanmin(shown)),
            high=float(high if np.isfinite(high) else np.nanmax(shown)),
        )

    def summaries(self, values: pd.Series, by: Any) -> pd.DataFrame:
        """`drawable_summary` of each group of ``values``: columns estimate, low and high."""
        found = {
            key: vars(self.drawable_summary(members.to_numpy(float)))
            for key, members in values.groupby(by)
        }
        return pd.DataFrame(found).T

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
            self._set_log_ticks(target)

    def _set_log_ticks(self, axis: Axis) -> None:
        """Plain numbers at ticks that also suit a range of less than two powers of ten."""
        low, high = sorted(axis.get_view_interval())
        decades = np.log10(high / low)
        if low <= self.floor or high >= self.ceiling:
            axis.set_major_locator(_BoundedLocator(self.floor, self.ceiling))
        elif decades < 0.7:  # fewer than two of the ticks below
            most = 3 if isinstance(axis, XAxis) else 4  # texts stand beside each other along x
            axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10]))
        elif decades < 2:  # else matplotlib's own choice of whole powers of ten
            crowded = isinstance(axis, XAxis) and decades > 1.2
            axis.set_major_locator(LogLocator(subs=(1.0, 3.0) if crowded else (1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(self._tick))
        axis.set_minor_formatter(NullFormatter())

    def _tick(self, value: float, _position: int) -> str:
        """The number at a tick; an end at which other values are drawn too says so."""
        if value == self.ceiling:
            return f"≥{_plain(value)}"
        return f"≤{_plain(value)}" if value == self.floor else _plain(value)


class _BoundedLocator(LogLocator):
    """Ticks at powers of ten, and at a floor and a ceiling that the view reaches."""

    def __init__(self, floor: float, ceiling: float) -> None:
        super().__init__()
        self._bounds = floor, ceiling

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """The ticks of `LogLocator` between the bounds, without those too close to one."""
        ticks = np.asarray(super().tick_values(vmin, vmax), float)
        stride = ticks[1] / ticks[0] if len(ticks) > 1 else 10.0
        floor, ceiling = self._bounds
        if vmin <= floor:
            ticks = np.append(floor, ticks[ticks >= 0.99 * stride * floor])
        if vmax >= ceiling:
            ticks = np.append(ticks[1.01 * ceiling >= stride * ticks], ceiling)
        return list(ticks)


def _plain(value: float) -> str:
    """``0.01``, but ``1e-3``: the way that learning rates are written everywhere else."""
    if value == 0 or 1e-2 <= abs(value) < 1e4:
        return f"{value:.5g}"
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


LOSS = Measure("loss", "training loss", log_scale=True, ranked=False)
# a smaller rate moves no weight: adding it changes no digit of a single-precision number
RATE = Measure("lr", "learning rate", log_scale=True, ranked=False, floor=1e-12)


def metric(name: str) -> Measure:
    """The measure for a metric of the results contract."""
    found = METRICS[name]
    return Measure(name, found.label, not found.higher_is_better, found.higher_is_better)
