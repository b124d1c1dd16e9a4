"""Closed-form derivatives of the network, against nested automatic differentiation."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inr.activations import ACTIVATIONS
from inr.config import Activation, LossWeights, ModelConfig
from inr.derivatives import NetworkFields, differentiate, differentiate_nested
from inr.losses import Targets, weighted_loss
from inr.model import Network, initialize

NAMES: tuple[Activation, ...] = get_args(Activation)
VARIANCES = {"value": 0.5, "gradient": 8.0, "laplacian": 300.0, "time_derivative": 0.2}


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
    seeds = 7 if models is None else list(range(models))
    return initialize(config, seeds, torch.float64)


def assert_same(actual: NetworkFields, expected: NetworkFields) -> None:
    for name in ("value", "gradient", "laplacian"):
        wanted = getattr(expected, name).detach()
        # relative to the size of the field: derivatives of sines at frequency 24 are large
        scale = max(1.0, float(wanted.abs().max()))
        error = float((getattr(actual, name).detach() - wanted).abs().max()) / scale
        assert error < 1e-10, name


def parameter_gradients(network: Network, fields: NetworkFields, points: Tensor) -> list[Tensor]:
    weights = LossWeights(value=1, gradient=0.3, laplacian=0.1, time_derivative=2)
    loss = weighted_loss(fields, sample_targets(points), weights, VARIANCES).sum()
    return list(torch.autograd.grad(loss, network.parameters, allow_unused=True))


SHAPES = [
    pytest.param(16, 1, None, id="one hidden layer"),
    pytest.param(16, 3, None, id="three hidden layers"),
    pytest.param(1, 2, None, id="width 1"),
    pytest.param(7, 5, None, id="deep"),
    pytest.param(12, 3, 4, id="four models"),
    pytest.param(5, 1, 1, id="one model on its own axis"),
]


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


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(NAMES), st.integers(1, 20), st.integers(1, 4), st.integers(1, 3))
def test_any_shape_agrees_with_nested_autograd(
    activation: Activation, width: int, depth: int, models: int
) -> None:
    network, points = network_of(activation, width, depth, models), sample_points(5, models)
    assert_same(differentiate(network, points, 2), differentiate_nested(network, points))


@pytest.mark.parametrize("activation", NAMES)
def test_activation_derivatives_agree_with_autograd(activation: Activation) -> None:
    z = torch.linspace(-30, 30, 401, dtype=torch.float64, requires_grad=True)
    derivatives = ACTIVATIONS[activation].derivatives
    value, slope, bend = derivatives(z, 1.7, 2)
    (first,) = torch.autograd.grad(value.sum(), z, create_graph=True)
    torch.testing.assert_close(slope, first, rtol=1e-12, atol=1e-12)
    (second,) = torch.autograd.grad(first.sum(), z)
    torch.testing.assert_close(bend, second, rtol=1e-11, atol=1e-12)
    for order in (0, 1):
        for lower, full in zip(derivatives(z, 1.7, order), (value, slope, bend), strict=False):
            torch.testing.assert_close(lower, full, rtol=0, atol=0)


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


@pytest.mark.parametrize("activation", NAMES)
def test_initial_signal_neither_dies_nor_explodes(activation: Activation) -> None:
    config = ModelConfig(activation=activation, width=256, depth=5)
    network = initialize(config, 0, torch.float64)
    points = sample_points(512)
    for layer in range(config.depth):
        z = (points @ network.weights[layer].T + network.biases[layer]).detach()
        if layer:
            spread = float(z.std()) * (config.omega_hidden if activation in OSCILLATING else 1)
            assert 0.1 < spread < 10, (layer, spread)
        (points,) = network.activate(layer, z, 0)


OSCILLATING = ("sine", "gaussian")
