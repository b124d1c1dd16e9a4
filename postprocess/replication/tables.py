"""Markdown of the study: numbers in words, and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from inr.quantities import QUANTITIES
from postprocess.intervals import Interval
from postprocess.replication.data import EXPERIMENTS, WEIGHTS
from postprocess.replication.numbers import VARIED, Numbers
from postprocess.replication.ranking import OVERALL, Entry, find, typical
from postprocess.stats.loss_weightings import NAMES

_TITLES = {
    **{f"heldout_nmse_{quantity}": name for quantity, name in NAMES.items()},
    **{f"mse_{quantity}": name for quantity, name in NAMES.items()},
    f"heldout_{OVERALL}": "all four",
    "heldout_psnr_value": "PSNR, dB",
    "ssim_value": "SSIM of the value",
}
# what is compared under each protocol; tables are sorted by the first
MEASURES: dict[str, tuple[str, ...]] = {
    "corrected": (f"heldout_{OVERALL}", *(f"heldout_nmse_{q}" for q in QUANTITIES)),
    "original": (*(f"mse_{q}" for q in QUANTITIES), "ssim_value"),
}
_TOP = 4


def figure(value: float) -> str:
    """Three significant digits: ``0.0123``, ``2.5e-05``."""
    return f"{value:.3g}"


def show(score: Interval) -> str:
    """An estimate with its interval: ``0.012 (0.010 to 0.015)``."""
    if not score.low < score.high:
        return figure(score.estimate)
    return f"{figure(score.estimate)} ({figure(score.low)} to {figure(score.high)})"


def level(key: Any) -> str:
    """A setting in words: ``uniform 1e-4``, ``sine (1, 0.01, 0.001, 0)``."""
    parts = list(key) if isinstance(key, tuple) else [key]
    words = [part for part in parts if isinstance(part, str)]
    numbers = [part for part in parts if not isinstance(part, str)]
    if len(numbers) == 4:
        words.append(f"({', '.join(f'{number:g}' for number in numbers)})")
    else:
        words += [f"{number:.0e}".replace("e-0", "e-") for number in numbers]
    return " ".join(words)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Tables:
    """The tables of the text.

    Args:
        numbers: where they come from.
    """

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def rates(self, protocol: str, activation: str) -> str:
        """Learning rates and schedules of one activation."""
        found = {m: self._numbers.rates(protocol, activation, m) for m in MEASURES[protocol]}
        return _by_setting(found, "schedule, rate")

    def activations(self, protocol: str, weights: Sequence[float]) -> str:
        """Activations, trained with these weights."""
        found = {m: self._numbers.activations(protocol, m, weights) for m in MEASURES[protocol]}
        return _by_setting(found, "activation")

    def weightings(self, protocol: str) -> str:
        """The best weightings on each measure."""
        found = {m: self._numbers.weightings(protocol, m) for m in MEASURES[protocol]}
        rows = [
            [str(place + 1), *(_named(entries[place]) for entries in found.values())]
            for place in range(_TOP)
        ]
        return table(["place", *(_TITLES[metric] for metric in found)], rows)

    def influence(self, protocol: str) -> str:
        """Rank correlation of each weight with each error."""
        metrics = [m for m in MEASURES[protocol] if "mse_" in m]
        rows = [
            [
                f"weight of the {NAMES[quantity]}",
                *(f"{self._numbers.influence(protocol, m, quantity):+.2f}" for m in metrics),
            ]
            for quantity in QUANTITIES
        ]
        return table(["", *(_TITLES[metric] for metric in metrics)], rows)

    def best(self) -> str:
        """The best setting of each experiment on each held-out error."""
        rows = [
            [
                _TITLES[metric],
                *(_named(self._numbers.best(e, "corrected", metric)) for e in EXPERIMENTS),
            ]
            for metric in (*MEASURES["corrected"][1:], MEASURES["corrected"][0])
        ]
        head = ["error", "activation, schedule, rate", "activation, weights", "weights (sine)"]
        assert len(VARIED) == len(head) - 1
        return table(head, rows)

    def comparison(self, *settings: pd.DataFrame) -> str:
        """Held-out errors of the runs of some settings, one below the other."""
        metrics = ["heldout_psnr_value", *MEASURES["corrected"][1:]]
        rows = [
            [_origin(runs), *(show(typical(runs, metric)) for metric in metrics)]
            for runs in settings
        ]
        return table(["best of", *(_TITLES[metric] for metric in metrics)], rows)


def _by_setting(found: dict[str, list[Entry]], first: str) -> str:
    """Settings down, from best to worst on the first measure; the best of each in bold."""
    rows = []
    for key in (entry.level for entry in next(iter(found.values()))):
        cells = []
        for entries in found.values():
            entry = find(entries, key)
            cells.append(f"**{show(entry.score)}**" if entry is entries[0] else show(entry.score))
        rows.append([level(key), *cells])
    return table([first, *(_TITLES[metric] for metric in found)], rows)


def _origin(runs: pd.DataFrame) -> str:
    """What ``runs`` have in common: protocol, steps, activation, schedule, rate and weights."""
    one = runs.iloc[0]
    rate = level((one["training.schedule"], one["training.learning_rate"]))
    weights = level(tuple(one[weight] for weight in WEIGHTS))
    trained = f"{one['training.protocol']}, {one['training.steps']} steps"
    return f"{trained}: {one['model.activation']}, {rate}, weights {weights}"


def _named(entry: Entry) -> str:
    return f"{level(entry.level)}: {show(entry.score)}"
