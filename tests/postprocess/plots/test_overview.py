"""Combinations are ranked: by all four errors in the overview, or by one metric."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from inr.quantities import QUANTITIES
from postprocess.dataset.merged_sweep import ensure_merged
from postprocess.plots import final_values, style
from postprocess.plots.overview import draw_overview, figures
from postprocess.plots.plot_variable import metric
from postprocess.stats.factors import find_variation
from tests.helpers.figures import SMALL, WEIGHTINGS, WEIGHTS, write_quickly
from tests.helpers.synthetic import grid


def table(errors: dict[tuple[str, float], float]) -> pd.DataFrame:
    rows = [
        {"model.activation": activation, "training.learning_rate": rate, "training.seed": 0}
        | {f"nmse_{quantity}": error for quantity in QUANTITIES}
        for (activation, rate), error in errors.items()
    ]
    return pd.DataFrame(rows)


def shown(runs: pd.DataFrame) -> list[str]:
    return names(draw_overview(runs, find_variation(runs)))


def names(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_best_combination_comes_first_and_diverged_ones_last() -> None:
    runs = table(
        {
            ("sine", 1e-3): np.nan,
            ("elu", 1e-3): np.inf,
            ("sine", 1e-5): 0.5,
            ("elu", 1e-5): 0.6,
            ("sine", 1e-4): 0.01,
            ("elu", 1e-4): 0.9,
        }
    )
    assert shown(runs) == ["1e-4", "1e-5", "1e-3"]


def test_held_out_errors_have_an_order_of_their_own(tmp_path: Path) -> None:
    axes = {"model__activation": ["sine", "elu"], "training__learning_rate": [1e-4, 1e-3, 1e-2]}
    layout = write_quickly(tmp_path, grid(**axes, **SMALL))
    for place, path in enumerate(sorted(layout.runs.rglob("run.h5"))):
        with h5py.File(path, "r+") as file:
            record = file["heldout"][()]
            for name in (f"nmse_{quantity}" for quantity in QUANTITIES):
                file[f"series/{name}"][-1], record[name] = 10.0**place, 0.1**place
            file["heldout"][()] = record
    merged = ensure_merged(layout)
    plans = figures(merged, find_variation(merged.readable))
    trained, held_out = plans["overview"](), plans["overview_heldout"]()
    assert names(trained) == names(held_out)[::-1] == ["1e-2", "1e-3", "1e-4"]
    assert "errors on the training grid\n" in trained.get_suptitle()
    assert "errors between pixels and frames (held out)\n" in held_out.get_suptitle()


def test_runs_without_held_out_errors_have_no_overview_of_them(tmp_path: Path) -> None:
    merged = ensure_merged(write_quickly(tmp_path, grid(**SMALL), diverged=(0,)))
    assert [*figures(merged, find_variation(merged.readable))] == ["overview"]


def test_a_line_without_a_name_has_no_tick() -> None:
    assert shown(table({("sine", 1e-4): 0.5})) == []


@pytest.mark.parametrize("count", [2, 8, 9, 40])
def test_an_overview_of_few_lines_is_narrow(count: int) -> None:
    runs = table({("sine", (i + 1) * 1e-5): 1 / (i + 1) for i in range(count)})
    figure = draw_overview(runs, find_variation(runs))
    assert (figure.get_figwidth() > 0.7 * style.PAGE_WIDTH) == (count >= 9)
    first, second = figure.axes[0].get_subplotspec(), figure.axes[-1].get_subplotspec()
    assert (first.rowspan == second.rowspan) == (count >= 9)


@pytest.mark.parametrize("count", [16, 40])
def test_only_the_best_of_many_are_shown(count: int) -> None:
    runs = table({("sine", (i + 1) * 1e-5): 1 / (i + 1) for i in range(count)})
    figure = draw_overview(runs, find_variation(runs))
    assert len(figure.axes[0].get_yticks()) == min(count, 25)
    assert ("25 of 40" in figure.get_suptitle()) == (count == 40)


def test_ranking_starts_with_the_best(tmp_path):
    configs = grid(training__loss_weights=WEIGHTINGS, **SMALL)
    merged = ensure_merged(write_quickly(tmp_path / "sweep", configs))
    runs = merged.readable
    variation = find_variation(runs)
    (panel,) = final_values.draw_finals(metric("nmse_value"), runs, variation).axes
    best = variation.levels[WEIGHTS][runs["nmse_value"].idxmin()]
    assert panel.get_yticklabels()[-1].get_text() == best
    assert len(panel.get_yticklabels()) == 25
