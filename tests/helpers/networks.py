"""Networks, points and targets for tests of derivatives."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from inr.config import Activation, FirstLayer, ModelConfig
from inr.network.model import Network, initialize
from tests.helpers.reference import NetworkFields, Targets, initialize_together

FIRST_LAYERS: tuple[FirstLayer, ...] = get_args(FirstLayer)
NAMES: tuple[Activation, ...] = get_args(Activation)


VARIANCES = {"value": 0.5, "gradient": 8.0, "laplacian": 300.0, "time_derivative": 0.2}


SHAPES = [
    pytest.param(16, 1, None, id="one hidden layer"),
    pytest.param(16, 3, None, id="three hidden layers"),
    pytest.param(1, 2, None, id="width 1"),
    pytest.param(7, 5, None, id="deep"),
    pytest.param(12, 3, 4, id="four models"),
    pytest.param(5, 1, 1, id="one model on its own axis"),
]


def sample_points(count: int = 13, models: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (count, 3) if models is None else (models, count, 3)
    return torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1


def sample_targets(points: Tensor) -> Targets:
    x, y, time = points.unbind(-1)
    return Targets(
        value=torch.sin(3 * x) * y,
        gradient=torch.stack([torch.cos(x) * 4, y * time], dim=-1),
        laplacian=10 * torch.sin(5 * x * y),
        time_derivative=torch.cos(time),
    )


def network_of(
    activation: Activation, width: int = 16, depth: int = 3, models: int | None = None
) -> Network:
    config = ModelConfig(
        activation=activation, width=width, depth=depth, omega_first=6.0, omega_hidden=4.0
    )
    if models is None:
        return initialize(config, 7, torch.float64)
    return initialize_together(config, range(models), torch.float64)


def assert_same(actual: NetworkFields, expected: NetworkFields) -> None:
    for name in ("value", "gradient", "laplacian"):
        wanted = getattr(expected, name).detach()
        # relative to the size of the field: derivatives of sines at frequency 24 are large
        scale = max(1.0, float(wanted.abs().max()))
        error = float((getattr(actual, name).detach() - wanted).abs().max()) / scale
        assert error < 1e-10, name
