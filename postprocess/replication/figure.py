"""The study in one figure: the same experiment under both protocols, and opposite answers."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from postprocess.plots import style
from postprocess.plots.layout import state_scale, study_scale
from postprocess.replication.data import PROTOCOLS, Study
from postprocess.replication.numbers import Numbers

_ACTIVATIONS = {"sine": ("#0072B2", "o"), "elu": ("#D55E00", "s")}
_TITLES = {
    "original": "as published: the smaller the rate, the better",
    "corrected": "corrected: the rates that learn nothing are the worst",
}


def draw_rates(study: Study) -> Figure:
    """Error of the value by uniform learning rate, a panel for each protocol.

    Interquartile means with their intervals; failed settings are left out.
    """
    style.use_style()
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.6))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    numbers = Numbers(study)
    for panel, protocol in zip(panels, reversed(PROTOCOLS), strict=True):
        for activation, (color, marker) in _ACTIVATIONS.items():
            uniform = {"activation": activation, "schedule": "uniform"}
            ranking = numbers.rank("learning_rate", protocol, "nmse_value", **uniform)
            found = pd.DataFrame({rate: vars(each) for rate, each in ranking.items()}).T
            line = found[np.isfinite(found["estimate"])].sort_index()
            middle = line["estimate"]
            bars = middle - line["low"], line["high"].where(np.isfinite, middle) - middle
            look = {"color": color, "marker": marker, "markersize": 4, "label": activation}
            panel.errorbar(line.index, middle, yerr=bars, linewidth=1.2, capsize=2, **look)
        panel.axhline(1, color=style.NEUTRAL, linewidth=0.8, linestyle="--", zorder=0)
        panel.set(xscale="log", yscale="log", xlabel="learning rate", title=_TITLES[protocol])
    panels[0].set_ylabel("final value MSE / variance")
    panels[0].annotate(
        "predicting the mean", (0.98, 0.8), xycoords=("axes fraction", "data"), ha="right", va="top"
    )
    panels[0].legend(loc="lower left")
    return state_scale(figure, study_scale(study["learning_rate"]))
