"""Each weighting trains exactly the terms that it names."""

from itertools import product

import pytest
import torch

from inr.config import LossWeights, ModelConfig
from inr.network.model import initialize
from inr.quantities import QUANTITIES
from tests.helpers.reference import Targets, differentiate, squared_error, weighted_loss

VARIANCES = {"value": 2.0, "gradient": 3.0, "laplacian": 5.0, "time_derivative": 7.0}
NETWORK = initialize(ModelConfig(width=8, depth=2), 0, torch.float64)
POINTS = torch.rand(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGETS = Targets(
    value=POINTS[:, 0],
    gradient=POINTS[:, :2] * 3,
    laplacian=POINTS[:, 1] - 4,
    time_derivative=POINTS[:, 2] ** 2,
)
WEIGHTINGS = [w for w in product((0.0, 0.5), repeat=4) if any(w)]


def gradients(weights: LossWeights, variances: dict[str, float]) -> list[torch.Tensor]:
    fields = differentiate(NETWORK, POINTS, weights.highest_derivative)
    loss = weighted_loss(fields, TARGETS, weights, variances)
    found = torch.autograd.grad(loss, NETWORK.parameters, allow_unused=True)
    pairs = zip(found, NETWORK.parameters, strict=True)
    return [torch.zeros_like(p) if g is None else g for g, p in pairs]


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=str)
def test_gradient_is_the_weighted_sum_of_the_named_terms(weighting: tuple[float, ...]) -> None:
    together = gradients(LossWeights.model_validate(weighting), VARIANCES)
    expected = [torch.zeros_like(parameter) for parameter in NETWORK.parameters]
    for index, weight in enumerate(weighting):
        if weight:
            single = [0.0] * 4
            single[index] = 1.0
            alone = gradients(LossWeights.model_validate(single), VARIANCES)
            expected = [total + weight * part for total, part in zip(expected, alone, strict=True)]
    for actual, wanted in zip(together, expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_single_term_trains_the_weights(quantity: str) -> None:
    """In particular the Laplacian alone: a loss without a graph would give exactly 0."""
    weights = LossWeights.model_validate(dict.fromkeys(QUANTITIES, 0.0) | {quantity: 1.0})
    for gradient in gradients(weights, VARIANCES)[: len(NETWORK.weights)]:
        assert float(gradient.abs().max()) > 1e-6


def test_a_term_of_weight_zero_cannot_spoil_the_loss() -> None:
    broken = Targets(
        TARGETS.value, TARGETS.gradient, TARGETS.laplacian * torch.nan, TARGETS.time_derivative
    )
    fields = differentiate(NETWORK, POINTS, 2)
    weights = LossWeights(value=1, gradient=1, time_derivative=1)
    assert torch.isfinite(weighted_loss(fields, broken, weights, VARIANCES))


def test_loss_in_numbers() -> None:
    fields = differentiate(NETWORK, POINTS, 2)
    weights = LossWeights(value=2, gradient=0.5, laplacian=1, time_derivative=3)
    gradient_error = (fields.gradient[:, :2] - TARGETS.gradient).pow(2)
    expected = (
        2 * (fields.value - TARGETS.value).pow(2).mean() / 2
        + 0.5 * (gradient_error[:, 0] + gradient_error[:, 1]).mean() / 3
        + (fields.laplacian - TARGETS.laplacian).pow(2).mean() / 5
        + 3 * (fields.gradient[:, 2] - TARGETS.time_derivative).pow(2).mean() / 7
    )
    torch.testing.assert_close(weighted_loss(fields, TARGETS, weights, VARIANCES), expected)


@pytest.mark.parametrize(
    ("weights", "order"),
    [((1, 0, 0, 0), 0), ((0, 1, 0, 0), 1), ((1, 0, 0, 0.1), 1), ((0, 0, 1, 0), 2)],
    ids=str,
)
def test_order_is_the_lowest_that_serves(weights: tuple[float, ...], order: int) -> None:
    assert LossWeights.model_validate(weights).highest_derivative == order


@pytest.mark.parametrize("quantity", ["gradient", "laplacian", "time_derivative"])
def test_asking_for_what_was_not_computed_is_an_error(quantity: str) -> None:
    with pytest.raises(ValueError, match="not computed"):
        squared_error(differentiate(NETWORK, POINTS, 0), TARGETS, quantity)
