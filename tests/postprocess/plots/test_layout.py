"""Captions and legends."""

import pandas as pd
import pytest

from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.plots.batch import plan_figures
from postprocess.plots.layout import study_scale
from tests.helpers.figures import ROLES, overlaps, write_quickly
from tests.helpers.synthetic import make_config

SCALES = {
    "all": ({}, "camera 64 px · 4 hidden layers of 128 · 1,000 steps · 2 seeds"),
    "varying-width": (
        {"model.width": [64, 128]},
        "camera 64 px · 4 hidden layers · 1,000 steps · 2 seeds",
    ),
    "own-image": (
        {"data.image": "/somewhere/cat.png", "training.steps": [1, 2]},
        "cat.png 64 px · 4 hidden layers of 128 · 2 seeds",
    ),
    "original": (
        {"training.protocol": "original", "training.seed": 0},
        "camera 64 px · 4 hidden layers of 128 · 1,000 steps · 1 seed · "
        "original protocol, errors against its own targets",
    ),
    "discrete": (
        {"data.derivatives": "discrete"},
        "camera 64 px · 4 hidden layers of 128 · 1,000 steps · 2 seeds · "
        "target derivatives by discrete filters",
    ),
}


@pytest.mark.parametrize(("changes", "expected"), SCALES.values(), ids=SCALES)
def test_scale_says_what_all_runs_share(changes, expected):
    runs = pd.DataFrame(
        {
            "data.image": "camera",
            "data.size": 64,
            "model.width": 128,
            "model.depth": 4,
            "training.steps": 1000,
            "training.seed": [0, 1],
        }
    ).assign(**changes)
    assert study_scale(runs) == expected


def test_a_sweep_that_shares_nothing_has_no_scale():
    assert study_scale(pd.DataFrame({"model.depth": [1, 2]})) == ""


@pytest.mark.parametrize("name", ["quickstart", "study", "many-weights"])
def test_legends_cover_no_data_and_no_name_is_cut(tmp_path, name):
    configs = [
        c.model_copy(update={"data": make_config(data__size=12).data}) for c in ROLES[name][0]
    ]
    merged = ensure_merged(write_quickly(tmp_path / "sweep", configs[:40]))
    plans = plan_figures(merged)
    for drawn in ("curve_nmse_time_derivative", "final_nmse_time_derivative"):
        assert not overlaps(plans[drawn]()), drawn
