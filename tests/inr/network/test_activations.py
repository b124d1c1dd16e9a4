"""Derivatives of the activations, against automatic differentiation, and initial weights."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from inr.config import Activation, ModelConfig
from inr.network.activations import ACTIVATIONS
from inr.network.model import initialize
from tests.helpers.networks import NAMES, sample_points
from tests.helpers.reference import activate, activation_derivatives


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
def test_initial_signal_neither_dies_nor_explodes(activation: Activation) -> None:
    config = ModelConfig(activation=activation, width=256, depth=5)
    network = initialize(config, 0, torch.float64)
    points = sample_points(512)
    for layer in range(config.depth):
        z = (points @ network.weights[layer].T + network.biases[layer]).detach()
        if layer:
            spread = float(z.std()) * (
                config.omega_hidden if ACTIVATIONS[activation].has_frequency else 1
            )
            assert 0.1 < spread < 10, (layer, spread)
        (points,) = activate(network, layer, z, 0)


@pytest.mark.parametrize(
    "activation", ["softplus", "gelu", "silu", "gaussian", "sinc", "hosc", "wire"]
)
def test_initial_weights_follow_the_variance_of_the_activation(activation: Activation) -> None:
    points, weights = np.polynomial.hermite_e.hermegauss(120)  # of a unit normal
    values = ACTIVATIONS[activation].value(torch.from_numpy(points)).numpy()
    variance = np.cov(values, aweights=weights, ddof=0)
    omega = 30.0 if ACTIVATIONS[activation].has_frequency else 1.0
    bound = ACTIVATIONS[activation].bound(100, 100, omega, False)
    assert bound == pytest.approx(np.sqrt(3 / (100 * variance)) / omega, rel=0.005)
