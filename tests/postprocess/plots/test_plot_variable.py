"""What a figure draws of a column: values within an axis that no single run can ruin."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from postprocess.plots.plot_variable import RATE, held_out, metric

ERROR = metric("nmse_value")
SOUND = np.geomspace(1e-4, 1, 30)


def test_a_ruined_run_gets_the_edge_of_the_axis():
    fenced = ERROR.fenced(np.append(SOUND, 1e15))
    assert fenced.ceiling < 1e9
    assert list(fenced.drawable(np.array([0.5, 1e15]))) == [0.5, fenced.ceiling]


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40), st.floats(1, 100))
def test_nothing_within_two_powers_of_ten_is_far_out(finals, factor):
    largest = float(np.percentile(finals, 75)) * factor
    assert ERROR.fenced(np.append(finals, largest)).ceiling >= largest


@pytest.mark.parametrize(
    "finals", [SOUND, SOUND * 1e8, [], [np.nan, np.inf, 0.0, -1.0], np.full(5, 1e15)]
)
def test_runs_that_are_alike_get_no_ceiling(finals):
    assert ERROR.fenced(np.array(finals)) == ERROR


def test_similarities_and_decibels_get_no_ceiling():
    for name in ("ssim_value", "psnr_value"):
        assert metric(name).fenced(np.append(SOUND, 1e15)) == metric(name)


def test_the_summary_stays_within_the_axis():
    fenced = ERROR.fenced(np.append(SOUND, 1e15))
    summary = fenced.summarise(np.array([1.0, 1e15, 1e15]))
    assert summary.high == summary.estimate == fenced.ceiling


def ticks(measure, values):
    figure = Figure()
    panel = figure.subplots()
    panel.plot(range(len(values)), measure.drawable(np.array(values)))
    measure.finish(panel)
    figure.canvas.draw()
    low, high = panel.get_ylim()
    shown = zip(panel.get_yticks(), panel.get_yticklabels(), strict=True)
    return [label.get_text() for place, label in shown if low <= place <= high]


def test_the_edge_says_that_it_stands_for_more():
    labels = ticks(ERROR.fenced(np.append(SOUND, 1e15)), [1e-3, 0.5, 1e15])
    assert [label for label in labels if "≥" in label] == labels[-1:]
    assert "≥" not in "".join(ticks(ERROR, [1e-3, 0.5, 1e15]))


def test_rates_that_move_nothing_are_drawn_at_the_lower_edge():
    labels = ticks(RATE, [1e-4, 1e-20, 1e-52])
    assert labels[0] == "≤1e-12"
    assert labels[-1] == "1e-4"


def test_a_panel_without_values_leaves_the_ticks_to_those_beside_it():
    left, right = Figure().subplots(1, 2, sharey=True)
    left.plot([1, 2], [0.1, 1.0])
    for panel in (left, right):
        ERROR.finish(panel)
    assert [text.get_text() for text in right.texts] == ["no finite values"]
    assert {0.1, 1.0} <= set(left.get_yticks())


@pytest.mark.parametrize(
    ("protocols", "differs"), [(["original"] * 2, True), (["original", "corrected"], False)]
)
def test_held_out_errors_are_told_apart_from_those_of_other_targets(protocols, differs):
    where = held_out(pd.DataFrame({"training.protocol": protocols}))
    assert where.startswith("between pixels and frames (held out)")
    assert where.endswith("against the exact diffusion") == differs
