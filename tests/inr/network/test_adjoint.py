"""Closed-form derivatives of the network, against nested automatic differentiation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inr.config import Activation, LossWeights, ModelConfig
from inr.memory import GPU_TILE_BYTES, TILE_ARRAYS
from inr.network.adjoint import tile_points
from inr.network.model import Network, initialize
from tests.helpers.networks import (
    NAMES,
    SHAPES,
    VARIANCES,
    assert_same,
    network_of,
    sample_points,
    sample_targets,
)
from tests.helpers.reference import (
    NetworkFields,
    differentiate,
    differentiate_nested,
    weighted_loss,
)


def parameter_gradients(network: Network, fields: NetworkFields, points: Tensor) -> list[Tensor]:
    weights = LossWeights(value=1, gradient=0.3, laplacian=0.1, time_derivative=2)
    loss = weighted_loss(fields, sample_targets(points), weights, VARIANCES).sum()
    return list(torch.autograd.grad(loss, network.parameters, allow_unused=True))


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize(("width", "depth", "models"), SHAPES)
def test_values_and_parameter_gradients_agree_with_nested_autograd(
    activation: Activation, width: int, depth: int, models: int | None
) -> None:
    network = network_of(activation, width, depth, models)
    points = sample_points()
    actual, expected = differentiate(network, points, 2), differentiate_nested(network, points)
    assert_same(actual, expected)
    pairs = zip(
        parameter_gradients(network, actual, points),
        parameter_gradients(network, expected, points),
        strict=True,
    )
    for mine, reference in pairs:
        scale = max(1.0, float(reference.abs().max()))
        assert float((mine - reference).abs().max()) / scale < 1e-9


@settings(max_examples=25)
@given(st.sampled_from(NAMES), st.integers(1, 20), st.integers(1, 4), st.integers(1, 3))
def test_any_shape_agrees_with_nested_autograd(
    activation: Activation, width: int, depth: int, models: int
) -> None:
    network, points = network_of(activation, width, depth, models), sample_points(5, models)
    assert_same(differentiate(network, points, 2), differentiate_nested(network, points))


@pytest.mark.parametrize("activation", NAMES)
def test_lower_orders_give_the_same_numbers_and_nothing_more(activation: Activation) -> None:
    network, points = network_of(activation), sample_points()
    full = differentiate(network, points, 2)
    first, zeroth = differentiate(network, points, 1), differentiate(network, points, 0)
    assert first.laplacian is None
    assert zeroth.gradient is None
    torch.testing.assert_close(first.gradient, full.gradient, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(zeroth.value, full.value, rtol=1e-12, atol=1e-12)


def test_a_model_among_others_is_the_model_alone() -> None:
    together, points = network_of("sine", models=3), sample_points()
    fields = differentiate(together, points, 2)
    for index in range(3):
        alone = differentiate(initialize(together.config, index, torch.float64), points, 2)
        assert_same(
            NetworkFields(fields.value[index], fields.gradient[index], fields.laplacian[index]),
            alone,
        )


def test_known_network_in_closed_form() -> None:
    """sin(2 x + y + t) has the Laplacian -5 sin(...) and the gradient (2, 1, 1) cos(...)."""
    config = ModelConfig(activation="sine", width=1, depth=1, omega_first=1.0)
    weights = (
        torch.tensor([[2.0, 1.0, 1.0]], dtype=torch.float64),
        torch.ones(1, 1, dtype=torch.float64),
    )
    biases = (torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    points = sample_points()
    phase = points @ weights[0][0]
    fields = differentiate(Network(config, weights, biases), points, 2)
    torch.testing.assert_close(fields.value, torch.sin(phase))
    torch.testing.assert_close(fields.gradient, torch.cos(phase)[:, None] * weights[0])
    torch.testing.assert_close(fields.laplacian, -5 * torch.sin(phase))


@given(st.integers(1, 600), st.integers(1, 9), st.integers(1, 10**6))
def test_tiles_hold_all_points_in_equal_parts(width: int, models: int, count: int) -> None:
    size = tile_points(ModelConfig(width=width), models, count, "cpu")
    tiles = -(-count // size)
    assert size <= count + 15
    assert tiles == 1 or size % 16 == 0
    assert tiles * size - count < size  # no tile without a point


@given(st.integers(1, 600), st.integers(1, 9), st.integers(1, 9), st.integers(1, 10**6))
def test_a_tile_on_a_gpu_keeps_within_its_memory(
    width: int, depth: int, models: int, count: int
) -> None:
    size = tile_points(ModelConfig(width=width, depth=depth), models, count, "cuda")
    needed = 4 * TILE_ARRAYS * depth * width * models * (size - 15)
    assert size <= count + 15
    assert needed <= GPU_TILE_BYTES
