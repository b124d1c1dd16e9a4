"""Curves show the recorded numbers, one by one or summarised."""

import numpy as np

from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.plots import learning_curves
from postprocess.plots.plot_variable import metric
from postprocess.stats.factors import find_variation
from tests.helpers.figures import SMALL, WEIGHTINGS, WEIGHTS, write_quickly
from tests.helpers.synthetic import grid


def test_curves_show_the_recorded_numbers(eight):
    merged = ensure_merged(eight)
    runs = merged.readable
    series = merged.series("nmse_value")
    figure = learning_curves.draw_curves(metric("nmse_value"), series, find_variation(runs))
    drawn = {tuple(line.get_ydata()) for panel in figure.axes for line in panel.lines}
    assert drawn == {tuple(rows["nmse_value"]) for _, rows in series.groupby("run")}
    assert {panel.get_yscale() for panel in figure.axes} == {"log"}
    assert figure.axes[0].get_ylabel() == "value MSE / variance\non the training grid"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts() if text.get_text()] == [
        "activation:", "sine", "elu", "learning rate:", "1e-4", "1e-3",
    ]  # fmt: skip


def test_seeds_become_a_median_with_a_band(tmp_path):
    layout = write_quickly(tmp_path / "sweep", grid(training__seed=[0, 1, 2], **SMALL))
    merged = ensure_merged(layout)
    series = merged.series("nmse_value")
    variation = find_variation(merged.readable)
    (panel,) = learning_curves.draw_curves(metric("nmse_value"), series, variation).axes
    (line,) = panel.lines
    by_step = series.groupby("step")["nmse_value"]
    np.testing.assert_allclose(line.get_ydata(), by_step.median())
    (band,) = panel.collections
    low, high = band.get_datalim(panel.transData).intervaly
    np.testing.assert_allclose([low, high], [by_step.min().min(), by_step.max().max()])


def test_the_best_of_many_runs_are_drawn_by_themselves(tmp_path):
    merged = ensure_merged(
        write_quickly(tmp_path / "sweep", grid(training__loss_weights=WEIGHTINGS, **SMALL))
    )
    variation = find_variation(merged.readable)
    series = merged.series("nmse_value")
    figure = learning_curves.draw_curves(metric("nmse_value"), series, variation)
    median, *best = figure.axes[0].lines
    ranked = merged.readable["nmse_value"].sort_values().index[: len(best)]
    assert len(best) == 4
    for line, run in zip(best, ranked, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), series["nmse_value"][series["run"] == run])
    np.testing.assert_allclose(
        median.get_ydata(), series.groupby("step")["nmse_value"].median(), rtol=1e-12
    )
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert variation.levels[WEIGHTS][ranked[0]] in texts
