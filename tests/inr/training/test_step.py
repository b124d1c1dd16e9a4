"""Loss and gradients of a step, against nested automatic differentiation."""

import pytest
import torch
from torch import Tensor

import inr.network.adjoint
from inr.config import Activation, FirstLayer, LossWeights, ModelConfig
from inr.network.model import Network, initialize
from inr.quantities import QUANTITIES
from inr.training.balancing import loss_coefficients
from inr.training.step import Step, loss_and_gradients
from tests.helpers.networks import (
    FIRST_LAYERS,
    NAMES,
    SHAPES,
    VARIANCES,
    network_of,
    sample_points,
    sample_targets,
)
from tests.helpers.reference import (
    differentiate,
    differentiate_nested,
    initialize_together,
    join,
    squared_error,
    weighted_loss,
)

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
    monkeypatch.setattr(inr.network.adjoint, "TILE_NUMBERS", tile_numbers)
    coefficients = loss_coefficients(weights, VARIANCES, points)
    order = weights.highest_derivative
    return loss_and_gradients(network, join(points, sample_targets(points)), coefficients, order)


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


@pytest.mark.parametrize("activation", ["sine", "tanh"])
@pytest.mark.parametrize("first_layer", FIRST_LAYERS)
def test_step_with_another_first_layer(
    first_layer: FirstLayer, activation: Activation, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ModelConfig(
        activation=activation, first_layer=first_layer, width=11, depth=3, omega_first=6.0
    )
    network, points = initialize(config, 7, torch.float64), sample_points()
    for parameter in network.parameters:
        parameter.requires_grad_()  # also what is fixed
    weights = LossWeights(value=1, gradient=0.3, laplacian=0.1, time_derivative=2)
    step = take_step(network, points, weights, monkeypatch)
    assert_step_is_that_of_nested_autograd(step, network, points, weights)


@pytest.mark.parametrize(("width", "depth", "models"), SHAPES)
def test_step_with_sums_of_sines(
    width: int, depth: int, models: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ModelConfig(sines=3, width=width, depth=depth, omega_first=6.0, omega_hidden=4.0)
    seeds = range(models or 1)
    network = initialize_together(config, seeds, torch.float64)
    if models is None:
        network = initialize(config, 0, torch.float64)
    weights = LossWeights(value=1, gradient=0.3, laplacian=0.1, time_derivative=2)
    step = take_step(network, points := sample_points(), weights, monkeypatch)
    assert len(step.gradients) == 3 * depth + 2
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
    targets.laplacian[1] = torch.inf  # has no influence: that model does not want it
    samples = join(points, targets)
    step = loss_and_gradients(together, samples, coefficients, 2)
    for index in range(3):
        alone = loss_and_gradients(
            initialize(together.config, index, torch.float64),
            samples[index],
            coefficients[index],
            2,
        )
        torch.testing.assert_close(step.loss[index], alone.loss, rtol=1e-12, atol=0)
        for mine, other in zip(step.gradients, alone.gradients, strict=True):
            torch.testing.assert_close(mine[index], other, rtol=1e-10, atol=1e-10)
            assert torch.isfinite(other).all()


@pytest.mark.parametrize("tile_numbers", [WHOLE, 16 * 12], ids=["one tile", "tiles"])
def test_where_nan_is_wanted_nothing_is_trained(
    tile_numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors are 0 there, and means go over all points."""
    monkeypatch.setattr(inr.network.adjoint, "TILE_NUMBERS", tile_numbers)
    network, points = network_of("tanh", width=12), sample_points(75)
    targets, known = sample_targets(points), points[:, 0] > 0.3
    weights = LossWeights(value=1, gradient=0.3, laplacian=0.1, time_derivative=2)
    coefficients = loss_coefficients(weights, VARIANCES, points)
    partly = targets._replace(value=targets.value.where(known, torch.nan))
    step = loss_and_gradients(network, join(points, partly), coefficients, 2)
    fields = differentiate_nested(network, points)
    own = targets._replace(value=targets.value.where(known, fields.value))
    loss = weighted_loss(fields, own, weights, VARIANCES)
    torch.testing.assert_close(step.loss, loss.detach(), rtol=1e-10, atol=0)
    wanted = torch.autograd.grad(loss, network.parameters)
    for mine, reference in zip(step.gradients, wanted, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("broken", [torch.inf, -torch.inf])
def test_an_infinite_target_of_a_trained_term_shows(broken: float) -> None:
    network, points = network_of("sine"), sample_points()
    targets = sample_targets(points)
    targets.value[3] = broken
    ones = torch.ones(4, dtype=torch.float64)
    assert not torch.isfinite(loss_and_gradients(network, join(points, targets), ones, 2).loss)


def test_errors_of_a_step_are_those_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    network, points = network_of("silu"), sample_points()
    weights = LossWeights(value=1, gradient=1, laplacian=1, time_derivative=1)
    step = take_step(network, points, weights, monkeypatch)
    fields, targets = differentiate(network, points, 2), sample_targets(points)
    expected = [squared_error(fields, targets, quantity).detach() for quantity in QUANTITIES]
    torch.testing.assert_close(step.errors, torch.stack(expected))
