"""Runs that learned different things: ranked on each target, and over all by geometric means."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postprocess.stats.factors import find_variation, name_targets
from postprocess.stats.ranking import ERRORS, OVERALL, Ranking, over_targets, rank

ACTIVATIONS = ("sine", "elu", "tanh")
SEEDS = (0, 1, 2)


def table(errors: Mapping[tuple[str, str], float], seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Rows of /runs, given the error of all quantities by image and activation."""
    rows = [
        {
            "name": f"{image}_{activation}_{seed}",
            "status": "complete" if np.isfinite(error) else "diverged",
            "data.image": image,
            "model.activation": activation,
            "training.seed": seed,
            "seconds": 10.0,
            "psnr_value": -10 * np.log10(error),
        }
        | {score.column: error * (1 + seed / 10) for score in ERRORS}
        for (image, activation), error in errors.items()
        for seed in seeds
    ]
    return pd.DataFrame(rows)


def order(ranking: Ranking) -> list[tuple[str, ...]]:
    return [setting.levels for setting in ranking.settings]


def overall(ranking: Ranking) -> list[float]:
    return [setting.estimates[OVERALL.column].estimate for setting in ranking.settings]


positive = st.floats(1e-6, 10)
tables = st.lists(positive, min_size=9, max_size=9).map(
    lambda found: dict(zip(product("abc", ACTIVATIONS), found, strict=True))
)


@settings(max_examples=8)
@given(errors=tables, factor=st.sampled_from([1e-3, 1e3]))
def test_the_level_of_an_image_changes_no_ranking(
    errors: dict[tuple[str, str], float], factor: float
) -> None:
    """All errors on one image times a thousand: every ranking, and every ratio, stays."""
    before = rank(table(errors))
    scaled = {key: error * (factor if key[0] == "b" else 1) for key, error in errors.items()}
    after = rank(table(scaled))
    for image in "ac":
        assert order(after.targets[image]) == order(before.targets[image])
        assert overall(after.targets[image]) == overall(before.targets[image])
    np.testing.assert_allclose(
        overall(after.targets["b"]), factor * np.array(overall(before.targets["b"]))
    )
    np.testing.assert_allclose(overall(after), np.cbrt(factor) * np.array(overall(before)))


@settings(max_examples=8)
@given(errors=tables)
def test_over_images_each_counts_alike(errors: dict[tuple[str, str], float]) -> None:
    ranking = rank(table(errors, seeds=(0,)))
    expected = {
        activation: np.exp(np.mean([np.log(errors[image, activation]) for image in "abc"]))
        for activation in ACTIVATIONS
    }
    found = {s.levels[0]: s.estimates[OVERALL.column].estimate for s in ranking.settings}
    assert found == pytest.approx(expected)
    psnr = {s.levels[0]: s.estimates["psnr_value"].estimate for s in ranking.settings}
    assert psnr == pytest.approx({a: -10 * np.log10(error) for a, error in expected.items()})


def test_the_range_over_seeds_is_not_that_over_images() -> None:
    ranking = rank(table({("a", "sine"): 1e-4, ("b", "sine"): 1.0}))
    estimate = ranking.settings[0].estimates[OVERALL.column]
    assert (estimate.low, estimate.high) == pytest.approx((1e-2, 1.2e-2))
    assert (estimate.finite, estimate.runs) == (3, 3)
    assert ranking.settings[0].runs["seconds"].tolist() == [20.0] * 3


def test_a_setting_that_one_image_lacks_is_ranked_on_the_others_alone() -> None:
    errors = dict(zip(product("ab", ("sine", "elu")), (0.1, 0.2, 0.3, 0.4), strict=True))
    runs = table(errors | {("a", "tanh"): 1e-6})  # the lowest of all, where nothing is hard
    missing = table({("b", "tanh"): 1e-6}).assign(status="missing", psnr_value=np.nan)
    missing[[score.column for score in ERRORS]] = np.nan
    for given_runs in (runs, pd.concat([runs, missing], ignore_index=True)):
        ranking = rank(given_runs)
        assert order(ranking) == [("sine",), ("elu",)]
        assert ranking.left_out == 1
        assert order(ranking.targets["a"])[0] == ("tanh",)
        assert order(ranking.targets["b"])[:2] == [("sine",), ("elu",)]


def test_a_run_that_diverged_on_one_image_is_worse_than_any() -> None:
    errors = {("a", "sine"): 1e-6, ("b", "sine"): np.nan, ("a", "elu"): 1.0, ("b", "elu"): 5.0}
    ranking = rank(table(errors))
    assert order(ranking) == [("elu",), ("sine",)]
    assert np.isnan(overall(ranking)[1])
    assert ranking.settings[1].status == "diverged"


def test_runs_need_not_have_the_same_seeds_on_every_image() -> None:
    runs = table({("a", "sine"): 0.01, ("b", "sine"): 1.0})
    runs.loc[runs["data.image"] == "b", "training.seed"] += 7
    common = over_targets(runs.drop(index=5), find_variation(runs))  # a seed less on b
    assert common["nmse_value"].tolist() == pytest.approx([0.1, 0.11])
    assert "data.image" not in common


def test_all_fields_of_the_data_that_vary_are_one_target() -> None:
    runs = pd.concat(
        [
            table({("a", "sine"): 0.1, ("b", "sine"): 0.1}, (0,)).assign(**{"data.noise": noise})
            for noise in (0.1, 0.02)
        ],
        ignore_index=True,
    )
    variation = find_variation(runs)
    assert variation.axes == ()
    assert variation.target.label == "image, noise"
    assert variation.target.levels == ("a, 0.02", "a, 0.1", "b, 0.02", "b, 0.1")
    assert name_targets(variation.target) == "4 targets (image, noise)"
    (noise,) = (find_variation(runs[runs["data.image"] == "a"]).target,)
    assert (noise.levels, noise.numeric) == (("0.02", "0.1"), True)


def test_an_image_that_follows_from_the_activation_is_what_was_learned() -> None:
    """Each activation on an image of its own: nothing can be compared."""
    ranking = rank(table({("a", "sine"): 0.1, ("b", "elu"): 0.2}))
    assert ranking.variation.axes == ()
    assert [*ranking.targets] == ["a", "b"]
