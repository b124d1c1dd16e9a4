"""Initial weights: scales, Fourier features, noise."""

import numpy as np
import pytest
import torch

from inr.config import FirstLayer, ModelConfig, RunConfig
from inr.network.model import initialize, spectral_centroid
from tests.helpers.reference import activate, initialize_together


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


def test_first_and_hidden_scales_multiply_their_layers_alone() -> None:
    config = ModelConfig(width=8, depth=3)
    plain = initialize(config, 5)
    wide = initialize(config.model_copy(update={"first_scale": 3.0, "hidden_scale": 1.5}), 5)
    factors = [3.0, 1.5, 1.5, 1.0, 3.0, 1.0, 1.0, 1.0]  # weights, then biases
    for mine, other, factor in zip(wide.parameters, plain.parameters, factors, strict=True):
        torch.testing.assert_close(mine, other * factor)


@pytest.mark.parametrize("first_layer", ["fourier_dyadic", "fourier_gaussian"])
def test_fourier_features_are_sines_and_cosines_and_stay(first_layer: FirstLayer) -> None:
    config = ModelConfig(
        activation="tanh", first_layer=first_layer, width=2000, omega_first=20, depth=2
    )
    network = initialize(config, 0, torch.float64, input_scales=(1.0, 1.0, 0.5))
    directions, shifts = network.weights[0], network.biases[0]
    half = len(directions) // 2
    torch.testing.assert_close(directions[:half], directions[half:])
    points = torch.tensor([[0.3, -0.2, 0.7]], dtype=torch.float64)
    phase = 20 * directions[:half] @ points[0]
    wanted = torch.cat([phase.sin(), phase.cos()])
    (found,) = activate(network, 0, points @ directions.T + shifts, 0)
    torch.testing.assert_close(found[0], wanted)
    frequencies = 20 * directions[:half]
    if first_layer == "fourier_dyadic":
        octaves = torch.tensor([20.0, 10.0, 5.0, 2.5, 1.25], dtype=torch.float64)
        wanted = torch.block_diag(octaves[:, None], octaves[:, None], octaves[:, None] / 2)
        torch.testing.assert_close(frequencies, wanted)
    else:
        assert half == 1000
        spreads = frequencies.std(dim=0) / torch.tensor([20.0, 20.0, 10.0])
        assert float((spreads - 1).abs().max()) < 0.1
    kept = [parameter.requires_grad for parameter in network.parameters]
    assert kept == [False, True, True, False, True, True]


def test_a_sum_of_sines_has_the_variance_of_one() -> None:
    config = ModelConfig(sines=5, width=4, depth=3)
    phases = torch.linspace(-200, 200, 20_001, dtype=torch.float64)[:, None]
    networks = [initialize(config, seed, torch.float64) for seed in range(100)]
    values = [activate(n, layer, phases, 0)[0].detach().var() for n in networks for layer in (0, 2)]
    assert float(torch.stack(values).mean()) == pytest.approx(0.5, rel=0.1)


def test_siren2_adds_noise_by_the_spectral_centroid_to_two_layers() -> None:
    config = ModelConfig(width=300, depth=3)
    noisy = config.model_copy(update={"initialization": "siren2"})
    plain, other = (initialize(each, 1, torch.float64, centroid=0.3) for each in (config, noisy))
    added = [b - a for a, b in zip(plain.parameters, other.parameters, strict=True)]
    spreads = [30 * float(each.detach().std()) for each in added[:2]]
    assert spreads == pytest.approx([50 * (1 - np.exp(-1.5)), 0.4 * 0.3], rel=0.1)
    assert not any(each.any() for each in added[2:])


@pytest.mark.parametrize("cycles", [1, 4, 8])
def test_spectral_centroid_of_a_wave_is_its_frequency(cycles: int) -> None:
    wave = np.sin(2 * np.pi * cycles * np.arange(16) / 16 + 0.3)
    image = np.broadcast_to(wave, (16, 16))
    assert spectral_centroid(np.array(image)) == pytest.approx(cycles / 8)
    assert spectral_centroid(np.array(image).T) == pytest.approx(cycles / 8)
