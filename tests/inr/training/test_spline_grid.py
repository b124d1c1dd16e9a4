"""The spline baseline: what it represents it finds, and no other coefficients have less loss."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inr.config import RunConfig
from inr.errors import UserError
from inr.metrics import METRICS
from inr.quantities import QUANTITIES
from inr.results import HELDOUT
from inr.training.evaluation import Evaluator
from inr.training.spline_grid import Shape, SplineGrid, baseline, fit, grid_shape

SHAPE: Shape = (5, 7, 9)


def make_evaluator(frames: int = 6, **training: Any) -> Evaluator:
    fields = {"loss_weights": [1, 1, 1, 1], "precision": "float64"} | training
    data = {"size": 16, "frames": frames}
    return Evaluator(RunConfig.model_validate({"data": data, "training": fields}))


def random_grid(evaluator: Evaluator) -> SplineGrid:
    coefficients = np.random.default_rng(0).standard_normal(SHAPE)
    return replace(fit(evaluator, SHAPE), coefficients=coefficients)


def test_what_splines_represent_is_found_also_between_the_points() -> None:
    evaluator = make_evaluator()
    truth = random_grid(evaluator)
    evaluator.target = truth.on_grid(evaluator.x, evaluator.y, evaluator.times)
    found = fit(evaluator, SHAPE)
    points = np.linspace(-0.95, 0.95, 23)
    for quantity in QUANTITIES:
        wanted, actual = (getattr(g.on_grid(*[points] * 3), quantity) for g in (truth, found))
        assert np.abs(actual - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_derivatives_are_those_of_the_value() -> None:
    grid = random_grid(make_evaluator())
    x, y, t = (np.array([position]) for position in (0.31, -0.47, 0.12))
    h = 1e-4

    def value(dx: float = 0, dy: float = 0, dt: float = 0) -> float:
        return grid.on_grid(x + dx, y + dy, t + dt).value.item()

    fields = grid.on_grid(x, y, t)
    along_x, along_y = fields.gradient.ravel()
    assert along_x == pytest.approx((value(dx=h) - value(dx=-h)) / (2 * h), rel=1e-5)
    assert along_y == pytest.approx((value(dy=h) - value(dy=-h)) / (2 * h), rel=1e-5)
    in_time = (value(dt=h) - value(dt=-h)) / (2 * h)
    assert fields.time_derivative.item() == pytest.approx(in_time, rel=1e-5)
    around = value(dx=h) + value(dx=-h) + value(dy=h) + value(dy=-h)
    assert fields.laplacian.item() == pytest.approx((around - 4 * value()) / h**2, rel=1e-4)


@pytest.mark.parametrize(
    ("shape", "training"),
    [
        (SHAPE, {}),
        (SHAPE, {"loss_weights": [1, 0, 0, 0]}),
        (SHAPE, {"loss_weights": [0.1, 2, 0, 3], "loss_normalization": "raw"}),
        ((8, 18, 17), {}),  # of more than the points
    ],
)
def test_without_a_ridge_the_loss_is_flat_at_the_solution(
    shape: Shape, training: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inr.training.spline_grid.RIDGE", 1e-13)
    evaluator = make_evaluator(**training)
    grid = fit(evaluator, shape)
    direction = 0.01 * np.random.default_rng(1).standard_normal(shape)

    def slope(coefficients: np.ndarray) -> float:
        """Of the loss along ``direction``: it is quadratic, so the difference is exact."""
        ends = (replace(grid, coefficients=coefficients + s * direction) for s in (1, -1))
        losses = [evaluator.objective(*evaluator.on_pixels(end.on_grid)) for end in ends]
        return (losses[0] - losses[1]) / 2

    assert abs(slope(grid.coefficients)) < 1e-9 * abs(slope(np.zeros(shape)))


def test_a_baseline_is_measured_like_a_network() -> None:
    evaluator = make_evaluator(frames=10)
    shape = grid_shape(evaluator.shape, 8 * 17 * 17)
    row = baseline(evaluator, shape)
    assert shape == (8, 17, 17)
    assert (row["name"], row["coefficients"]) == ("cubic splines, 8 x 17 x 17", 8 * 17 * 17)
    assert all(row[points].keys() == METRICS.keys() for points in ("pixels", *HELDOUT))
    assert max(row[points]["nmse_value"] for points in ("pixels", *HELDOUT)) < 0.01


def test_what_cannot_be_fitted_is_an_error() -> None:
    with pytest.raises(UserError, match="at least 4 along each axis"):
        fit(make_evaluator(), (3, 8, 8))
    with pytest.raises(UserError, match=r"training\.value_points"):
        fit(make_evaluator(value_points="border"), SHAPE)
