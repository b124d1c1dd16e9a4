"""Captions and legends."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.plots.batch import plan_figures
from postprocess.plots.layout import add_legend, handle, study_scale
from tests.helpers.figures import ROLES, overlaps, text_share, unlabelled, write_quickly
from tests.helpers.synthetic import make_config
from tests.helpers.targets import IMAGES, write_targets

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
        "original protocol, errors on the training grid against its own targets",
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


@pytest.fixture(
    scope="module", params=["one", "quickstart", "rates", "seeds", "coupled", "many-settings"]
)
def plans(request, tmp_path_factory):
    own = {"data": make_config(data__size=12, data__frames=2).data}
    configs = [config.model_copy(update=own) for config in ROLES[request.param][0]]
    return plan_figures(ensure_merged(write_quickly(tmp_path_factory.mktemp("sweep"), configs)))


@pytest.mark.parametrize(
    "drawn",
    [
        "overview",
        "overview_heldout",
        "curve_nmse_value",
        "curve_lr",
        "final_pde_residual",
        "heldout",
        "tradeoff",
    ],
)
def test_a_figure_is_mostly_panels_and_every_tick_has_a_number(plans, drawn):
    figure = plans[drawn]()
    assert text_share(figure) < 0.29
    assert not unlabelled(figure)
    assert not overlaps(figure)


def test_a_matrix_of_three_is_mostly_matrix(tmp_path):
    layout = write_targets(tmp_path / "images", IMAGES, ["sine", "elu", "tanh"], (0, 1, 2))
    figure = plan_figures(ensure_merged(layout))["improvement"]()
    assert text_share(figure) < 0.29
    assert not overlaps(figure)


def test_a_legend_begins_no_line_that_the_one_before_has_room_for():
    figure = Figure(figsize=(4, 2))
    entries = [(handle(marker="o"), name) for name in ("sine", "elu", "gaussian")]
    add_legend(figure, [("activation", entries), ("a", entries[:1]), ("long " * 20, entries[:1])])
    figure.draw_without_rendering()
    texts = figure.legends[0].get_texts()
    first, *_, wrapped, last = lines = [text.get_window_extent().y0 for text in texts]
    assert lines.count(first) == 6
    assert first > wrapped > last
    assert all(text.get_window_extent().x1 < figure.bbox.x1 for text in texts)


@pytest.mark.parametrize("name", ["quickstart", "study", "many-weights"])
def test_legends_cover_no_data_and_no_name_is_cut(tmp_path, name):
    configs = [
        c.model_copy(update={"data": make_config(data__size=12).data}) for c in ROLES[name][0]
    ]
    merged = ensure_merged(write_quickly(tmp_path / "sweep", configs[:40]))
    plans = plan_figures(merged)
    for drawn in ("curve_nmse_time_derivative", "final_nmse_time_derivative"):
        assert not overlaps(plans[drawn]()), drawn
