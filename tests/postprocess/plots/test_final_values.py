"""Final values, and what they say of runs that differ in the seed."""

import numpy as np
import pytest

from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.intervals import bootstrap_interval, interquartile_mean
from postprocess.plots import final_values
from postprocess.plots.plot_variable import metric
from postprocess.stats.factors import find_variation
from tests.helpers.figures import RATE, RATES, ROLES, SMALL, write_quickly
from tests.helpers.synthetic import grid, make_config


def test_final_values_are_the_last_ones_and_diverged_runs_are_marked(tmp_path):
    configs = grid(training__learning_rate=RATES, **SMALL)
    merged = ensure_merged(write_quickly(tmp_path / "sweep", configs, diverged=(3,)))
    runs = merged.readable
    figure = final_values.draw_finals(metric("psnr_value"), runs, find_variation(runs))
    (panel,) = figure.axes
    points = [line for line in panel.lines if line.get_marker() == "o"]
    drawn = {y for line in points for y in line.get_ydata() if np.isfinite(y)}
    assert drawn == set(runs["psnr_value"].dropna())
    assert [line.get_marker() for line in panel.lines].count("x") == 1
    assert [label.get_text() for label in panel.get_xticklabels()] == [
        "1e-6",
        "1e-5",
        "1e-4",
        "1e-3",
    ]


def test_seeds_get_an_estimate_and_an_interval(tmp_path):
    configs = grid(training__learning_rate=[1e-4, 1e-3], training__seed=[0, 1, 2, 3, 4, 5], **SMALL)
    merged = ensure_merged(write_quickly(tmp_path / "sweep", configs, diverged=(0,)))
    runs = merged.readable
    figure = final_values.draw_finals(metric("nmse_value"), runs, find_variation(runs))
    (panel,) = figure.axes
    bars, estimates = panel.collections
    for position, (_, members) in enumerate(runs.groupby(RATE)["nmse_value"]):
        scores = np.log10(members.to_numpy())
        expected = bootstrap_interval([scores], interquartile_mean)
        assert estimates.get_offsets()[position][1] == pytest.approx(10**expected.estimate)
        high = 10**expected.high if np.isfinite(expected.high) else members.max()
        drawn = bars.get_segments()[position][:, 1]
        assert list(drawn) == pytest.approx([10**expected.low, high])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"interquartile mean", "95 % bootstrap interval"} <= set(texts)


def test_schedules_beside_many_rates_stand_side_by_side(tmp_path):
    configs = [
        c.model_copy(update={"data": make_config(data__size=12).data})
        for c in ROLES["rates-beside-schedules"][0]
    ]
    runs = ensure_merged(write_quickly(tmp_path / "sweep", configs)).readable
    (panel,) = final_values.draw_finals(metric("nmse_value"), runs, find_variation(runs)).axes
    assert [label.get_text() for label in panel.get_xticklabels()] == [
        *(f"uniform\n{rate}" for rate in ("1e-6", "1e-5", "1e-4", "1e-3")), "cyclic\n1e-4"
    ]  # fmt: skip
