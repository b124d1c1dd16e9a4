"""What losses consist of, and how far learning rates carry."""

import numpy as np
import pandas as pd
import pytest

from inr.quantities import QUANTITIES
from postprocess.plots.loss_composition import (
    composed,
    composition,
    draw_loss_shares,
    loss_columns,
)
from postprocess.plots.scatter import draw_integrated_rate
from postprocess.stats.factors import find_variation
from postprocess.stats.fields import WEIGHTS

STEPS = 400


def make_runs(weightings, **columns) -> pd.DataFrame:
    rows = [
        {f"{WEIGHTS}.{q}": float(w) for q, w in zip(QUANTITIES, weights, strict=True)}
        | {f"nmse_{q}": 0.1 * (i + 1) for q in QUANTITIES}
        for i, weights in enumerate(weightings)
    ]
    return pd.DataFrame(rows).assign(**columns)


def make_series(runs: pd.DataFrame) -> pd.DataFrame:
    steps = np.arange(0, STEPS + 1, 100)
    rows = pd.DataFrame({"step": steps})
    for i, quantity in enumerate(QUANTITIES):
        rows[f"nmse_{quantity}"] = (i + 1) / (1 + steps)
        rows[f"mse_{quantity}"] = 10.0**i
    return pd.concat([rows.assign(run=run) for run in runs.index], ignore_index=True)


LOSSES = {
    "normalised": ((1, 0.5, 0, 2), "variance", np.array([1, 1, 0, 8]) / 10),
    "raw": ((1, 0.5, 0, 2), "raw", np.array([1, 5, 0, 2000]) / 2006),
}


@pytest.mark.parametrize(("weights", "normalization", "expected"), LOSSES.values(), ids=LOSSES)
def test_shares_are_weight_times_error(weights, normalization, expected):
    runs = make_runs([weights], **{"training.loss_normalization": normalization})
    found = composition(runs.loc[0], make_series(runs))
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 5, axis=1))
    kind = "mse" if normalization == "raw" else "nmse"
    assert loss_columns(runs) == [f"{kind}_{quantity}" for quantity in QUANTITIES]


def test_an_error_outside_the_loss_need_not_be_finite():
    runs = make_runs([(1, 1, 0, 0)])
    series = make_series(runs)
    series["nmse_laplacian"] = np.inf
    series.loc[2, "nmse_value"] = np.nan
    shares = composition(runs.loc[0], series)
    assert np.isnan(shares[:, 2]).all()
    np.testing.assert_allclose(np.delete(shares, 2, axis=1).sum(axis=0), 1)


def test_losses_of_one_term_or_unknown_weights_are_not_taken_apart():
    fields = {
        "training.loss_balancing": ["none", "none", "relobralo", "none"],
        "training.value_points": ["all", "all", "all", "border"],
    }
    runs = make_runs([(1, 0, 0, 0), (1, 1, 0, 0), (1, 1, 1, 1), (1, 1, 1, 1)], **fields)
    assert composed(runs).index.tolist() == [1]
    assert composed(runs[["nmse_value"]]).empty


def test_shown_settings_span_the_ranking():
    weightings = [(1, i + 1, 0, 0) for i in range(20)]
    runs = make_runs(weightings)
    runs.loc[7, "nmse_value"] = np.nan
    figure = draw_loss_shares(runs, make_series(runs), find_variation(runs))
    titles = [panel.get_title() for panel in figure.axes]
    assert len(titles) == 6
    assert titles[0] == "(1, 1, 0, 0)\nrank 1 of 20 over all"
    assert titles[-1] == "(1, 8, 0, 0)\ndiverged"
    assert (
        figure.get_suptitle() == "6 of 20 settings, from the best to the worst on the training grid"
    )
    few = draw_loss_shares(runs[:6], make_series(runs[:6]), find_variation(runs[:6]))
    assert few.get_suptitle() == ""


def test_the_median_of_the_seeds_is_shown():
    runs = make_runs([(1, 1, 0, 0)] * 3, **{"training.seed": [0, 1, 2]})
    for quantity in QUANTITIES:
        runs[f"nmse_{quantity}"] = [0.3, 0.1, 0.2]
    series = make_series(runs)
    series.loc[series["run"] == 2, "nmse_gradient"] = 0.0
    (panel,) = draw_loss_shares(runs, series, find_variation(runs)).axes
    assert panel.collections[0].get_datalim(panel.transData).y1 == pytest.approx(1)


def test_a_term_without_effect_is_called_so():
    runs = make_runs([(1, 1, 1, 0)], **{"training.protocol": "original"})
    figure = draw_loss_shares(runs, make_series(runs), find_variation(runs))
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "Laplacian (counted, but without effect)" in named


def test_errors_are_drawn_against_the_integrated_rate():
    runs = make_runs([(1, 0, 0, 0)] * 3, **{"training.learning_rate": [1e-5, 1e-4, 1e-3]})
    rates = pd.Series([100.0, 1000.0, 10000.0])
    figure = draw_integrated_rate(runs, rates, find_variation(runs))
    assert len(figure.axes) == 4
    drawn = {(*line.get_xdata(), *line.get_ydata()) for line in figure.axes[0].lines}
    assert drawn == set(zip(rates, runs["nmse_value"], strict=True))
