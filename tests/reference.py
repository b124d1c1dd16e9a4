"""Plain forms of what the product does by hand: what tests and benchmarks compare it with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from inr.config import LossWeights
from inr.derivatives import NetworkFields, differentiate
from inr.losses import Targets
from inr.model import Network
from inr.results import QUANTITIES, Quantity


def differentiate_nested(
    network: Network, points: Float[Tensor, "*model point 3"]
) -> NetworkFields:
    """Value, gradient and Laplacian by nested automatic differentiation: slow and obvious."""
    if network.weights[0].ndim == 3 and points.ndim == 2:
        points = points.expand(len(network.weights[0]), *points.shape)
    points = points.detach().clone().requires_grad_()
    value = differentiate(network, points, 0).value
    (gradient,) = torch.autograd.grad(value.sum(), points, create_graph=True)
    laplacian = torch.zeros_like(value)
    for axis in (0, 1):
        (second,) = torch.autograd.grad(gradient[..., axis].sum(), points, create_graph=True)
        laplacian = laplacian + second[..., axis]
    return NetworkFields(value, gradient, laplacian)


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
