"""What the study's text asks of its tables: rankings, verdicts, shares and correlations."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from inr.quantities import QUANTITIES
from postprocess.intervals import DRAWS, Interval, interquartile_mean, percentile_limits, resample
from postprocess.replication.data import EXPERIMENTS, Study, sweep_name
from postprocess.stats.fields import weights_text
from postprocess.stats.loss_weightings import rank_correlations
from postprocess.stats.ranking import HELDOUT, OVERALL, add_scores, score_of

# settings from best to worst: values of the compared fields, a single one not wrapped, with the
# interquartile mean over their runs in the metric's own unit
Ranking = dict[Any, Interval]

_BEST = 10  # weightings that count as best on an error

# what tells the settings of each experiment apart; weights are one text
VARIED: dict[str, list[str]] = {
    "learning_rate": ["activation", "schedule", "learning_rate"],
    "activation": ["activation", "weights"],
    "loss_weights": ["weights"],
}


def costs(runs: pd.DataFrame, metric: str) -> np.ndarray:
    """`Score.costs` of a metric; a diverged run has plus infinity."""
    return score_of(metric).costs(_known(runs, metric))


def typical(runs: pd.DataFrame, metric: str) -> Interval:
    """Interquartile mean of a metric over runs with a 95 % bootstrap interval, in its own unit."""
    return score_of(metric).interval(_known(runs, metric))


def _known(runs: pd.DataFrame, metric: str) -> pd.Series:
    return runs[metric].where(runs["status"] == "complete")


def rank(runs: pd.DataFrame, by: list[str], metric: str) -> Ranking:
    """Settings from best to worst."""
    groups = runs.groupby(by if len(by) > 1 else by[0], sort=False)
    found = {key: typical(group, metric) for key, group in groups}
    score = score_of(metric)
    return dict(sorted(found.items(), key=lambda item: float(score.costs(item[1].estimate))))


def is_best(ranking: Ranking, claimed: Any) -> str:
    """Whether ``claimed`` is the best setting of a ranking.

    It holds when the claimed one is best and its interval touches no other; it does not hold when
    the best one's interval lies wholly on the better side of the claimed one's; else the runs
    cannot decide.
    """
    best, *others = ranking
    rivals = others if best == claimed else [best]
    if any(ranking[claimed].overlaps(ranking[rival]) for rival in rivals):
        return "cannot be decided"
    return "holds" if best == claimed else "does not hold"


def chance_verdicts(settings: int, seeds: int = 3, draws: int = 20_000) -> tuple[float, float]:
    """How often `is_best` says "holds" and "does not hold" of one of several equal settings.

    By simulation, with scores from a normal distribution; their intervals are their ranges.
    """
    scores = np.random.default_rng(0).normal(size=(draws, settings, seeds))
    low, high = scores.min(axis=-1), scores.max(axis=-1)
    best = np.argmin(interquartile_mean(scores, axis=-1), axis=1)
    holds = (best == 0) & (high[:, 0] < low[:, 1:].min(axis=1))
    refuted = high[np.arange(draws), best] < low[:, 0]
    return float(holds.mean()), float(refuted.mean())


def place(ranking: Ranking, key: Any) -> int:
    """Place of a setting, 1 for the best; settings with equal scores share it."""
    return [each.estimate for each in ranking.values()].index(ranking[key].estimate) + 1


def places(ranking: Ranking, keys: Iterable[Any]) -> str:
    """Places of several settings: ``1, 5, 12``."""
    return ", ".join(str(place(ranking, key)) for key in keys)


class Numbers:
    """Everything that the text asks of the tables."""

    def __init__(self, study: Study) -> None:
        self._study = {}
        for sweep, table in study.items():
            runs = add_scores(table).rename(columns=lambda column: column.rpartition(".")[2])
            self._study[sweep] = runs.assign(weights=runs[[*QUANTITIES]].agg(weights_text, axis=1))
        self.all_runs = pd.concat(self._study.values(), ignore_index=True)

    def runs(self, experiment: str, protocol: str, **settings: Any) -> pd.DataFrame:
        """Runs of one sweep, with these settings."""
        runs = self._study[sweep_name(experiment, protocol)]
        for name, wanted in settings.items():
            runs = runs[runs[name] == wanted]
        return runs

    @cache  # noqa: B019 - the text asks for most of them several times, and is all there is
    def rank(self, experiment: str, protocol: str, metric: str, **settings: Any) -> Ranking:
        """Runs of an experiment with these settings, by what else it varies, best first."""
        by = [name for name in VARIED[experiment] if name not in settings]
        return rank(self.runs(experiment, protocol, **settings), by, metric)

    def rates(
        self, protocol: str, metric: str, activation: str, among: Sequence[Any] = ()
    ) -> Ranking:
        """(schedule, learning rate) from best to worst, over all or ``among`` some."""
        ranking = self.rank("learning_rate", protocol, metric, activation=activation)
        return {key: ranking[key] for key in ranking if not among or key in among}

    def best_weightings(self, protocol: str, metric: str, *activations: str) -> Ranking:
        """Some activations, each trained with the weights that are its best, best first."""
        best: Ranking = {}
        for (activation, _), interval in self.rank("activation", protocol, metric).items():
            if activation in activations:
                best.setdefault(activation, interval)
        return best

    def best_setting(self, protocol: str, *experiments: str) -> pd.DataFrame:
        """Runs of the best setting of some experiments, or all, over all four held-out errors."""
        settings = (
            runs
            for experiment in experiments or EXPERIMENTS
            for _, runs in self.runs(experiment, protocol).groupby(VARIED[experiment])
        )
        return min(settings, key=lambda runs: typical(runs, HELDOUT.column).estimate)

    def top_verdict(self, protocol: str, claimed: Sequence[Any]) -> str:
        """Whether these weightings have the lowest value errors, and how many of them do."""
        top = list(self.rank("loss_weights", protocol, "mse_value"))[: len(claimed)]
        among = sum(key in top for key in claimed)
        return "holds" if top == list(claimed) else f"does not hold ({among} of the four)"

    def best_verdict(self, protocol: str, claimed: Any) -> str:
        """Whether a weighting is the best over all four errors."""
        found = place(self.rank("loss_weights", protocol, OVERALL.column), claimed)
        return "holds" if found == 1 else f"does not hold (place {found})"

    def conflict_verdict(self, protocol: str) -> str:
        """Whether one of the best weightings on value is in the last quarter on gradient.

        Or whether, among weightings without the time derivative, one error rises as the other
        falls.
        """
        best = list(self.rank("loss_weights", protocol, "mse_value"))[:_BEST]
        gradient = self.rank("loss_weights", protocol, "mse_gradient")
        worst = max(place(gradient, key) for key in best)
        if worst > 0.75 * len(gradient):
            return f"holds (place {worst} at worst)"
        if self.correlation(protocol, "mse_value", "mse_gradient", time_derivative=0) < -0.5:
            return "only among weightings without the time derivative"
        return f"does not hold (place {worst} at worst)"

    def correlation(self, protocol: str, first: str, second: str, **settings: Any) -> float:
        """Spearman's rank correlation over the weightings with these settings.

        Of two metrics, or of the weight of a quantity, called as that, with a metric.
        """
        runs = self.runs("loss_weights", protocol, **settings)
        values = [runs[c] if c in QUANTITIES else costs(runs, c) for c in (first, second)]
        return float(spearmanr(*values).statistic)

    def lead(self, protocol: str, quantity: str, metric: str) -> Interval:
        """By how much the weight of a quantity goes more closely with a low error than any other.

        Spearman's correlation of the next weight less its own, and a 95 % bootstrap interval over
        the weightings: above 0 no other goes as closely, in these runs and in others like them.
        """
        runs = self.runs("loss_weights", protocol)
        weights, errors = runs[[*QUANTITIES]].to_numpy(float), costs(runs, metric)[:, None]
        own = QUANTITIES.index(quantity)
        drawn = resample(len(runs), DRAWS, np.random.default_rng(0))
        found = rank_correlations(weights[drawn], errors[drawn])[..., 0]
        once = rank_correlations(weights[None], errors[None])[..., 0]
        lead, (estimate,) = (
            np.delete(each, own, axis=1).min(axis=1) - each[:, own] for each in (found, once)
        )
        low, high = percentile_limits(lead)
        return Interval(float(estimate), float(low), float(high))

    def shares(self, runs: pd.DataFrame, kind: str) -> dict[str, float]:
        """Share of each term, weight x error (``mse`` or ``nmse``), in the last loss; mean."""
        terms = pd.DataFrame({q: runs[q] * runs[f"{kind}_{q}"] for q in QUANTITIES})
        return dict(terms.div(terms.sum(axis=1, skipna=False), axis=0).mean())

    def easier_between(self, quantity: str) -> float:
        """Share of runs with a lower error where nothing was trained than on the frames.

        Of all corrected runs that leave less than a tenth of the value's variance.
        """
        runs = pd.concat(self.runs(experiment, "corrected") for experiment in EXPERIMENTS)
        learned = runs[runs["nmse_value"] < 0.1]
        lower = learned[f"heldout_nmse_{quantity}"] < learned[f"nmse_{quantity}"]
        return float(lower.mean())

    def variance(self, protocol: str, quantity: str) -> float:
        """Variance of a target: the mean squared error of predicting its mean."""
        one = self.runs("learning_rate", protocol).iloc[0]
        return float(one[f"mse_{quantity}"] / one[f"nmse_{quantity}"])
