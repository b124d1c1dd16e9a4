"""The study in one figure: the same experiment under both protocols, and opposite answers."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from postprocess.intervals import Interval
from postprocess.plots import style
from postprocess.plots.caption import state_scale, study_scale
from postprocess.replication.data import PROTOCOLS
from postprocess.replication.numbers import Numbers
from postprocess.replication.ranking import Entry

_ACTIVATIONS = {"sine": ("#0072B2", "o"), "elu": ("#D55E00", "s")}
_TITLES = {
    "original": "as published: the smaller the rate, the better",
    "corrected": "corrected: the rates that learn nothing are the worst",
}


def draw_rates(numbers: Numbers) -> Figure:
    """Error of the value by uniform learning rate, a panel for each protocol."""
    style.use_style()
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.6))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for panel, protocol in zip(panels, reversed(PROTOCOLS), strict=True):
        for activation in _ACTIVATIONS:
            rates = numbers.rates(protocol, activation, "nmse_value")
            uniform = {e.level[1]: e for e in rates if e.level[0] == "uniform"}
            _draw_line(panel, activation, dict(sorted(uniform.items())))
        panel.axhline(1, color=style.NEUTRAL, linewidth=0.8, linestyle="--", zorder=0)
        panel.set(xscale="log", yscale="log", xlabel="learning rate", title=_TITLES[protocol])
    panels[0].set_ylabel("final value MSE / variance")
    panels[0].annotate(
        "predicting the mean", (0.98, 0.8), xycoords=("axes fraction", "data"), ha="right", va="top"
    )
    panels[0].legend(loc="lower left")
    return state_scale(figure, study_scale(numbers.runs("learning_rate", "corrected")))


def _draw_line(panel: Axes, activation: str, by_rate: dict[float, Entry]) -> None:
    """Interquartile means with their intervals; failed settings are left out."""
    color, marker = _ACTIVATIONS[activation]
    shown = {r: e.score for r, e in by_rate.items() if np.isfinite(e.score.estimate)}
    rates, scores = list(shown), list(shown.values())
    panel.errorbar(
        rates,
        [score.estimate for score in scores],
        yerr=np.array([_whiskers(score) for score in scores]).T,
        color=color,
        marker=marker,
        markersize=4,
        linewidth=1.2,
        capsize=2,
        label=activation,
    )


def _whiskers(score: Interval) -> tuple[float, float]:
    high = score.high if np.isfinite(score.high) else score.estimate
    return score.estimate - score.low, high - score.estimate
