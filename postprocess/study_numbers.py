"""What the study's text asks of its tables: rankings, verdicts, shares and correlations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from scipy.stats import spearmanr

from inr.results import QUANTITIES
from postprocess.study_data import EXPERIMENTS, WEIGHTS, Study, sweep_name
from postprocess.study_ranking import (
    OVERALL,
    Entry,
    is_best,
    rank,
    scores,
    select,
)

_BEST = 10  # weightings that count as best on an error

# what tells the settings of each experiment apart
VARIED: dict[str, tuple[str, ...]] = {
    "learning_rate": ("activation", "schedule", "learning_rate"),
    "activation": ("activation", *WEIGHTS),
    "loss_weights": WEIGHTS,
}


@dataclass(frozen=True)
class Best:
    """The best setting of a protocol over all experiments.

    Attributes:
        experiment: where it was found.
        entry: the setting, by the mean of log10 of the four held-out errors.
        runs: its runs.
    """

    experiment: str
    entry: Entry
    runs: pd.DataFrame


class Numbers:
    """Everything that the text asks of the tables.

    Args:
        study: the tables by sweep.
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def runs(self, experiment: str, protocol: str, **settings: Any) -> pd.DataFrame:
        """Runs of one sweep, with these settings."""
        return select(self._study[sweep_name(experiment, protocol)], settings)

    def rates(
        self,
        protocol: str,
        activation: str,
        metric: str,
        among: Sequence[tuple[str, float]] | None = None,
    ) -> list[Entry]:
        """(schedule, learning rate) from best to worst, over all or ``among`` some."""
        runs = self.runs("learning_rate", protocol, activation=activation)
        entries = rank(runs, ("schedule", "learning_rate"), metric)
        return [entry for entry in entries if among is None or entry.level in among]

    def activations(self, protocol: str, metric: str, weights: Sequence[float]) -> list[Entry]:
        """Activations trained with these weights, from best to worst."""
        settings = dict(zip(WEIGHTS, weights, strict=True))
        return rank(self.runs("activation", protocol, **settings), ("activation",), metric)

    def best_weighting(self, protocol: str, activation: str, metric: str) -> Entry:
        """The best weighting of one activation, in the activation sweep."""
        return rank(self.runs("activation", protocol, activation=activation), WEIGHTS, metric)[0]

    def weightings(self, protocol: str, metric: str) -> list[Entry]:
        """Weightings from best to worst."""
        return rank(self.runs("loss_weights", protocol), WEIGHTS, metric)

    def best(self, experiment: str, protocol: str, metric: str) -> Entry:
        """The best setting of an experiment."""
        return rank(self.runs(experiment, protocol), VARIED[experiment], metric)[0]

    def best_setting(self, protocol: str, *experiments: str) -> Best:
        """The best setting of some experiments, or all, over all four held-out errors."""
        metric = f"heldout_{OVERALL}"
        found = {e: self.best(e, protocol, metric) for e in experiments or EXPERIMENTS}
        experiment = min(found, key=lambda each: found[each].score.estimate)
        entry = found[experiment]
        settings = dict(zip(VARIED[experiment], entry.level, strict=True))
        return Best(experiment, entry, self.runs(experiment, protocol, **settings))

    def find(self, entries: Sequence[Entry], key: Any) -> Entry:
        """The entry of one setting."""
        return next(entry for entry in entries if entry.level == key)

    def levels(self, entries: Sequence[Entry]) -> list[Any]:
        """The settings of some entries."""
        return [entry.level for entry in entries]

    def rank_of(self, entries: Sequence[Entry], key: Any) -> int:
        """Place of a setting, 1 for the best; settings with equal scores share it."""
        mine = self.find(entries, key)
        return next(
            place
            for place, entry in enumerate(entries, 1)
            if entry.score.estimate == mine.score.estimate
        )

    def places(self, entries: Sequence[Entry], keys: Sequence[Any]) -> str:
        """Places of several settings: ``1, 5, 12``."""
        return ", ".join(str(self.rank_of(entries, key)) for key in keys)

    def verdict(self, entries: Sequence[Entry], claimed: Any) -> str:
        """Whether the claimed setting is best: holds, does not hold, cannot be decided."""
        return is_best(entries, claimed)

    def top_verdict(self, protocol: str, claimed: Sequence[Any]) -> str:
        """Whether these weightings have the lowest value errors, and how many of them do."""
        top = self.levels(self.weightings(protocol, "mse_value")[: len(claimed)])
        among = sum(key in top for key in claimed)
        return "holds" if top == list(claimed) else f"does not hold ({among} of the four)"

    def best_verdict(self, protocol: str, claimed: Any) -> str:
        """Whether a weighting is the best over all four errors."""
        place = self.rank_of(self.weightings(protocol, OVERALL), claimed)
        return "holds" if place == 1 else f"does not hold (place {place})"

    def conflict_verdict(self, protocol: str) -> str:
        """Whether one of the best weightings on value is in the last quarter on gradient.

        Or whether, among weightings without the time derivative, one error rises as the other
        falls.
        """
        best = self.levels(self.weightings(protocol, "mse_value")[:_BEST])
        gradient = self.weightings(protocol, "mse_gradient")
        worst = max(self.rank_of(gradient, key) for key in best)
        if worst > 0.75 * len(gradient):
            return f"holds (place {worst} at worst)"
        alone = self.agreement(protocol, "mse_value", "mse_gradient", time_derivative=0)
        among = "only among weightings without the time derivative" if alone < -0.5 else ""
        return among or f"does not hold (place {worst} at worst)"

    def lower(self, mine: Entry, other: Entry) -> str:
        """Whether the first has the lower score, as far as intervals tell."""
        return _is_first(mine, other, reverse=False)

    def higher(self, mine: Entry, other: Entry) -> str:
        """Whether the first has the higher score, as far as intervals tell."""
        return _is_first(mine, other, reverse=True)

    def agreement(self, protocol: str, first: str, second: str, **settings: Any) -> float:
        """Spearman's rank correlation of two metrics over the weightings with these settings."""
        runs = self.runs("loss_weights", protocol, **settings)
        return float(spearmanr(scores(runs, first), scores(runs, second)).statistic)

    def influence(self, protocol: str, metric: str, quantity: str) -> float:
        """Spearman's rank correlation of the weight of a quantity with a metric."""
        runs = self.runs("loss_weights", protocol)
        weight = runs[f"training.loss_weights.{quantity}"]
        return float(spearmanr(weight, scores(runs, metric)).statistic)

    def shares(self, runs: pd.DataFrame, kind: str) -> dict[str, float]:
        """Share of each term, weight x error (``mse`` or ``nmse``), in the last loss; mean."""
        terms = {
            quantity: runs[f"training.loss_weights.{quantity}"] * runs[f"{kind}_{quantity}"]
            for quantity in QUANTITIES
        }
        total = sum(terms.values())
        return {quantity: float((term / total).mean()) for quantity, term in terms.items()}

    def variance(self, protocol: str, quantity: str) -> float:
        """Variance of a target: the mean squared error of predicting its mean."""
        one = self.runs("learning_rate", protocol).iloc[0]
        return float(one[f"mse_{quantity}"] / one[f"nmse_{quantity}"])

    def count(self) -> int:
        """Runs of the whole study."""
        return sum(len(runs) for runs in self._study.values())

    def failed(self) -> int:
        """Runs that diverged."""
        return sum(int((runs["status"] != "complete").sum()) for runs in self._study.values())

    def hours(self) -> float:
        """Training time of all runs, in hours."""
        return sum(float(runs["seconds"].sum()) for runs in self._study.values()) / 3600


def _is_first(mine: Entry, other: Entry, *, reverse: bool) -> str:
    """The verdict on ``mine`` among two entries, whatever their settings are called."""
    pair = [replace(mine, level="mine"), replace(other, level="other")]
    pair.sort(key=lambda entry: entry.score.estimate, reverse=reverse)
    return is_best(pair, "mine")
