"""Closed-form derivatives of the network, against nested automatic differentiation."""

from __future__ import annotations

from functools import partial
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import inr.training.step
from inr.config import Activation, LossWeights, ModelConfig
from inr.network.activations import ACTIVATIONS
from inr.network.matmul import HAS_FAST_ONEDNN, product, suits_onednn
from inr.network.model import Network, initialize
from inr.network.tiling import tile_points
from inr.quantities import QUANTITIES
from inr.training.batches import Targets
from inr.training.fusing_key import highest_derivative
from inr.training.step import Step, loss_and_gradients, loss_coefficients
from tests.helpers.reference import (
    NetworkFields,
    activate,
    activation_derivatives,
    differentiate,
    differentiate_nested,
    initialize_together,
    squared_error,
    weighted_loss,
)

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


@settings(max_examples=25)
@given(st.sampled_from(NAMES), st.integers(1, 20), st.integers(1, 4), st.integers(1, 3))
def test_any_shape_agrees_with_nested_autograd(
    activation: Activation, width: int, depth: int, models: int
) -> None:
    network, points = network_of(activation, width, depth, models), sample_points(5, models)
    assert_same(differentiate(network, points, 2), differentiate_nested(network, points))


@pytest.mark.parametrize("activation", NAMES)
def test_activation_derivatives_agree_with_autograd(activation: Activation) -> None:
    z = torch.linspace(-30, 30, 401, dtype=torch.float64, requires_grad=True)
    value, slope, bend = activation_derivatives(ACTIVATIONS[activation], z, 1.7, 2)
    (first,) = torch.autograd.grad(value.sum(), z, create_graph=True)
    torch.testing.assert_close(slope, first, rtol=1e-12, atol=1e-12)
    (second,) = torch.autograd.grad(first.sum(), z)
    torch.testing.assert_close(bend, second, rtol=1e-11, atol=1e-12)
    if ACTIVATIONS[activation].has_frequency:
        z, value, slope, bend = 1.7 * z, value, slope / 1.7, bend / 1.7**2
    third = ACTIVATIONS[activation].third(z, value, slope, bend)
    torch.testing.assert_close(third, third_by_autograd(activation, z), rtol=1e-10, atol=1e-11)


def third_by_autograd(activation: Activation, phase: Tensor) -> Tensor:
    phase = phase.detach().requires_grad_()
    functions = ACTIVATIONS[activation]
    value = functions.value(phase)
    slope = functions.slope(phase, value)
    second = functions.second(phase, value, slope)
    if not second.requires_grad:  # constant
        return torch.zeros_like(second)
    return torch.autograd.grad(second.sum(), phase)[0]


@pytest.mark.parametrize("activation", NAMES)
def test_activation_of_lower_order_is_the_same(activation: Activation) -> None:
    z = torch.linspace(-30, 30, 401, dtype=torch.float64)
    derivatives = partial(activation_derivatives, ACTIVATIONS[activation])
    value, slope, bend = derivatives(z, 1.7, 2)
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


WEIGHTINGS = [
    pytest.param(LossWeights(value=1, gradient=0.3, laplacian=0.1, time_derivative=2), id="all"),
    pytest.param(LossWeights(value=0, laplacian=1), id="Laplacian"),
    pytest.param(LossWeights(value=0, gradient=1), id="gradient"),
    pytest.param(LossWeights(value=1, time_derivative=1), id="value and time"),
    pytest.param(LossWeights(value=1), id="value"),
]
WHOLE = 10**9


def take_step(
    network: Network,
    points: Tensor,
    weights: LossWeights,
    monkeypatch: pytest.MonkeyPatch,
    tile_numbers: int = WHOLE,
) -> Step:
    monkeypatch.setitem(inr.network.tiling.TILE_NUMBERS, "cpu", tile_numbers)
    coefficients = loss_coefficients(weights, VARIANCES, points)
    order = highest_derivative(weights)
    return loss_and_gradients(network, points, sample_targets(points), coefficients, order)


def assert_step_is_that_of_nested_autograd(
    step: Step, network: Network, points: Tensor, weights: LossWeights
) -> None:
    fields = differentiate_nested(network, points)
    loss = weighted_loss(fields, sample_targets(points), weights, VARIANCES)
    torch.testing.assert_close(step.loss, loss.detach(), rtol=1e-10, atol=0)
    references = torch.autograd.grad(loss.sum(), network.parameters, allow_unused=True)
    for mine, reference in zip(step.gradients, references, strict=True):
        # the bias of the output has no part in a loss of derivatives alone
        wanted = torch.zeros_like(mine) if reference is None else reference
        assert mine.shape == wanted.shape
        scale = max(1.0, float(wanted.abs().max()))
        assert float((mine - wanted).abs().max()) / scale < 1e-9


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize(("width", "depth", "models"), SHAPES)
def test_step_agrees_with_nested_autograd(
    activation: Activation,
    width: int,
    depth: int,
    models: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, points = network_of(activation, width, depth, models), sample_points()
    weights = LossWeights(value=1, gradient=0.3, laplacian=0.1, time_derivative=2)
    step = take_step(network, points, weights, monkeypatch)
    assert_step_is_that_of_nested_autograd(step, network, points, weights)


@pytest.mark.parametrize("weights", WEIGHTINGS)
@pytest.mark.parametrize("tile_numbers", [WHOLE, 16 * 12], ids=["one tile", "tiles"])
def test_step_of_any_weights_in_tiles(
    weights: LossWeights, tile_numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, points = network_of("gelu", width=12), sample_points(75)  # 5 points fill up a tile
    step = take_step(network, points, weights, monkeypatch, tile_numbers)
    assert_step_is_that_of_nested_autograd(step, network, points, weights)


def test_step_of_a_model_among_others_is_that_of_the_model_alone() -> None:
    together, points = network_of("sine", models=3), sample_points(20, models=3)
    generator = torch.Generator().manual_seed(5)
    coefficients = torch.rand(3, 4, generator=generator, dtype=torch.float64)
    coefficients[1, 2] = 0
    targets = sample_targets(points)
    targets.laplacian[1] = torch.nan  # has no influence: that model does not want it
    step = loss_and_gradients(together, points, targets, coefficients, 2)
    for index in range(3):
        one = Targets(*(getattr(targets, name)[index] for name in Targets.__dataclass_fields__))
        alone = loss_and_gradients(
            initialize(together.config, index, torch.float64),
            points[index],
            one,
            coefficients[index],
            2,
        )
        torch.testing.assert_close(step.loss[index], alone.loss, rtol=1e-12, atol=0)
        for mine, other in zip(step.gradients, alone.gradients, strict=True):
            torch.testing.assert_close(mine[index], other, rtol=1e-10, atol=1e-10)
            assert torch.isfinite(other).all()


def test_errors_of_a_step_are_those_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    network, points = network_of("silu"), sample_points()
    weights = LossWeights(value=1, gradient=1, laplacian=1, time_derivative=1)
    step = take_step(network, points, weights, monkeypatch)
    fields, targets = differentiate(network, points, 2), sample_targets(points)
    expected = [squared_error(fields, targets, quantity).detach() for quantity in QUANTITIES]
    torch.testing.assert_close(step.errors, torch.stack(expected))


@given(st.integers(1, 600), st.integers(1, 9), st.integers(1, 10**6))
def test_tiles_hold_all_points_in_equal_parts(width: int, models: int, count: int) -> None:
    size = tile_points(width, models, count, "cpu")
    tiles = -(-count // size)
    assert size <= count + 15
    assert tiles == 1 or size % 16 == 0
    assert tiles * size - count < size  # no tile without a point


@pytest.mark.parametrize("models", [None, 3])
def test_product_is_a_matrix_product_in_float32(models: int | None) -> None:
    generator, lead = torch.Generator().manual_seed(2), () if models is None else (models,)
    left = torch.rand(*lead, 96, 130, generator=generator)
    right = torch.rand(*lead, 200, 130, generator=generator).mT
    assert suits_onednn(left, right) == HAS_FAST_ONEDNN
    assert not suits_onednn(left.double(), right.double())
    expected = left.double() @ right.double()
    torch.testing.assert_close(product(left, right).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.gpu
def test_step_on_a_gpu_is_that_on_the_cpu() -> None:
    network, points = network_of("sine"), sample_points(100)
    coefficients = torch.ones(4, dtype=torch.float64)
    here = loss_and_gradients(network, points, sample_targets(points), coefficients, 2)
    points, coefficients = points.cuda(), coefficients.cuda()
    network = network.to("cuda")
    there = loss_and_gradients(network, points, sample_targets(points), coefficients, 2)
    for mine, other in zip(here.gradients, there.gradients, strict=True):
        torch.testing.assert_close(mine, other.cpu(), rtol=1e-9, atol=1e-9)


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
        (points,) = activate(network, layer, z, 0)


OSCILLATING = ("sine", "gaussian")
