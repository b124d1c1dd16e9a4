"""The study's text, its tables and its figure: every number is computed."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from inr.config import format_rate
from inr.errors import UserError
from inr.quantities import QUANTITIES
from postprocess.intervals import Interval
from postprocess.plots import style
from postprocess.plots.layout import state_scale, study_scale
from postprocess.replication.data import PROTOCOLS, Study, sweep_names
from postprocess.replication.numbers import (
    Numbers,
    chance_verdicts,
    is_best,
    place,
    places,
    typical,
)
from postprocess.stats.loss_weightings import NAMES
from postprocess.stats.ranking import HELDOUT

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
_TITLES = {
    **{f"{kind}_{q}": name for kind in ("heldout_nmse", "mse") for q, name in NAMES.items()},
    HELDOUT.column: "all four",
    "heldout_psnr_value": "PSNR, dB",
    "ssim_value": "SSIM of the value",
}
# what is compared under each protocol; tables are sorted by the first
MEASURES: dict[str, tuple[str, ...]] = {
    "corrected": (HELDOUT.column, *(f"heldout_nmse_{q}" for q in QUANTITIES)),
    "original": (*(f"mse_{q}" for q in QUANTITIES), "ssim_value"),
}
_VARIED = {
    "learning_rate": "activation, schedule, rate",
    "activation": "activation, weights",
    "loss_weights": "weights (sine)",
}
_TOP = 4
_ACTIVATIONS = {"sine": ("#0072B2", "o"), "elu": ("#D55E00", "s")}
_LEARNED = 0.999  # of the variance: a network that predicts the mean leaves all of it


def render(study: Study) -> str:
    """The text as Markdown. Raises `UserError` when the data no longer support a sentence."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701, Markdown
    )
    tools = (
        *(show, figure, level, place, places, require, chance_verdicts),
        *(by_setting, by_place, influences, best_of_each, comparison),
    )
    environment.globals.update({tool.__name__: tool for tool in tools})
    environment.globals.update(
        n=Numbers(study),
        verdict=is_best,
        quantities=QUANTITIES,
        short=NAMES,
        sweeps=sweep_names(),
        published_rates=PUBLISHED_RATES,
        published_weightings=PUBLISHED_WEIGHTINGS,
    )
    text = environment.get_template("study.md").render()
    return re.sub(r"\n{3,}", "\n\n", text)  # where conditions stood


def require(condition: bool, sentence: str) -> str:
    """Nothing, when a sentence of the text still holds; else raises `UserError`."""
    if not condition:
        raise UserError(f"the data no longer support this sentence of the study: {sentence}")
    return ""


def figure(value: float) -> str:
    """Three significant digits: ``0.0123``, ``2.5e-05``."""
    return f"{value:.3g}"


def show(score: Interval) -> str:
    """An estimate with its interval: ``0.012 (0.010 to 0.015)``."""
    around = f" ({figure(score.low)} to {figure(score.high)})" if score.low < score.high else ""
    return figure(score.estimate) + around


def level(key: Any) -> str:
    """A setting in words: ``uniform 1e-4``, ``sine (1, 0.01, 0.001, 0)``."""
    parts = key if isinstance(key, tuple) else (key,)
    return " ".join(part if isinstance(part, str) else format_rate(float(part)) for part in parts)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def by_setting(numbers: Numbers, first: str, experiment: str, protocol: str, **given: Any) -> str:
    """Settings from best to worst on the first measure; the best on each in bold.

    ``first`` says what they are, ``given`` what they share.
    """
    found = [numbers.rank(experiment, protocol, m, **given) for m in MEASURES[protocol]]
    rows = []
    for key in found[0]:
        cells = [f"**{show(r[key])}**" if key == next(iter(r)) else show(r[key]) for r in found]
        rows.append([level(key), *cells])
    return _by_metric(first, MEASURES[protocol], rows)


def by_place(numbers: Numbers, protocol: str) -> str:
    """The best few weightings on each measure."""
    found = [numbers.rank("loss_weights", protocol, metric) for metric in MEASURES[protocol]]
    best = [[_named(*entry) for entry in ranking.items()][:_TOP] for ranking in found]
    rows = [[str(place), *row] for place, row in enumerate(zip(*best, strict=True), start=1)]
    return _by_metric("place", MEASURES[protocol], rows)


def influences(numbers: Numbers, protocol: str) -> str:
    """Rank correlation of each weight with each error."""
    metrics = [metric for metric in MEASURES[protocol] if "mse_" in metric]
    rows = [
        [f"weight of the {name}", *(f"{numbers.correlation(protocol, q, m):+.2f}" for m in metrics)]
        for q, name in NAMES.items()
    ]
    return _by_metric("", metrics, rows)


def best_of_each(numbers: Numbers) -> str:
    """The best setting of each experiment on each held-out error."""
    rows = []
    overall, *errors = MEASURES["corrected"]
    for metric in (*errors, overall):
        found = (numbers.rank(experiment, "corrected", metric) for experiment in _VARIED)
        rows.append([_TITLES[metric], *(_named(*next(iter(r.items()))) for r in found)])
    return table(["error", *_VARIED.values()], rows)


def comparison(*settings: pd.DataFrame) -> str:
    """Held-out errors of the runs of some settings, one below the other."""
    metrics = ["heldout_psnr_value", *MEASURES["corrected"][1:]]
    rows = [[_origin(runs), *(show(typical(runs, m)) for m in metrics)] for runs in settings]
    return _by_metric("best of", metrics, rows)


def _by_metric(corner: str, metrics: Iterable[str], rows: Sequence[Sequence[str]]) -> str:
    return table([corner, *(_TITLES[metric] for metric in metrics)], rows)


def _origin(runs: pd.DataFrame) -> str:
    """What ``runs`` have in common: protocol, steps, activation, schedule, rate and weights."""
    one = runs.iloc[0]
    rate = level((one["schedule"], one["learning_rate"]))
    trained = f"{one['protocol']}, {one['steps']} steps"
    return f"{trained}: {one['activation']}, {rate}, weights {one['weights']}"


def _named(key: Any, score: Interval) -> str:
    return f"{level(key)}: {show(score)}"


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
                best.append(f"{activation} best at {format_rate(float(middle.idxmin()))}")
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
