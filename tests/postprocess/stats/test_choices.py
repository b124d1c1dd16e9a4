"""Levels compared everything else equal, against ratios that can be worked out by hand."""

from collections.abc import Mapping
from math import inf, nan, sqrt

import pandas as pd
import pytest

from postprocess.stats.choices import compare_levels
from postprocess.stats.fields import ACTIVATION, IMAGE, RATE
from postprocess.stats.ranking import ERRORS, HELDOUT, HELDOUT_ERRORS, OVERALL, rank

Errors = Mapping[tuple[str, float], float]  # by activation and learning rate


def table(errors: Errors, heldout: Errors | None = None, image: str = "camera") -> pd.DataFrame:
    """Rows of /runs; every quantity has the same error."""
    return pd.DataFrame(
        {"name": f"{activation}_{rate}_{image}", "psnr_value": 0.0, RATE: rate, IMAGE: image}
        | {"status": "complete" if error < inf else "diverged", ACTIVATION: activation}
        | {score.column: error for score in ERRORS}
        | {score.column: (heldout or errors)[activation, rate] for score in HELDOUT_ERRORS}
        for (activation, rate), error in errors.items()
    )


def compare(runs: pd.DataFrame, key: str = ACTIVATION, score=OVERALL) -> dict[str, tuple]:
    found = compare_levels(rank(runs), key, score)
    return {
        level: (*map(pytest.approx, (r.estimate, r.low, r.high)), r.count, r.comparisons)
        for level, r in found.items()
    }


ERRORS_OF_FOUR = {
    ("elu", 1e-4): 0.2, ("elu", 1e-3): 0.8, ("sine", 1e-4): 0.1, ("sine", 1e-3): 0.2,
}  # fmt: skip


def test_ratios_are_geometric_means_over_the_other_choices() -> None:
    runs = table(ERRORS_OF_FOUR)
    assert compare(runs) == {"sine": (1, 1, 1, 2, 2), "elu": (sqrt(2 * 4), 2, 4, 2, 2)}
    assert compare(runs, RATE) == {"1e-4": (1, 1, 1, 2, 2), "1e-3": (sqrt(2 * 4), 2, 4, 2, 2)}


def test_held_out_another_level_may_be_best() -> None:
    heldout = {key: 1 / error for key, error in ERRORS_OF_FOUR.items()}
    found = compare(table(ERRORS_OF_FOUR, heldout), score=HELDOUT)
    assert list(found.items()) == [("elu", (1, 1, 1, 2, 2)), ("sine", (sqrt(8), 2, 4, 2, 2))]


def test_a_combination_that_one_level_was_not_run_with_is_no_comparison() -> None:
    runs = table(ERRORS_OF_FOUR | {("sine", 1e-5): 1e-9, ("elu", 1e-2): 1e-9})
    assert compare(runs)["elu"] == (sqrt(8), 2, 4, 2, 2)
    runs.loc[runs[RATE] == 1e-3, "status"] = "missing"
    assert compare(runs)["elu"] == (2, 2, 2, 1, 1)


def test_no_level_is_best_by_failing() -> None:
    """elu is better wherever it did not diverge."""
    errors = ERRORS_OF_FOUR | {("elu", 1e-4): 0.05, ("elu", 1e-3): inf}
    found = compare(table(errors))
    assert list(found.items()) == [("sine", (1, 1, 1, 2, 2)), ("elu", (0.5, 0.5, 0.5, 1, 2))]
    never = compare(table(errors | {("elu", 1e-4): inf}))
    assert never["elu"][3:] == (0, 2)


def test_over_targets_errors_are_averaged_first() -> None:
    images = [
        table(ERRORS_OF_FOUR),
        table({key: 1 if key[0] == "elu" else 0.01 for key in ERRORS_OF_FOUR}, image="coins"),
    ]
    found = compare(pd.concat(images, ignore_index=True))
    low, high = sqrt(2 * 100), sqrt(4 * 100)
    assert found["elu"] == (sqrt(low * high), low, high, 2, 2)


def test_where_the_ranking_tells_it_or_nothing_can_be_told_there_is_nothing() -> None:
    one_axis = {("elu", 1e-4): 0.2, ("sine", 1e-4): 0.1}
    apart = {("elu", 1e-4): 0.2, ("elu", 1e-3): 0.1, ("sine", 1e-5): 0.1}
    failed = dict.fromkeys(ERRORS_OF_FOUR, inf)
    unknown = table(ERRORS_OF_FOUR).assign(status="missing")
    for runs in (table(one_axis), table(apart), table(failed), unknown):
        assert compare(runs) == {}
    assert compare(table(ERRORS_OF_FOUR, dict.fromkeys(ERRORS_OF_FOUR, nan)), score=HELDOUT) == {}
