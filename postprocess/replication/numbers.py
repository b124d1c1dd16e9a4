"""What the study's text asks of its tables: rankings, verdicts, shares and correlations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from scipy.stats import spearmanr

from inr.quantities import QUANTITIES
from postprocess.replication.data import EXPERIMENTS, WEIGHTS, Study, sweep_name
from postprocess.replication.ranking import OVERALL, Entry, find, rank, scores, select

_BEST = 10  # weightings that count as best on an error

# what tells the settings of each experiment apart
VARIED: dict[str, tuple[str, ...]] = {
    "learning_rate": ("activation", "schedule", "learning_rate"),
    "activation": ("activation", *WEIGHTS),
    "loss_weights": WEIGHTS,
}


class Numbers:
    """Everything that the text asks of the tables.

    Args:
        study: the tables by sweep.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self.all_runs = pd.concat(study.values(), ignore_index=True)

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

    def best_weightings(self, protocol: str, metric: str, *activations: str) -> list[Entry]:
        """Some activations, each trained with the weights that are its best, best first."""
        runs = self.runs("activation", protocol, activation=activations)
        best: dict[str, Entry] = {}
        for entry in rank(runs, VARIED["activation"], metric):
            best.setdefault(entry.level[0], replace(entry, level=entry.level[0]))
        return list(best.values())

    def weightings(self, protocol: str, metric: str) -> list[Entry]:
        """Weightings from best to worst."""
        return rank(self.runs("loss_weights", protocol), WEIGHTS, metric)

    def best(self, experiment: str, protocol: str, metric: str) -> Entry:
        """The best setting of an experiment."""
        return rank(self.runs(experiment, protocol), VARIED[experiment], metric)[0]

    def best_setting(self, protocol: str, *experiments: str) -> pd.DataFrame:
        """Runs of the best setting of some experiments, or all, over all four held-out errors."""
        metric = f"heldout_{OVERALL}"
        found = {e: self.best(e, protocol, metric) for e in experiments or EXPERIMENTS}
        experiment = min(found, key=lambda each: found[each].score.estimate)
        settings = dict(zip(VARIED[experiment], found[experiment].level, strict=True))
        return self.runs(experiment, protocol, **settings)

    def rank_of(self, entries: Sequence[Entry], key: Any) -> int:
        """Place of a setting, 1 for the best; settings with equal scores share it."""
        estimates = [entry.score.estimate for entry in entries]
        return estimates.index(find(entries, key).score.estimate) + 1

    def places(self, entries: Sequence[Entry], keys: Sequence[Any]) -> str:
        """Places of several settings: ``1, 5, 12``."""
        return ", ".join(str(self.rank_of(entries, key)) for key in keys)

    def top_verdict(self, protocol: str, claimed: Sequence[Any]) -> str:
        """Whether these weightings have the lowest value errors, and how many of them do."""
        top = [entry.level for entry in self.weightings(protocol, "mse_value")[: len(claimed)]]
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
        best = self.weightings(protocol, "mse_value")[:_BEST]
        gradient = self.weightings(protocol, "mse_gradient")
        worst = max(self.rank_of(gradient, entry.level) for entry in best)
        if worst > 0.75 * len(gradient):
            return f"holds (place {worst} at worst)"
        alone = self.agreement(protocol, "mse_value", "mse_gradient", time_derivative=0)
        among = "only among weightings without the time derivative" if alone < -0.5 else ""
        return among or f"does not hold (place {worst} at worst)"

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
