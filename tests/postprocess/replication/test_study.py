"""The study: its comparisons, its tables, and a text that says what the tables say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from inr.errors import UserError
from inr.metrics import METRICS
from inr.quantities import QUANTITIES
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT
from jobs.sweeps.sweep_file import find_sweep_file, load_sweep
from postprocess import study
from postprocess.intervals import Interval
from postprocess.replication import text
from postprocess.replication.comparison import (
    best_of,
    costs,
    rank,
    ratio,
    recipe_ratios,
    typical,
    verdict,
)
from postprocess.replication.data import (
    COLUMNS,
    collect,
    read_recipes,
    read_tables,
    sweep_names,
    write_tables,
)
from postprocess.replication.numbers import SETS, Numbers
from postprocess.stats.fields import WEIGHT_COLUMNS
from postprocess.stats.ranking import add_scores
from tests.helpers.synthetic import make_config, write_index, write_run

RECIPES = read_recipes(study.DOCS / "recipes")


def runs(**columns) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    return frame if "status" in frame else frame.assign(status="complete")


def made_numbers(**tables: pd.DataFrame) -> Numbers:
    """Of made tables, which need not have all errors."""
    columns = [f"{points}nmse_{q}" for points in SETS for q in QUANTITIES]
    columns.append("heldout_mse_value")
    full = {
        name: table.assign(**{c: 1.0 for c in columns if c not in table})
        for name, table in tables.items()
    }
    return Numbers(full)


def test_text_agrees_with_the_tables() -> None:
    command = [sys.executable, str(ROOT / "postprocess" / "study.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_changed_table_changes_the_text(tmp_path: Path) -> None:
    kept = read_tables(study.DOCS / "study")
    kept["learning_rate"]["heldout_nmse_value"] *= 1.5  # the order stays, so no sentence breaks
    assert text.render(kept, RECIPES) != (study.DOCS / "study.md").read_text(encoding="utf-8")


def test_text_refuses_data_that_contradict_it() -> None:
    kept = read_tables(study.DOCS / "study")
    for name in METRICS:  # the smallest rate the best one, also under the corrected protocol
        runs = kept["claims"]
        runs.loc[runs["training.learning_rate"] == 1e-7, [name, f"heldout_{name}"]] = 1e-9
    with pytest.raises(UserError, match="no longer support this sentence"):
        text.render(kept, RECIPES)


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
    numbers = made_numbers(activation=table.assign(**dict.fromkeys(WEIGHT_COLUMNS, 1)))
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


SPREAD = np.array([-1.0, 0.0, 1.0, 0.5, -0.5])  # of seeds, the same for all settings
JITTER = {"a": [0, 0, 0, 0, 0], "b": [0.1, -0.1, 0, 0.05, -0.05], "c": [0, 0.1, -0.1, 0.1, -0.1]}


@pytest.mark.parametrize(
    ("levels", "expected", "best"),
    [
        pytest.param({"a": 1, "b": 2, "c": 3}, "holds", ["a"], id="best"),
        pytest.param({"a": 1, "b": 1, "c": 3}, "cannot be decided", ["a", "b"], id="tied"),
        pytest.param({"a": 2, "b": 1, "c": 3}, "does not hold", ["b"], id="beaten"),
        pytest.param({"a": 2, "b": 1, "c": np.inf}, "does not hold", ["b"], id="diverged"),
    ],
)
def test_verdict_goes_by_paired_tests(levels: dict, expected: str, best: list[str]) -> None:
    costs = pd.DataFrame({key: at + SPREAD + JITTER[key] for key, at in levels.items()}).T
    assert verdict(costs, "a") == expected
    assert set(best_of(costs)) == set(best)


def test_ratio_is_that_of_errors_seed_by_seed() -> None:
    costs = pd.DataFrame({"a": SPREAD + np.log10(3), "b": SPREAD}).T
    assert vars(ratio(costs, "a", "b")) == pytest.approx(dict.fromkeys(vars(Interval(0, 0, 0)), 3))


def test_effects_of_weights_are_found() -> None:
    """Errors made from known exponents, the same for every factor that all weights share."""
    rng = np.random.default_rng(0)
    weights = 10 ** rng.uniform(-2, 2, (60, 4))
    logs = np.log10(weights) - np.log10(weights[:, :1])
    error = 10 ** (logs @ [0, -0.5, 0.2, 0.1] - 3 + 0.01 * rng.normal(size=60))
    table = pd.DataFrame(weights * rng.uniform(0.1, 10, (60, 1)), columns=[*WEIGHT_COLUMNS])
    found = made_numbers(loss_weights=table.assign(status="complete", mse_value=error))
    slopes = found.slopes("mse_value")
    for quantity, truth in zip(QUANTITIES, (0.2, -0.5, 0.2, 0.1), strict=True):
        assert slopes[quantity].estimate == pytest.approx(truth, abs=0.01)
        assert slopes[quantity].low <= slopes[quantity].estimate <= slopes[quantity].high
    assert slopes["r2"].low > 0.99
    assert slopes["lead"].low == pytest.approx(0.6, abs=0.02)


def test_each_activation_has_the_settings_that_were_chosen_for_it() -> None:
    chosen = Numbers(read_tables(study.DOCS / "study")).tuned
    trained = {
        config.model.activation: {
            "first_scale": config.model.first_scale,
            "time_scale": config.model.time_scale,
            "learning_rate": config.training.learning_rate,
        }
        for config in load_sweep(find_sweep_file("activation")).configs
    }
    assert {name: dict(settings) for name, settings in chosen.items()} == trained


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


def test_missing_benchmark_of_recipes_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"runs\.csv: missing\. Write it with: make bench-recipes"):
        read_recipes(tmp_path)
    (tmp_path / "runs.csv").write_text("recipe,status\n")
    with pytest.raises(UserError, match=r"columns missing: data\.image"):
        read_recipes(tmp_path)


def test_recipes_are_compared_image_by_image() -> None:
    images = {"a": 1.0, "b": 10.0, "c": 100.0}
    rows = [
        {"recipe": name, "data.image": image, "status": "complete"}
        | {f"heldout_nmse_{q}": level * factor for q in QUANTITIES}
        for name, factor in (("recommended", 1.0), ("other", 2.0))
        for image, level in images.items()
    ]
    found, lower, count = recipe_ratios(pd.DataFrame(rows))["other"]
    assert found.estimate == pytest.approx(2)
    assert (lower, count) == (3, 3)
