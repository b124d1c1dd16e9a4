"""The benchmark of recipes: its images, its sweeps, its choice, its text."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.fft import dctn

from inr.config import RunConfig
from inr.storage.provenance import ROOT
from inr.targets.image_file import load_image
from jobs.sweeps.sweep_file import find_sweep_file, load_sweep
from postprocess.dataset.merged_sweep import flatten
from tests.benchmarks.learning.comparison import ERRORS, HELD_OUT, LEVEL, holm, log_errors
from tests.benchmarks.learning.generated_images import GENERATED, SIZE, SMOOTH_TERMS, write_images
from tests.benchmarks.learning.recipes import chosen
from tests.benchmarks.learning.recipes_design import (
    IMAGES,
    PUBLISHED,
    RECIPE,
    RECOMMENDED,
    REFERENCE,
    SEEDS,
    SETTINGS,
    TRIALS,
    TUNED,
    TUNING_IMAGES,
    Recipe,
    recipes,
    recipes_of,
    report_sweep,
    tuning_sweep,
)
from tests.benchmarks.learning.recipes_report import contest, verdict, write

TABLES = ROOT / "docs" / "recipes"


def configs(sweep: dict[str, Any], folder: Path) -> list[RunConfig]:
    """The runs that the launcher would make of it."""
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    return load_sweep(path).configs


def table(factors: dict[str, float]) -> pd.DataFrame:
    """Runs whose errors differ by factors, by image, and by some noise."""
    generator = np.random.default_rng(0)
    level = dict(zip(IMAGES, generator.lognormal(size=len(IMAGES)), strict=True))
    rows = [
        {"recipe": name, "data.image": image, "status": "complete"}
        | {e: level[image] * factor * generator.lognormal(sigma=0.1) for e in HELD_OUT}
        for name, factor in factors.items()
        for image in IMAGES
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_image_has_the_same_bytes_each_time(name: str, tmp_path: Path) -> None:
    first, second = (write_images(tmp_path / each)[name] for each in "ab")
    assert first.read_bytes() == second.read_bytes()
    image = load_image(str(first), SIZE)
    assert image.shape == (SIZE, SIZE)
    assert (image.min(), image.max()) == (-1, 1)
    assert 0.1 < image.std() < 1


def test_generated_images_keep_their_spectrum_when_they_are_loaded(tmp_path: Path) -> None:
    paths = write_images(tmp_path)
    noise, smooth = (
        dctn(load_image(str(paths[n]), SIZE), norm="ortho") for n in GENERATED if n != "letters"
    )
    beyond = smooth.copy()
    beyond[:SMOOTH_TERMS, :SMOOTH_TERMS] = 0
    assert np.abs(beyond).max() < 1e-5 * np.abs(smooth).max()
    numbers = np.hypot(*np.indices(noise.shape))
    low, high = (np.sqrt(np.mean(noise[(numbers >= n) & (numbers < 2 * n)] ** 2)) for n in (4, 32))
    assert low / high == pytest.approx(8, rel=0.2)  # amplitude 1 / frequency


def test_no_image_is_tuned_on_and_reported() -> None:
    assert not set(TUNING_IMAGES) & set(IMAGES)
    assert len(set(IMAGES)) == 12


def test_the_reference_is_tuned_by_as_many_settings_as_the_page_says(tmp_path: Path) -> None:
    runs = configs(tuning_sweep(), tmp_path)
    assert len(runs) == len(TRIALS) * len(TUNING_IMAGES) == 36
    assert {run.training.optimizer for run in runs} == {"adam"}
    assert REFERENCE in TRIALS


@pytest.mark.parametrize(("tuned", "compared"), [(TRIALS[-1], 3), (REFERENCE, 2)])
def test_recipes_are_trained_on_every_image_and_told_apart(
    tuned: Recipe, compared: int, tmp_path: Path
) -> None:
    runs = configs(report_sweep(tuned, write_images(tmp_path)), tmp_path)
    assert len(runs) == compared * len(IMAGES) * SEEDS
    merged = pd.DataFrame([flatten(run.model_dump(mode="json")) for run in runs])
    counts = recipes_of(merged, recipes(tuned)).value_counts()
    assert counts.to_dict() == dict.fromkeys(recipes(tuned), len(IMAGES) * SEEDS)
    assert {run.training.seed for run in runs} == set(range(SEEDS))


def test_the_recommended_recipe_is_the_shipped_one(tmp_path: Path) -> None:
    shipped = load_sweep(find_sweep_file(RECOMMENDED)).configs[0]
    runs = configs(report_sweep(TRIALS[-1], write_images(tmp_path)), tmp_path)
    ours = [run for run in runs if run.training.optimizer == RECIPE["training.optimizer"]]
    for run in ours:
        data = run.data.model_copy(update={"image": shipped.data.image})
        training = run.training.model_copy(update={"seed": shipped.training.seed})
        changed = {"data": data, "training": training, "record": shipped.record}
        assert run.model_copy(update=changed) == shipped


def test_the_published_reference_differs_in_its_recipe_alone(tmp_path: Path) -> None:
    runs = configs(report_sweep(REFERENCE, write_images(tmp_path)), tmp_path)
    ours, theirs = (dict(flatten(run.model_dump())) for run in (runs[0], runs[SEEDS]))
    assert {field for field, value in ours.items() if value != theirs[field]} == set(SETTINGS)
    assert theirs["training.optimizer"] == "adam"
    assert theirs["training.learning_rate"] == 1e-4
    assert theirs["training.schedule"] == "uniform"
    assert theirs["model.time_scale"] == 1


def test_settings_of_the_reference_are_chosen_over_all_images_unless_they_diverge() -> None:
    tried = pd.DataFrame(
        [
            trial | {"recipe": TUNED, "data.image": image, "status": "complete", "error": 1.0}
            for trial in TRIALS
            for image in TUNING_IMAGES
        ]
    )
    count = len(TUNING_IMAGES)
    tried.loc[3 * count : 4 * count - 1, "error"] = 0.5  # the best
    tried.loc[5 * count, "error"] = 0.2  # better on one image
    tried.loc[7 * count : 8 * count - 1, "error"] = 0.01
    tried.loc[7 * count, "status"] = "diverged"
    tried = tried.assign(**dict.fromkeys(HELD_OUT, tried["error"]))
    assert chosen(tried) == TRIALS[3]


@pytest.mark.parametrize(
    ("factor", "words"), [(3.0, "times lower"), (1 / 3, "times higher"), (1.0, "not told apart")]
)
def test_the_verdict_follows_the_numbers(factor: float, words: str) -> None:
    found = contest(table({RECOMMENDED: 1.0, PUBLISHED: factor, TUNED: 2.0}))
    row = found.loc["all four", PUBLISHED]
    assert words in verdict(row)
    assert row["low"] < factor < row["high"] or factor == 1.0
    assert (row["p"] < LEVEL) == (factor != 1.0)


def test_a_run_that_diverged_is_told() -> None:
    runs = table({RECOMMENDED: 1.0, PUBLISHED: 0.1})
    for name, word in ((PUBLISHED, "lower"), (RECOMMENDED, "higher")):
        bad = runs.copy()
        bad.loc[bad.index[bad["recipe"] == name][0], "status"] = "diverged"
        assert f"{word}, because" in verdict(contest(bad).loc["all four", PUBLISHED])


def test_all_comparisons_of_the_page_are_corrected_together() -> None:
    found = contest(table({RECOMMENDED: 1.0, PUBLISHED: 1.1, TUNED: 1.05}))
    assert len(found) == 2 * 6
    assert list(holm(pd.Series([0.01, 0.04, 0.03]))) == pytest.approx([0.03, 0.06, 0.06])
    errors = log_errors(table({RECOMMENDED: 1.0, PUBLISHED: 1.1}), HELD_OUT, "recipe")
    lower = (errors.loc[PUBLISHED] > errors.loc[RECOMMENDED]).sum()
    assert found.loc[("all four", PUBLISHED), "lower"] == lower


def test_the_text_is_that_of_the_tables() -> None:
    assert (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8") == write(TABLES)
    runs = pd.read_csv(TABLES / "runs.csv")
    assert set(ERRORS) <= set(runs)
    assert set(runs["data.image"]) == set(IMAGES)
