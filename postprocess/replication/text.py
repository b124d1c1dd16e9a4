"""The study's text and its figure: every number is computed."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from inr.config import format_rate
from inr.errors import UserError
from inr.quantities import QUANTITIES
from postprocess.plots import style
from postprocess.plots.layout import state_scale, study_scale
from postprocess.replication import tables
from postprocess.replication.comparison import (
    best_of,
    level,
    place,
    places,
    ratio,
    recipe_ratios,
    typical,
    verdict,
)
from postprocess.replication.data import PROTOCOLS, Study, sweep_names
from postprocess.replication.numbers import Numbers
from postprocess.replication.tables import effect, figure, show
from postprocess.replication.weight_slopes import lowest
from postprocess.stats.loss_weightings import NAMES

TEMPLATES = Path(__file__).parent / "templates"

# The settings that the published conclusions compare: cyclic rates were left out there.
PUBLISHED_RATES: list[tuple[str, float]] = [
    *(("uniform", rate) for rate in (1e-4, 1e-5, 1e-6, 1e-7)),
    ("exponential", 1e-4),
    ("multi_step", 1e-4),
]
PUBLISHED_WEIGHTINGS = [
    "(0.1, 0, 0.01, 0)",
    "(1, 0.01, 0.001, 0)",
    "(0.01, 0.001, 0.1, 0)",
    "(1, 0.001, 0.01, 0.001)",
]
CHOSEN_WEIGHTS = "(1, 0.3, 0.01, 0.03)"  # of loss_weights.yaml, for claims.yaml
_ACTIVATIONS = {"sine": ("#0072B2", "o"), "elu": ("#D55E00", "s")}
_LEARNED = 0.999  # of the variance: a network that predicts the mean leaves all of it


def render(study: Study, recipes: pd.DataFrame) -> str:
    """The text of the sweeps and the benchmark of recipes, as Markdown.

    Raises `UserError` when the data no longer support a sentence.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701, Markdown
    )
    tools = (
        *(figure, show, effect, level, place, places, typical),
        *(best_of, ratio, verdict, require, lowest, rank_agreement),
    )
    environment.globals.update({tool.__name__: tool for tool in tools})
    environment.globals.update(
        n=Numbers(study),
        recipes=recipe_ratios(recipes),
        tables=tables,
        sets=tables.SET_NAMES,
        quantities=QUANTITIES,
        short=NAMES,
        sweeps=sweep_names(),
        published_rates=PUBLISHED_RATES,
        published_weightings=PUBLISHED_WEIGHTINGS,
        chosen_weights=CHOSEN_WEIGHTS,
    )
    text = environment.get_template("study.md").render()
    return re.sub(r"\n{3,}", "\n\n", text)  # where conditions stood


def require(condition: bool, sentence: str) -> str:
    """Nothing, when a sentence of the text still holds; else raises `UserError`."""
    if not condition:
        raise UserError(f"the data no longer support this sentence of the study: {sentence}")
    return ""


def rank_agreement(order: Sequence[Any], other: Sequence[Any]) -> float:
    """Spearman's correlation of two orders of the same settings."""
    return float(spearmanr(range(len(order)), [other.index(key) for key in order]).statistic)


def draw_rates(study: Study) -> Figure:
    """Error of the value by uniform learning rate, a panel for each protocol.

    Interquartile means with their intervals; failed settings are left out.
    """
    style.use_style()
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.6))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    numbers = Numbers(study)
    for panel, protocol in zip(panels, reversed(PROTOCOLS), strict=True):
        best: list[str] = []
        for activation, (color, marker) in _ACTIVATIONS.items():
            uniform = {"activation": activation, "schedule": "uniform"}
            ranking = numbers.rank("learning_rate", protocol, "nmse_value", **uniform)
            found = pd.DataFrame({rate: vars(each) for rate, each in ranking.items()}).T
            line = found[np.isfinite(found["estimate"])].sort_index()
            middle = line["estimate"]
            if middle.min() < _LEARNED:
                best.append(f"{activation} lowest at {format_rate(float(middle.idxmin()))}")
            bars = middle - line["low"], line["high"].where(np.isfinite, middle) - middle
            look = {"color": color, "marker": marker, "markersize": 4, "label": activation}
            panel.errorbar(line.index, middle, yerr=bars, linewidth=1.2, capsize=2, **look)
        told = ", ".join(best) or "no rate beats predicting the mean"
        title = f"{'as published' if protocol == 'original' else protocol}: {told}"
        panel.axhline(1, color=style.NEUTRAL, linewidth=0.8, linestyle="--", zorder=0)
        panel.set(xscale="log", yscale="log", xlabel="learning rate", title=title)
    panels[0].set_ylabel("final value MSE / variance")
    panels[0].annotate(
        "predicting the mean", (0.98, 0.8), xycoords=("axes fraction", "data"), ha="right", va="top"
    )
    panels[0].legend(loc="lower left")
    return state_scale(figure, study_scale(study["learning_rate"]))
