"""Probability of improvement between the levels of an axis."""

import itertools

import numpy as np
import pandas as pd
import pytest

from postprocess.plots.improvement import compare, draw_improvement, find_factor
from postprocess.stats.factors import find_variation

ACTIVATION, SCHEDULE = "model.activation", "training.schedule"
RATE, SEED = "training.learning_rate", "training.seed"


def product(**axes) -> pd.DataFrame:
    names = {"activation": ACTIVATION, "schedule": SCHEDULE, "rate": RATE, "seed": SEED}
    columns = [names.get(axis, f"model.{axis}") for axis in axes]
    return pd.DataFrame(list(itertools.product(*axes.values())), columns=columns)


SEEDS = [0, 1, 2]
TWO = ["sine", "elu"]
RATES = [1e-5, 1e-4, 1e-3]
FACTORS = {
    "activation": (product(activation=[*TWO, "tanh"], rate=[1e-5, 1e-4], seed=SEEDS), 3),
    "rates": (product(activation=TWO, rate=RATES, seed=SEEDS), 3),
    "rates-of-schedules": (
        product(activation=TWO, schedule=["uniform", "cosine"], rate=RATES, seed=SEEDS),
        6,
    ),
    "too-many-rates": (product(activation=TWO, rate=np.logspace(-6, -3, 20), seed=SEEDS), 2),
    "another-axis": (product(width=[8, 16, 32, 64], seed=SEEDS), 4),
}


@pytest.mark.parametrize(("runs", "levels"), FACTORS.values(), ids=FACTORS)
def test_the_main_axis_is_compared(runs, levels):
    factor = find_factor(find_variation(runs))
    assert factor is not None
    axis = factor.axes[0]
    assert len(axis.levels) == levels
    assert factor.levels[axis.key].nunique() == levels
    assert factor.levels.nunique().prod() * len(SEEDS) == len(runs)


UNFIT = {
    "one-seed": product(activation=TWO, rate=RATES),
    "one-setting": product(activation=TWO[:1], seed=SEEDS),
    "too-many": product(width=range(8, 40), seed=SEEDS),
}


@pytest.mark.parametrize("runs", UNFIT.values(), ids=UNFIT)
def test_sweeps_without_a_comparison_have_none(runs):
    assert find_factor(find_variation(runs)) is None


def test_schedules_and_rates_are_ordered():
    runs = product(schedule=["uniform", "cosine"], rate=[1e-3, 1e-5], seed=SEEDS)
    factor = find_factor(find_variation(runs))
    axis = factor.axes[0]
    assert axis.levels == ("uniform 1e-5", "uniform 1e-3", "cosine 1e-5", "cosine 1e-3")
    assert axis.label == "schedule, learning rate"


def test_like_is_compared_with_like():
    """sine wins at every rate, although its errors at one rate exceed elu's at the other."""
    runs = product(activation=TWO, rate=[1e-5, 1e-4], seed=SEEDS)
    best = runs[ACTIVATION].map({"sine": 1.0, "elu": 2.0})
    errors = best * runs[RATE].map({1e-5: 100, 1e-4: 1})
    found = compare(errors, find_factor(find_variation(runs)))
    assert found["sine", "elu"].estimate == 1
    assert found["elu", "sine"].estimate == 0


def test_failed_runs_lose():
    runs = product(activation=TWO, seed=SEEDS)
    errors = pd.Series([np.nan, np.nan, 1.0, 2.0, 2.0, 2.0])
    found = compare(errors, find_factor(find_variation(runs)))
    assert found["sine", "elu"].estimate == pytest.approx(1 / 3)
    assert (found["sine", "elu"].low, found["sine", "elu"].high) == (0, 1)


def test_levels_that_share_no_stratum_are_not_compared():
    runs = product(activation=[*TWO, "tanh"], rate=[1e-5, 1e-4], seed=SEEDS)
    runs = runs[
        (runs[ACTIVATION] == "tanh") | ((runs[ACTIVATION] == "sine") == (runs[RATE] < 5e-5))
    ]
    factor = find_factor(find_variation(runs))
    found = compare(pd.Series(1.0, index=runs.index), factor)
    assert {frozenset(pair) for pair in found} == {
        frozenset(("sine", "tanh")),
        frozenset(("elu", "tanh")),
    }
    figure = draw_improvement(pd.Series(1.0, index=runs.index), "value error", factor)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown.count("0.50\n0.50–0.50") == 4
    assert shown.count("") == 5
