"""What the report says of a ranking."""

import numpy as np
import pandas as pd
import pytest

from postprocess.stats.fields import WEIGHT_COLUMNS
from postprocess.stats.ranking import ERRORS, HELDOUT, HELDOUT_ERRORS, OVERALL, rank
from postprocess.webpage.caveats import caveats
from postprocess.webpage.wording import (
    awards,
    choices,
    headline,
    number,
    same_in_all,
    what_varied,
)


def table(errors: dict[str, list[float]]) -> pd.DataFrame:
    """Rows of /runs: for each activation its error in all quantities, one per seed."""
    rows = [
        {
            "name": f"{activation}_{seed}",
            "status": "complete" if np.isfinite(error) else "diverged",
            "model.activation": activation,
            "training.seed": seed,
            "psnr_value": -10 * np.log10(error),
            "psnr_value_mean_removed": -10 * np.log10(error),
        }
        | {score.column: error for score in ERRORS}
        for activation, seeds in errors.items()
        for seed, error in enumerate(seeds)
    ]
    return pd.DataFrame(rows)


def test_settings_are_ranked_by_the_interquartile_mean_over_seeds() -> None:
    lucky = [1e-3, 0.3, 0.3, 0.3]  # holds the best run of all
    steady = [0.19, 0.2, 0.2, 0.22]
    ranking = rank(table({"lucky": lucky, "steady": steady}))
    best = ranking.best[OVERALL.column]
    assert best.levels == ("steady",)
    estimate = best.estimates[OVERALL.column]
    assert estimate.estimate == pytest.approx(0.2)  # the two in the middle
    assert (estimate.low, estimate.high) == pytest.approx((0.19, 0.22))
    assert ranking.settings[1].estimates[OVERALL.column].estimate == pytest.approx(0.3)
    assert awards(ranking)[0].margin == (
        "next best: activation lucky: 0.300, 1.50 times as much; the ranges of 4 runs overlap"
    )
    assert "(0.190 to 0.220)" in awards(ranking)[0].error


def test_a_diverged_seed_counts_as_worse_than_any() -> None:
    one_of_four = [0.1, 0.2, 0.3, np.nan]
    two_of_four = [0.01, 0.01, np.nan, np.nan]
    ranking = rank(table({"two": two_of_four, "one": one_of_four}))
    assert [setting.levels for setting in ranking.settings] == [("one",), ("two",)]
    middle = ranking.best[OVERALL.column].estimates["overall"].estimate
    assert middle == pytest.approx(np.sqrt(0.2 * 0.3))  # the two in the middle, by their logarithms
    assert np.isnan(ranking.settings[1].estimates["overall"].estimate)
    assert "3 of 4 runs" in awards(ranking)[0].error


def coupled(heldout: dict[str, float]) -> pd.DataFrame:
    """Three activations by two recipes and two seeds; ``heldout`` is the error by activation."""
    recipes = {"muon": (0.2, 1.0), "adam": (1.0, 2.0)}  # scale of the time input, error
    parts = [
        table({"sine": [0.1 * worse, 0.12 * worse], "elu": [0.3 * worse] * 2}).assign(
            **{"model.time_scale": scale, "training.optimizer": optimizer}
        )
        for optimizer, (scale, worse) in recipes.items()
    ]
    runs = pd.concat(parts, ignore_index=True)
    errors = runs["model.activation"].map(heldout) * (1 + runs["model.time_scale"])
    return runs.assign(**{score.column: errors for score in HELDOUT_ERRORS})


def test_each_sentence_names_the_fields_that_change_together_with_their_values() -> None:
    ranking = rank(coupled({"sine": 0.2, "elu": 0.1}))
    recipe = "scale of the time input 0.2, optimiser muon"
    (line,) = headline(ranking)
    assert line == (
        f"best over all on the training grid: activation sine, {recipe}: 0.110 (0.100 to 0.120); "
        "next best: scale of the time input 1, optimiser adam: 0.219, 2.00 times as much; "
        "the ranges of 2 runs do not overlap; "
        f"held out: activation elu, {recipe}: 0.120 (0.120 to 0.120); "
        "the best on the training grid has 0.240"
    )
    assert f"change together: {recipe}, or scale of the time input 1, opt" in what_varied(ranking)
    (line,) = headline(rank(coupled({"sine": 0.1, "elu": 0.2})))
    assert line.endswith("; held out: the same setting: 0.120 (0.120 to 0.120)")


def test_of_each_choice_the_report_tells_the_ratio() -> None:
    words = {
        ", ".join(choice): [text.replace("\N{NO-BREAK SPACE}", " ") for text in texts]
        for choice, texts in choices(rank(coupled({"sine": 0.2, "elu": 0.1})))
    }
    assert words == {
        "activation sine": ["best, n = 2", "2.00 times, n = 2"],
        "activation elu": ["2.74 times, n = 2", "best, n = 2"],
        "scale of the time input 0.2, optimiser muon": ["best, n = 2"] * 2,
        "scale of the time input 1, optimiser adam": ["2.00 times, n = 2", "1.67 times, n = 2"],
    }


def test_a_first_rank_that_fails_held_out_is_named() -> None:
    said = caveats(rank(coupled({"sine": 0.1, "elu": 0.6})))
    (line,) = [line for line in said if line.startswith("Rank")]
    assert line == (
        "Rank 4 on the training grid, activation elu, scale of the time input 1, optimiser adam, "
        "does no better than predicting the mean between pixels and frames: error over all 1.20."
    )


def test_that_over_all_counts_what_was_not_trained_is_said() -> None:
    runs = table({"sine": [0.1, 0.2], "elu": [0.3, 0.4]})
    runs[[*WEIGHT_COLUMNS]] = [1.0, 0.0, 0.5, 0.0]
    said = "Over all counts what no run was trained on too (weight 0): "
    assert said + "the gradient and the time derivative." in caveats(rank(runs))
    runs.loc[0, [*WEIGHT_COLUMNS]] = [1.0, 0.1, 0.0, 0.1]
    assert not any(line.startswith(said) for line in caveats(rank(runs)))
    assert "loss weights" not in same_in_all(runs)
    assert same_in_all(runs[1:]) == "Every run: loss weights (1, 0, 0.5, 0)."


def test_of_many_settings_that_fail_held_out_the_first_are_named() -> None:
    runs = table({f"a{n}": [0.1 + n / 100] for n in range(6)})
    runs[[score.column for score in HELDOUT_ERRORS]] = 2.0
    lines = [line for line in caveats(rank(runs)) if "no better" in line]
    assert [line[:6] for line in lines[:3]] == ["Rank 1", "Rank 2", "Rank 3"]
    assert "3 more settings do no better there." in lines


def test_best_number_at_an_edge_is_pointed_out() -> None:
    runs = table({"sine": [0.3, 0.2, 0.1]})
    runs["training.learning_rate"] = [1e-5, 1e-4, 1e-3]
    said = caveats(rank(runs.drop(columns="training.seed")))
    assert any("The best learning rate, 1e-3, is the largest that was tried" in s for s in said)
    assert any("one seed" in sentence for sentence in said)


def test_nothing_is_best_when_all_diverged() -> None:
    ranking = rank(table({"sine": [np.nan], "elu": [np.nan]}))
    assert awards(ranking) == []
    assert caveats(ranking) == ["No setting has four finite errors, so none is best over all."]
    assert HELDOUT.column not in ranking.best


NUMBERS = {0.012345: "0.0123", 1.234e-5: "1.23e-5", 0: "0", 123.4: "123", 1: "1.00"}


@pytest.mark.parametrize(("value", "text"), NUMBERS.items(), ids=NUMBERS.values())
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(float(value)) == text
    assert number(float("nan")) == "–"


def test_a_network_that_fails_between_the_frames_is_not_praised_alone() -> None:
    runs = table({"sine": [0.1, 0.2, 0.1], "elu": [0.3, 0.4, 0.3]})
    runs["heldout_nmse_time_derivative"] = [4.0, 9.0, 5.0, 0.5, 0.5, 0.5]
    runs["heldout_nmse_value"] = 0.2
    (said,) = [line for line in caveats(rank(runs)) if "predicting the mean for" in line]
    assert "time derivative (error 5" in said
    assert "value" not in said
