r"""The training objective: a weighted sum of mean squared errors of value and derivatives.

.. math:: L = \sum_Q w_Q \, \mathrm{MSE}_Q / \mathrm{var}_Q

over the four quantities Q, with var_Q the variance of that target over the whole sequence (or 1
in the raw form). Squares of the gradient are summed over its two components before the mean.

Training computes it by hand (`inr.step`); `weighted_loss` is the plain, differentiable form that
tests and benchmarks compare it with, and that experiments can build on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from inr.config import LossWeights
from inr.derivatives import NetworkFields
from inr.results import QUANTITIES, Quantity


@dataclass(frozen=True)
class Targets:
    """Exact fields at the points of a batch.

    Attributes:
        value, laplacian, time_derivative: [*model, point].
        gradient: d/dx, d/dy, [*model, point, 2].
    """

    value: Tensor
    gradient: Tensor
    laplacian: Tensor
    time_derivative: Tensor


def weighted_loss(
    fields: NetworkFields,
    targets: Targets,
    weights: LossWeights,
    variances: Mapping[Quantity, float],
) -> Float[Tensor, "*model"]:
    """The objective, one number a model. Terms of weight 0 take no part in it at all."""
    terms = [
        weight / variances[quantity] * squared_error(fields, targets, quantity)
        for quantity, weight in zip(QUANTITIES, weights.as_tuple(), strict=True)
        if weight
    ]
    return sum(terms[1:], start=terms[0])


def squared_error(
    fields: NetworkFields, targets: Targets, quantity: Quantity
) -> Float[Tensor, "*model"]:
    """Mean squared error of one quantity over the points of a batch.

    Raises `ValueError` if ``fields`` was computed without the order that the quantity needs.
    """
    if quantity == "value":
        return ((fields.value - targets.value) ** 2).mean(-1)
    if quantity == "laplacian":
        if fields.laplacian is None:
            raise ValueError("the Laplacian was not computed: differentiate with order 2")
        return ((fields.laplacian - targets.laplacian) ** 2).mean(-1)
    if fields.gradient is None:
        raise ValueError(f"the {quantity} was not computed: differentiate with order 1 or 2")
    if quantity == "gradient":
        return ((fields.gradient[..., :2] - targets.gradient) ** 2).sum(-1).mean(-1)
    return ((fields.gradient[..., 2] - targets.time_derivative) ** 2).mean(-1)
