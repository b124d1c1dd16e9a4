"""Paired comparisons: against scipy, by definition, and how often equal settings are told apart."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from postprocess.stats.paired import LEVEL, compare, difference, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def table(rows: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(rows, orient="index")


def test_difference_is_the_paired_t_test() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 10))
    middle, low, high, p = difference(pd.Series(one), pd.Series(other))
    found = ttest_rel(one, other)
    limits = found.confidence_interval()
    assert (middle, p) == pytest.approx((np.mean(one - other), found.pvalue))
    assert (low, high) == pytest.approx((limits.low, limits.high))


def test_only_common_blocks_count() -> None:
    one = pd.Series({0: 1.0, 1: 2.0, 2: 4.0, 3: 1e9})
    other = pd.Series({2: 1.0, 1: 1.0, 0: 1.0, 7: -1e9})
    assert difference(one, other)[0] == pytest.approx((0 + 1 + 3) / 3)


def test_diverged_runs_leave_the_sign_test() -> None:
    costs = table({"good": [0.0] * 10, "bad": [1.0] * 9 + [np.inf]})
    row = compare(costs, "good").loc["bad"]
    assert (row["difference"], row["low"], row["high"]) == (np.inf, -np.inf, np.inf)
    assert row["p"] == pytest.approx(2 / 2**10)
    once = compare(table({"good": [0.0], "bad": [np.inf]}), "good")
    assert once.loc["bad", "p"] == 1


def test_what_never_differs_is_not_told_apart() -> None:
    costs = table({"one": [1.0, 2.0, np.inf], "same": [1.0, 2.0, np.inf]})
    row = compare(costs, "one").loc["same"]
    assert (row["difference"], row["p"]) == (0, 1)


@given(P_VALUES)
def test_holm_rejects_one_after_the_other(given: list[float]) -> None:
    """By its definition: the smallest against level / m, the next against level / (m - 1), ..."""
    rejected = set()
    for step, index in enumerate(np.argsort(given)):
        if given[index] > LEVEL / (len(given) - step):
            break
        rejected.add(int(index))
    found = holm(given)
    near = np.isclose(found, LEVEL, rtol=1e-9)
    assert set(np.flatnonzero((found <= LEVEL) & ~near)) <= rejected
    assert rejected <= set(np.flatnonzero((found <= LEVEL) | near))


def test_equal_settings_are_seldom_told_apart() -> None:
    """Of six equal settings any differs from the first in at most 5 % of studies."""
    rng = np.random.default_rng(0)
    studies = 400
    wrong = 0
    for _ in range(studies):
        shared = rng.normal(size=10)  # what a seed has in common for all settings
        costs = pd.DataFrame(shared + 0.3 * rng.normal(size=(6, 10)))
        wrong += (compare(costs, 0)["p"] < LEVEL).any()
    assert wrong / studies <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / studies)
    assert wrong > 0


def test_pairing_finds_what_the_spread_of_seeds_hides() -> None:
    rng = np.random.default_rng(0)
    shared = 10 * rng.normal(size=10)
    costs = pd.DataFrame([shared, shared + 0.5 + 0.1 * rng.normal(size=10)])
    assert compare(costs, 0).loc[1, "p"] < 1e-6
