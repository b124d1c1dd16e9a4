"""Evaluation of a network equals nested differentiation."""

from typing import get_args

import numpy as np
import pytest
import torch

from inr.config import Activation, ModelConfig, RunConfig
from inr.network import adjoint
from inr.network.model import initialize
from inr.network.trained_network import TrainedNetwork, predict
from tests.helpers.reference import differentiate_nested


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("depth", [1, 3])
def test_points_and_grids_are_evaluated_exactly(activation, depth, monkeypatch):
    monkeypatch.setattr(adjoint, "TILE_NUMBERS", 16 * 8)  # several tiles, the last one short
    config = ModelConfig(activation=activation, width=8, depth=depth, omega_first=3, omega_hidden=2)
    network = initialize(config, 3, torch.float64)
    x, y, times = (np.linspace(-1, 1, count) for count in (7, 5, 2))
    grid = predict(network, x, y, times)
    frame, row, column = np.meshgrid(times, y, x, indexing="ij")
    points = np.stack([column, row, frame], axis=-1).reshape(-1, 3)
    single = TrainedNetwork(RunConfig(), network, (5, 7)).at(points)
    wanted = differentiate_nested(network, torch.from_numpy(points))
    assert wanted.gradient is not None
    assert wanted.laplacian is not None
    exact = {
        "value": wanted.value,
        "gradient": wanted.gradient[:, :2],
        "laplacian": wanted.laplacian,
        "time_derivative": wanted.gradient[:, 2],
    }
    for name, tensor in exact.items():
        field = tensor.detach().numpy()
        np.testing.assert_allclose(getattr(single, name), field, rtol=1e-10, atol=1e-10)
        on_grid = getattr(grid, name)
        if name == "gradient":
            on_grid = np.moveaxis(on_grid, 1, -1)
        np.testing.assert_allclose(on_grid.reshape(field.shape), field, rtol=1e-10, atol=1e-10)
