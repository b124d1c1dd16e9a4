"""The first layer's scales: initial weights of each input, and nothing else."""

import pytest
import torch

from inr.config import ModelConfig, RunConfig
from inr.network.model import initialize
from tests.helpers.reference import initialize_together


def test_scales_multiply_the_columns_of_the_first_layer_alone() -> None:
    config = ModelConfig(width=8, depth=2)
    plain = initialize(config, 5)
    scaled = initialize(config, 5, input_scales=(2.0, 2.0, 0.25))
    torch.testing.assert_close(
        scaled.weights[0], plain.weights[0] * torch.tensor([2.0, 2.0, 0.25]), rtol=0, atol=0
    )
    for mine, other in zip(scaled.parameters[1:], plain.parameters[1:], strict=True):
        assert torch.equal(mine, other)
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in scaled.parameters)


def test_several_models_are_scaled_as_one_alone() -> None:
    config, scales = ModelConfig(width=8, depth=2), (2.0, 2.0, 0.25)
    both = initialize_together(config, [5, 6], input_scales=scales)
    assert torch.equal(both.weights[0][1], initialize(config, 6, input_scales=scales).weights[0])


@pytest.mark.parametrize(
    ("model", "data", "expected"),
    [
        ({}, {}, (1, 1, 1)),
        ({"space_scale": 2, "time_scale": 0.5}, {}, (2, 2, 0.5)),
        ({"space_scale": "image"}, {"size": 64, "sigma_start": 0.7}, (1, 1, 1)),
        ({"space_scale": "image"}, {"size": 256, "sigma_start": 1.4}, (2, 2, 1)),
        ({"space_scale": "image"}, {"size": 64, "sigma_start": 0}, (1.4, 1.4, 1)),
    ],
    ids=["default", "given", "reference image", "larger and blurred", "not blurred"],
)
def test_scales_of_a_run(
    model: dict[str, object], data: dict[str, float], expected: tuple[float, ...]
) -> None:
    config = RunConfig.model_validate({"model": model, "data": data})
    assert config.input_scales == pytest.approx(expected)
