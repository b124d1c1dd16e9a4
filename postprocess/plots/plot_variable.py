"""What a figure can draw: a recorded column with its label, scale and direction."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from inr.metrics import METRICS
from inr.quantities import QUANTITIES
from postprocess.intervals import Interval
from postprocess.plots.ticks import set_log_ticks
from postprocess.stats.fields import DERIVATIVES, PROTOCOL
from postprocess.stats.ranking import Score, suits

ON_GRID = "on the training grid"
_FAR_OUT = 3.0  # interquartile ranges
_NEVER_FAR_OUT = 2.0  # powers of ten


@dataclass(frozen=True)
class Measure(Score):
    """A column of the series or of the final values, on the scale that it is drawn on."""

    ranked: bool = True  # False: its size does not say which run is better
    floor: float = -math.inf  # smaller values are drawn there
    ceiling: float = math.inf  # larger values are drawn there

    @property
    def log_scale(self) -> bool:
        """True for errors and rates, which span decades."""
        return not self.higher_is_better

    def drawable(self, values: np.ndarray) -> np.ndarray:
        """``values`` within floor and ceiling, NaN for everything that the scale cannot show."""
        values = np.asarray(values, dtype=float)
        shown = np.isfinite(values) & ((values > 0) | (not self.log_scale))
        return np.where(shown, np.clip(values, self.floor, self.ceiling), np.nan)

    def fenced(self, *finals: np.ndarray) -> Self:
        """The same, with a ceiling above which lie only values far out among their ``finals``.

        Given several arrays, values have to be far out among all of them: those of another target
        may all lie higher.

        A ruined run can end 15 powers of ten above all others, and would leave no room to tell
        these apart. Far out, on a logarithmic scale, is what Tukey called so: above the third
        quartile by more than three interquartile ranges; here also by more than two powers of ten.
        """
        usable = [each[np.isfinite(each) & (each > 0)] for each in finals]
        usable = [each for each in usable if len(each)]
        if not self.log_scale or not usable:
            return self
        quartiles = np.array([np.percentile(np.log10(each), (25, 75)) for each in usable])
        far = np.maximum(_FAR_OUT * np.ptp(quartiles, axis=1), _NEVER_FAR_OUT)
        fence = float(10.0 ** np.ceil((quartiles[:, 1] + far).max()))
        return replace(self, ceiling=fence) if max(map(np.max, usable)) > fence else self

    def summarise(self, values: np.ndarray) -> Interval:
        """`Score.interval` of runs, as the scale shows it.

        The estimate is NaN when it rests on runs without a finite value, and a limit that does so
        ends where there are runs. A single run has an interval without width.
        """
        shown = self.drawable(values)
        if len(shown) == 1 or np.isnan(shown).all():
            return Interval(*shown[[0, 0, 0]])
        found = self.interval(values)
        estimate, low, high = self.drawable(np.array([found.estimate, found.low, found.high]))
        low = np.nanmin(shown) if np.isnan(low) else low
        return Interval(estimate, low, np.nanmax(shown) if np.isnan(high) else high)

    def summaries(self, values: pd.Series, by: Any) -> pd.DataFrame:
        """`summarise` for each group of ``values``: columns estimate, low and high."""
        found = {
            key: vars(self.summarise(members.to_numpy(float)))
            for key, members in values.groupby(by, sort=False)
        }
        return pd.DataFrame(found).T

    def finish(self, panel: Axes, axis: Literal["x", "y"] = "y") -> None:
        """Set the scale of one axis of a panel that already holds its lines.

        A panel without a finite value says so, and has ticks only if it shares them with others.
        """

        def is_empty(panel: Axes) -> bool:
            return not np.isfinite(getattr(panel.dataLim, f"interval{axis}")).all()

        target = getattr(panel, f"{axis}axis")
        if is_empty(panel):
            panel.text(
                0.5, 0.5, "no finite values", ha="center", va="center", transform=panel.transAxes
            )
        if all(map(is_empty, getattr(panel, f"get_shared_{axis}_axes")().get_siblings(panel))):
            target.set_ticks([])
        elif self.log_scale:
            panel.set(**{f"{axis}scale": "log"})
            set_log_ticks(target, self.floor, self.ceiling)


def metric(name: str) -> Measure:
    """The measure for a metric of the results contract, on the training grid."""
    found = METRICS[name]
    return Measure(name, f"{found.label}\n{ON_GRID}", higher_is_better=found.higher_is_better)


def held_out(runs: pd.DataFrame) -> str:
    """Where columns ``heldout_*`` of ``runs`` are measured, and against what if that differs."""
    inexact = {PROTOCOL: "original", DERIVATIVES: "discrete"}  # targets on the training grid
    differs = any(name in runs and (runs[name] == level).all() for name, level in inexact.items())
    where = "between pixels and frames (held out)"
    return f"{where}, against the exact diffusion" if differs else where


def measures(runs: pd.DataFrame) -> list[Measure]:
    """The metrics that are drawn of ``runs`` in figures of their own."""
    # squared errors in units say the same as normalised ones, with less to compare
    shown = [name for name in METRICS if not name.startswith("mse_")]
    return [metric(name) for name in shown if suits(name, runs)]


ERRORS = [metric(f"nmse_{quantity}") for quantity in QUANTITIES]
LOSS = Measure("loss", "training loss", ranked=False)
# a smaller rate moves no weight: adding it changes no digit of a single-precision number
RATE = Measure("lr", "learning rate", ranked=False, floor=1e-12)
