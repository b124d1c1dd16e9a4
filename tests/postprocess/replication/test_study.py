"""The study: its comparisons, its tables, and a text that says what the tables say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from inr.errors import UserError
from inr.metrics import METRICS
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT
from postprocess import study
from postprocess.intervals import Interval
from postprocess.replication import text
from postprocess.replication.data import (
    COLUMNS,
    collect,
    read_tables,
    sweep_names,
    write_tables,
)
from postprocess.replication.numbers import (
    Numbers,
    chance_verdicts,
    costs,
    is_best,
    rank,
    typical,
)
from postprocess.stats.fields import WEIGHT_COLUMNS
from postprocess.stats.ranking import add_scores
from tests.helpers.synthetic import make_config, write_index, write_run


def runs(**columns) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    return frame if "status" in frame else frame.assign(status="complete")


def test_text_agrees_with_the_tables() -> None:
    command = [sys.executable, str(ROOT / "postprocess" / "study.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_changed_table_changes_the_text(tmp_path: Path) -> None:
    kept = read_tables(study.DOCS / "study")
    kept["learning_rate"]["heldout_nmse_value"] *= 1.5  # the order stays, so no sentence breaks
    assert text.render(kept) != (study.DOCS / "study.md").read_text(encoding="utf-8")


def test_text_refuses_data_that_contradict_it() -> None:
    kept = read_tables(study.DOCS / "study")
    for name in METRICS:  # the smallest rate the best one, also under the corrected protocol
        runs = kept["learning_rate"]
        runs.loc[runs["training.learning_rate"] == 1e-7, [name, f"heldout_{name}"]] = 1e-9
    with pytest.raises(UserError, match="no longer support this sentence"):
        text.render(kept)


def test_costs_are_smaller_for_better_runs() -> None:
    table = runs(mse_value=[0.1, 0.01], ssim_value=[0.5, 0.9], psnr_value=[10.0, 20.0])
    for metric in ("mse_value", "ssim_value", "psnr_value"):
        worse, better = costs(table, metric)
        assert better < worse


def test_diverged_runs_are_the_worst() -> None:
    table = runs(mse_value=[0.1, 1e-9, np.nan], status=["complete", "diverged", "complete"])
    assert list(costs(table, "mse_value")) == [-1.0, np.inf, np.inf]


def test_overall_is_the_geometric_mean_of_four() -> None:
    errors = {"value": 1e-4, "gradient": 1e-3, "laplacian": 1e-2, "time_derivative": 1e-1}
    table = runs(**{f"heldout_nmse_{q}": [error] for q, error in errors.items()})
    assert typical(add_scores(table), "heldout_overall").estimate == pytest.approx(10**-2.5)


def test_settings_are_selected_by_the_end_of_their_names() -> None:
    table = runs(**{"model.activation": ["sine", "elu", "tanh"], "mse_value": [1.0, 2.0, 3.0]})
    table = table.assign(**dict.fromkeys(WEIGHT_COLUMNS, 1))
    numbers = Numbers({"activation": table})
    assert list(numbers.runs("activation", "corrected", activation="elu")["mse_value"]) == [2.0]


def test_ranking_puts_the_best_first() -> None:
    table = runs(
        schedule=["a"] * 3 + ["b"] * 3,
        mse_value=[1e-2, 2e-2, 3e-2, 1e-3, 2e-3, 3e-3],
        ssim_value=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    )
    for metric in ("mse_value", "ssim_value"):
        ranking = rank(table, ["schedule"], metric)
        assert list(ranking) == ["b", "a"]
        best = ranking["b"]
        assert (best.low, best.high) == pytest.approx((table[metric][3], table[metric][5]))
        assert best.low <= best.estimate <= best.high


@pytest.mark.parametrize(
    ("ranking", "verdict"),
    [
        pytest.param([("a", 1, 2), ("b", 3, 4)], "holds", id="best-and-apart"),
        pytest.param([("a", 1, 3), ("b", 2, 4)], "cannot be decided", id="best-but-touching"),
        pytest.param([("b", 1, 2), ("a", 3, 4)], "does not hold", id="beaten"),
        pytest.param([("b", 1, 3), ("a", 2, 4)], "cannot be decided", id="beaten-by-a-touch"),
    ],
)
def test_verdict_goes_by_the_intervals(ranking, verdict: str) -> None:
    intervals = {key: Interval((low + high) / 2, low, high) for key, low, high in ranking}
    assert is_best(intervals, "a") == verdict


def test_chance_gives_verdicts_as_often_as_three_and_three_fall_apart() -> None:
    # of two equal settings all three of one are below all three of the other in 1 of 20 orders
    assert chance_verdicts(2) == pytest.approx((0.05, 0.05), abs=0.005)


def test_lead_of_a_weight_is_over_the_next_one() -> None:
    rng = np.random.default_rng(0)
    weights = pd.DataFrame(rng.random((100, 4)), columns=[*WEIGHT_COLUMNS])
    value, gradient, *_ = weights.to_numpy().T
    table = weights.assign(status="complete", mse_value=10**-gradient, mse_gradient=10.0**-value)
    numbers = Numbers({"loss_weights": table})
    found = numbers.lead("corrected", "gradient", "mse_value")
    assert 0.7 < found.low <= found.estimate <= found.high
    behind = numbers.lead("corrected", "gradient", "mse_gradient")
    assert behind.high < -0.7


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (("uniform", 1e-4), "uniform 1e-4"),
        (("cosine", 0.0003), "cosine 3e-4"),
        (("elu", "(1, 0.01, 0.001, 0)"), "elu (1, 0.01, 0.001, 0)"),
        ("(1, 0.01, 0.001, 0)", "(1, 0.01, 0.001, 0)"),
        ("sine", "sine"),
    ],
)
def test_settings_in_words(key, words: str) -> None:
    assert text.level(key) == words


def test_sentence_that_no_longer_holds_is_refused() -> None:
    assert text.require(True, "so it is") == ""
    with pytest.raises(UserError, match="so it is"):
        text.require(False, "so it is")


def write_study(root: Path) -> None:
    for name in sweep_names():
        layout = SweepLayout(root / name)
        configs = [make_config(data__size=12, training__seed=seed) for seed in (0, 1)]
        for found, config in zip(write_index(layout, configs), configs, strict=True):
            write_run(layout.run(found.name).results, config, name=found.name, shape=(12, 12))


def test_tables_survive_the_way_to_disk_and_back(tmp_path: Path) -> None:
    write_study(tmp_path / "sweeps")
    collected = collect(tmp_path / "sweeps")
    write_tables(collected, tmp_path / "tables")
    for name, table in read_tables(tmp_path / "tables").items():
        assert tuple(table.columns) == COLUMNS
        numbers = table.select_dtypes("number").columns
        np.testing.assert_allclose(
            table[numbers], collected[name][numbers].astype(float), rtol=1e-5
        )


def test_missing_sweep_is_named(tmp_path: Path) -> None:
    write_study(tmp_path)
    (tmp_path / "activation" / "index.json").unlink()
    with pytest.raises(UserError, match=r"activation: no such sweep\. Run it with: make study"):
        collect(tmp_path)


def test_unfinished_run_is_named(tmp_path: Path) -> None:
    write_study(tmp_path)
    next((tmp_path / "loss_weights").rglob("run.h5")).unlink()
    with pytest.raises(UserError, match=r"loss_weights: .*Finish them with: make study"):
        collect(tmp_path)


def test_damaged_table_is_named(tmp_path: Path) -> None:
    for name in sweep_names():
        (tmp_path / f"{name}.csv").write_text("name,status\n")
    with pytest.raises(UserError, match="columns missing"):
        read_tables(tmp_path)
    with pytest.raises(UserError, match=r"missing\. Write it with"):
        read_tables(tmp_path / "nowhere")
