"""What the study's text asks of its tables: rankings, comparisons, shares, slopes."""

from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from inr.metrics import PEAK
from inr.quantities import QUANTITIES
from inr.results import HELDOUT as POINTS
from postprocess.intervals import Interval
from postprocess.replication.comparison import (
    Ranking,
    best_of,
    costs,
    costs_by_seed,
    level,
    place,
    rank,
    typical,
)
from postprocess.replication.data import FURTHER, Study, sweep_name
from postprocess.replication.weight_slopes import lowest, weight_slopes
from postprocess.stats.fields import weights_text
from postprocess.stats.ranking import HELDOUT, OVERALL, add_scores

_BEST = 10  # weightings that count as best on an error

# what tells the settings of each experiment apart; weights are one text
VARIED: dict[str, list[str]] = {
    "learning_rate": ["activation", "schedule", "learning_rate"],
    "activation": ["activation", "weights"],
    "loss_weights": ["weights"],
    "claims": ["activation", "weights", "schedule", "learning_rate"],
    "activation_tuning": ["activation", "first_scale", "time_scale", "learning_rate"],
    "frame_spacing": ["frame_spacing", "time_scale"],
}
SETS = ("", *(f"{points}_" for points in POINTS))  # of points: prefixes of the columns
TUNED = ("first_scale", "time_scale", "learning_rate")  # chosen for each activation
TERMS = QUANTITIES[:3]  # the time derivative is the Laplacian times a constant


def _means(runs: pd.DataFrame) -> dict[str, pd.Series]:
    """Geometric means: over the first three errors, and over all four on every set of points."""
    logs = np.log(runs[[f"{p}nmse_{q}" for p in SETS for q in QUANTITIES]].astype(float))
    found = {}
    for points in SETS:
        for name, terms in (("three", TERMS), ("overall", QUANTITIES)):
            mean = logs[[f"{points}nmse_{q}" for q in terms]].mean(axis=1, skipna=False)
            found[f"{points}{name}"] = np.exp(mean)
    return found


class Numbers:
    """Everything that the text asks of the tables."""

    def __init__(self, study: Study) -> None:
        self._study = {}
        for sweep, table in study.items():
            runs = add_scores(table).rename(columns=lambda column: column.rpartition(".")[2])
            weights = runs[[*QUANTITIES]].agg(weights_text, axis=1)
            # earlier tables have it with another peak
            psnr = 10 * np.log10(PEAK**2 / runs["heldout_mse_value"].astype(float))
            added = {"weights": weights, "heldout_psnr_value": psnr}
            self._study[sweep] = runs.assign(**added, **_means(runs))
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

    def rates(self, protocol: str, metric: str, activation: str) -> Ranking:
        """(schedule, learning rate) from best to worst."""
        return self.rank("learning_rate", protocol, metric, activation=activation)

    def claim(self, protocol: str, metric: str, **settings: Any) -> Interval:
        """A typical value of a setting with ten seeds, sine, trained on all four terms."""
        settings = {"activation": "sine", "weights": "(1, 1, 1, 1)"} | settings
        return typical(self.runs("claims", protocol, **settings), metric)

    def published(self, protocol: str, metric: str, among: Sequence[Any]) -> Ranking:
        """``among`` some (schedule, rate) with ten seeds, best first; sine, all four terms."""
        given = {"activation": "sine", "weights": "(1, 1, 1, 1)"}
        ranking = self.rank("claims", protocol, metric, **given)
        return {key: ranking[key] for key in ranking if key in among}

    def seeds(self, protocol: str, metric: str, among: Sequence[Any]) -> pd.DataFrame:
        """Costs of the same settings, by seed."""
        runs = self.runs("claims", protocol, activation="sine", weights="(1, 1, 1, 1)")
        table = costs_by_seed(runs, ["schedule", "learning_rate"], metric)
        return table.loc[[level(setting) for setting in among]]

    def activations(self, protocol: str, metric: str) -> pd.DataFrame:
        """Costs by seed of the two published activations, trained on the value alone."""
        runs = self._value_alone(protocol)
        return costs_by_seed(runs, ["activation"], metric).loc[["sine", "elu"]]

    def sine_and_elu(self, protocol: str, metric: str) -> Ranking:
        """A typical value of each of them."""
        return rank(self._value_alone(protocol), ["activation"], metric)

    def _value_alone(self, protocol: str) -> pd.DataFrame:
        experiment = "activation" if protocol == "corrected" else "claims"
        return self.runs(experiment, protocol, weights="(1, 0, 0, 0)")

    def schedules(self, metric: str) -> Ranking:
        """(schedule, learning rate) of the five schedules from three peaks, sine, best first."""
        ranking = self.rates("corrected", metric, "sine")
        peaks = {rate for schedule, rate in ranking if schedule == "cosine"}
        return {key: ranking[key] for key in ranking if key[1] in peaks}

    def wins(self, settings: str, name: str) -> tuple[int, int]:
        """On how many of all errors and sets of points it is best alone, and among the best."""
        found = [best_of(self.contest(settings, f"{p}nmse_{q}")) for p in SETS for q in QUANTITIES]
        alone = sum(best == [name] for best in found)
        return alone, sum(name in best for best in found) - alone

    def best_scales(self) -> dict[str, str]:
        """The scale of the time input with the lowest error over all, by spacing of the frames."""
        runs = self.runs("frame_spacing", "corrected")
        return {
            spacing: f"{next(iter(rank(group, ['time_scale'], HELDOUT.column))):g}"
            for spacing, group in runs.groupby("frame_spacing")
        }

    def contest(self, settings: str, metric: str) -> pd.DataFrame:
        """Costs by seed of settings that are compared with ten seeds each.

        ``activation``: all of them, trained on all four terms; ``schedule``: all of them, sine,
        from a peak of 3e-4.
        """
        if settings == "activation":
            runs = self.runs("activation", "corrected", weights="(1, 1, 1, 1)")
        else:
            all_terms = {"weights": "(1, 1, 1, 1)", "learning_rate": 3e-4}
            runs = self.runs("claims", "corrected", **all_terms)
        return costs_by_seed(runs, [settings], metric)

    def value_alone(self, rate: float, weights: str = "(1, 1, 1, 1)") -> pd.DataFrame:
        """Costs by seed of the held-out value: trained on the value alone, and with ``weights``.

        Without the seeds by which other weights than equal ones were chosen.
        """
        runs = self.runs("claims", "corrected", schedule="cosine", learning_rate=rate)
        if weights != "(1, 1, 1, 1)":
            chosen_by = self.runs("loss_weights", "corrected")["seed"]
            runs = runs[~runs["seed"].isin(chosen_by)]
        table = costs_by_seed(runs, ["weights"], "heldout_nmse_value")
        return table.loc[["(1, 0, 0, 0)", weights]]

    def peaks(self, weights: str) -> Ranking:
        """Peak rates of cosine, trained with some weights, by the value's error, held out."""
        runs = self.runs("claims", "corrected", schedule="cosine", weights=weights)
        return rank(runs, ["learning_rate"], "heldout_nmse_value")

    @cached_property
    def tuned(self) -> dict[str, pd.Series]:
        """For each activation the settings with the lowest error over all, held out, and images.

        A run that diverged rules its settings out.
        """
        runs = self.runs("activation_tuning", "corrected")
        scores = pd.Series(costs(runs, HELDOUT.column), runs.index)
        means = scores.groupby([runs[n] for n in ("activation", *TUNED)], sort=False).mean()
        best = means.groupby("activation", sort=False).idxmin()
        return {name: pd.Series(key[1:], TUNED) for name, key in best.items()}

    def at_highest_rate(self) -> list[str]:
        """Activations whose chosen rate is the highest that was tried."""
        highest = self.runs("activation_tuning", "corrected")["learning_rate"].max()
        return [name for name, one in self.tuned.items() if one["learning_rate"] == highest]

    def best_setting(self, protocol: str, *experiments: str) -> pd.DataFrame:
        """Runs of the best setting of some experiments over all four held-out errors."""
        settings = (
            runs
            for experiment in experiments
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
        without = self.runs("loss_weights", protocol, time_derivative=0)["weights"].nunique()
        conflict = self.correlation(protocol, "mse_value", "mse_gradient", time_derivative=0) < -0.5
        if without > _BEST and conflict:
            return "only among weightings without the time derivative"
        return f"does not hold (place {worst} at worst)"

    def correlation(self, protocol: str, first: str, second: str, **settings: Any) -> float:
        """Spearman's rank correlation over the weightings with these settings.

        Of two metrics, or of the weight of a quantity, called as that, with a metric.
        """
        runs = self.runs("loss_weights", protocol, **settings)
        values = [runs[c] if c in QUANTITIES else costs(runs, c) for c in (first, second)]
        return float(spearmanr(*values).statistic)

    @cache  # noqa: B019
    def slopes(self, metric: str) -> dict[str, Interval]:
        """`weight_slopes` of the corrected weightings."""
        return weight_slopes(self.runs("loss_weights", "corrected"), metric)

    def gradient_first(self) -> bool:
        """Whether the weight of the gradient lowers every error most, apart from the next."""
        found = [self.slopes(f"heldout_nmse_{q}") for q in QUANTITIES]
        return all(each["lead"].low > 0 and lowest(each) == "gradient" for each in found)

    def between_seeds(self, metric: str) -> float:
        """Typical ratio of the errors of two seeds of one weighting: the median, above 1."""
        runs = self.runs("loss_weights", "corrected")
        table = costs_by_seed(runs, ["weights"], metric)
        return float(10 ** (table[1] - table[0]).abs().median())

    def shares(self, runs: pd.DataFrame, kind: str) -> dict[str, float]:
        """Share of each term, weight x error (``mse`` or ``nmse``), in the last loss; mean."""
        terms = pd.DataFrame({q: runs[q] * runs[f"{kind}_{q}"] for q in QUANTITIES})
        return dict(terms.div(terms.sum(axis=1, skipna=False), axis=0).mean())

    def easier_between(self, quantity: str) -> float:
        """Share of runs with a lower error where nothing was trained than on the frames.

        Of all corrected runs that leave less than a tenth of the value's variance.
        """
        runs = pd.concat(
            self.runs(experiment, "corrected") for experiment in VARIED if experiment not in FURTHER
        )
        learned = runs[runs["nmse_value"] < 0.1]
        lower = learned[f"heldout_nmse_{quantity}"] < learned[f"nmse_{quantity}"]
        return float(lower.mean())

    def variance(self, protocol: str, quantity: str) -> float:
        """Variance of a target: the mean squared error of predicting its mean."""
        one = self.runs("learning_rate", protocol).iloc[0]
        return float(one[f"mse_{quantity}"] / one[f"nmse_{quantity}"])
