"""The benchmark of networks: equal budgets, its choice, its statistics, its text."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from inr.config import RunConfig
from inr.storage.provenance import ROOT
from tests.benchmarks.learning.comparison import ERRORS, best_of, compare, log_errors
from tests.benchmarks.learning.design import (
    BASE,
    CANDIDATES,
    IMAGES,
    SETTINGS,
    TRIALS,
    TUNING_IMAGES,
    networks_of,
    report_sweep,
    trials,
)
from tests.benchmarks.learning.networks_report import write
from tests.benchmarks.learning.sweeps import choose

TABLES = ROOT / "docs" / "benchmark"


def errors(factors: dict[str, float], spread: float = 0.1) -> pd.DataFrame:
    """Logarithms of errors, [network, image], that differ by factors and some noise."""
    generator = np.random.default_rng(0)
    images = generator.normal(size=len(IMAGES))  # shared by all: pairs take it out
    rows = {
        name: math.log(factor) + images + spread * generator.normal(size=len(IMAGES))
        for name, factor in factors.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(IMAGES))


def test_every_network_has_the_same_budget_on_images_that_are_not_reported() -> None:
    assert not set(TUNING_IMAGES) & set(IMAGES)
    for candidate in CANDIDATES.values():
        tried = list(trials(candidate))
        assert len({str(each) for each in tried}) == TRIALS
        first = [each["model"]["first_scale"] / candidate.first_scale for each in tried]
        assert 0.24 <= min(first) < 0.5
        assert 2 < max(first) <= 4.1
        for each in tried:  # all can be trained
            model = BASE["model"] | each["model"]
            RunConfig.model_validate(BASE | {"model": model})


def test_networks_are_told_apart_in_merged_sweeps() -> None:
    rows = {f"model.{k}": [c.model[k] for c in CANDIDATES.values()] for k in candidate_fields()}
    assert list(networks_of(pd.DataFrame(rows))) == list(CANDIDATES)


def candidate_fields() -> list[str]:
    return list(next(iter(CANDIDATES.values())).model)


def test_settings_with_the_lowest_error_are_chosen_unless_they_diverge() -> None:
    columns = [f"heldout_nmse_{q}" for q in ("value", "gradient", "laplacian", "time_derivative")]
    tried = pd.DataFrame(
        [
            ["sine", 1e-3, 1.0, 0.2, "complete", 0.1],
            ["sine", 1e-3, 1.0, 0.2, "complete", 0.4],
            ["sine", 1e-4, 1.0, 0.2, "complete", 0.3],
            ["sine", 1e-4, 1.0, 0.2, "complete", 0.3],
            ["sine", 1e-2, 1.0, 0.2, "complete", 0.001],
            ["sine", 1e-2, 1.0, 0.2, "diverged", np.nan],
        ],
        columns=["network", *SETTINGS, "status", "error"],
    )
    tried = tried.assign(**dict.fromkeys(columns, tried["error"]))
    chosen = choose(tried, SETTINGS)
    assert chosen.loc["sine", "training.learning_rate"] == 1e-3  # 0.2 by geometric mean
    (one,) = report_sweep(chosen)["list"]
    assert one["model"]["first_scale"] == 1.0
    assert one["training.learning_rate"] == 1e-3


def test_a_best_network_is_named_only_if_all_others_are_worse() -> None:
    clear = compare(errors({"a": 1.0, "b": 2.0, "c": 3.0}))
    assert list(clear.index) == ["a", "b", "c"]
    assert best_of(clear) == ["a"]
    assert clear.loc["b", "low"] < 2 < clear.loc["b", "high"]
    close = compare(errors({"a": 1.0, "b": 1.02, "c": 3.0}))
    assert sorted(best_of(close)) == ["a", "b"]


def test_comparisons_are_paired_and_corrected_by_holm() -> None:
    given = errors({"a": 1.0, "b": 1.2, "c": 1.3, "d": 1.5})
    table = compare(given)
    best, *others = table.index
    plain = sorted(ttest_rel(given.loc[each], given.loc[best]).pvalue for each in others)
    holm = np.maximum.accumulate([min(1.0, p * k) for p, k in zip(plain, (3, 2, 1), strict=True)])
    assert sorted(table["p"].iloc[1:]) == pytest.approx(list(holm))


def test_a_run_that_diverged_makes_its_network_the_worst() -> None:
    rows = [
        (network, image, "complete", error)
        for network, error in (("good", 0.1), ("bad", 0.01))
        for image in IMAGES
    ]
    runs = pd.DataFrame(rows, columns=["network", "data.image", "status", "nmse_value"])
    runs.loc[len(IMAGES), ["status", "nmse_value"]] = ["diverged", np.nan]
    table = compare(log_errors(runs, ["nmse_value"]))
    assert list(table.index) == ["good", "bad"]
    assert best_of(table) == ["good"]


def test_the_text_is_that_of_the_tables() -> None:
    assert (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8") == write(TABLES)
    assert set(ERRORS) <= set(pd.read_csv(TABLES / "runs.csv"))
