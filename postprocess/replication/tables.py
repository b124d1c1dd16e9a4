"""The Markdown tables of the study's text."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from inr.config import format_rate
from inr.quantities import QUANTITIES
from postprocess.intervals import Interval
from postprocess.replication.comparison import best_of, level, ratio, typical
from postprocess.replication.numbers import SETS, TUNED, Numbers
from postprocess.stats.loss_weightings import NAMES
from postprocess.stats.ranking import HELDOUT

_TITLES = {
    **{f"{kind}_{q}": name for kind in ("heldout_nmse", "mse") for q, name in NAMES.items()},
    HELDOUT.column: "all four",
    "heldout_three": "first three",
    "heldout_psnr_value": "PSNR, dB",
    "ssim_value": "SSIM of the value",
}
# what is compared under each protocol; tables are sorted by the first
MEASURES: dict[str, tuple[str, ...]] = {
    "corrected": (HELDOUT.column, "heldout_three", *(f"heldout_nmse_{q}" for q in QUANTITIES)),
    "original": (*(f"mse_{q}" for q in QUANTITIES), "ssim_value"),
}
_VARIED = {
    "learning_rate": "activation, schedule, rate",
    "activation": "activation, weights",
    "loss_weights": "weights (sine)",
}
_TOP = 4
_MANY = 3  # names that a cell does not hold
SET_NAMES = dict(
    zip(
        SETS,
        (
            "training grid",
            "between pixels and frames",
            "between pixels",
            "between frames",
            "first interval",
        ),
        strict=True,
    )
)
_ERRORS = {
    **{f"nmse_{q}": name for q, name in NAMES.items()},
    "three": "first three",
    "overall": "all four",
}


def figure(value: float) -> str:
    """Three significant digits: ``0.0123``, ``2.5e-05``."""
    return f"{value:.3g}"


def show(score: Interval) -> str:
    """An estimate with its interval: ``0.012 (0.010 to 0.015)``."""
    around = f" ({figure(score.low)} to {figure(score.high)})" if score.low < score.high else ""
    return figure(score.estimate) + around


def effect(exponent: Interval) -> Interval:
    """How many times an error becomes when a weight is ten times as large."""
    return exponent.map(lambda value: 10.0**value)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def best_by_points(numbers: Numbers, settings: str) -> str:
    """The best setting by error and set of points, in bold where it is apart from all others.

    ``settings``: ``activation``, trained on all four terms, or ``schedule``, from a peak of 3e-4.
    """
    rows = []
    for error, name in _ERRORS.items():
        cells = []
        for points in SETS:
            first, *equals = best_of(numbers.contest(settings, points + error))
            others = ", ".join(equals) if len(equals) < _MANY else f"{len(equals)} more"
            cells.append(f"{first}, with {others}" if equals else f"**{first}**")
        rows.append([name, *cells])
    return table(["error", *SET_NAMES.values()], rows)


def errors_by_points(runs: pd.DataFrame) -> str:
    """Every error of some runs on every set of points."""
    rows = [
        [name, *(show(typical(runs, points + error)) for points in SETS)]
        for error, name in _ERRORS.items()
    ]
    return table(["error", *SET_NAMES.values()], rows)


def ratios(numbers: Numbers, settings: str, one: str, errors: Sequence[str]) -> str:
    """How many times the errors of ``one`` those of each other setting are, held out."""
    found = [numbers.contest(settings, f"heldout_{error}") for error in errors]
    rows = [
        [setting, *(show(ratio(costs, setting, one)) for costs in found)]
        for setting in found[0].index
        if setting != one
    ]
    return table(["", *(_ERRORS[error] for error in errors)], rows)


def derivatives_help(numbers: Numbers, rates: Sequence[float], *weightings: str) -> str:
    """Value error of training on the value alone, and with some weights, by peak rate."""
    rows = []
    for rate in rates:
        given = {"schedule": "cosine", "learning_rate": rate}
        row = [format_rate(rate)]
        for weights in ("(1, 0, 0, 0)", *weightings):
            error = numbers.claim("corrected", "heldout_nmse_value", weights=weights, **given)
            row.append(show(error))
        for weights in weightings:
            found = numbers.value_alone(rate, weights)
            row.append(show(ratio(found, *found.index)))
        rows.append(row)
    ratios = (f"value alone / {weights}" for weights in weightings)
    return table(["peak rate", "value alone", *weightings, *ratios], rows)


def weight_effects(numbers: Numbers) -> str:
    """How many times a held-out error becomes when a weight is ten times as large."""
    metrics = MEASURES["corrected"]
    found = [numbers.slopes(metric) for metric in metrics]
    rows = [
        [f"weight of the {name}", *(show(effect(slopes[q])) for slopes in found)]
        for q, name in NAMES.items()
    ]
    rows.append(["explained variance", *(show(slopes["r2"]) for slopes in found)])
    return _by_metric("", metrics, rows)


def tuned(numbers: Numbers) -> str:
    """The settings that were chosen for each activation."""
    rows = [
        [activation, *(f"{chosen[name]:g}" for name in TUNED[:2]), level(chosen[TUNED[2]])]
        for activation, chosen in numbers.tuned.items()
    ]
    return table(["activation", "scale of the first layer", "scale of time", "peak rate"], rows)


def spacings(numbers: Numbers) -> str:
    """All four errors, held out, by scale of the time input and spacing of the frames."""
    runs = numbers.runs("frame_spacing", "corrected")
    columns = list(dict.fromkeys(runs["frame_spacing"]))
    rows = []
    for scale in sorted(set(runs["time_scale"]), reverse=True):
        cells = (
            runs[(runs["time_scale"] == scale) & (runs["frame_spacing"] == c)] for c in columns
        )
        rows.append([f"{scale:g}", *(show(typical(each, HELDOUT.column)) for each in cells)])
    return table(["scale of time", *(c.replace("_", " ") for c in columns)], rows)


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
    overall, three, *errors = MEASURES["corrected"]
    for metric in (*errors, three, overall):
        found = (numbers.rank(experiment, "corrected", metric) for experiment in _VARIED)
        rows.append([_TITLES[metric], *(_named(*next(iter(r.items()))) for r in found)])
    return table(["error", *_VARIED.values()], rows)


def comparison(*settings: pd.DataFrame) -> str:
    """Held-out errors of the runs of some settings, one below the other."""
    metrics = ["heldout_psnr_value", *MEASURES["corrected"][2:]]
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
