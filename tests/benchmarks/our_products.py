"""A network's value by our matrix products, with derivatives of any order."""

from typing import Any

import torch
from torch import Tensor

from inr.network.matmul import product
from inr.network.model import Network
from tests.helpers.reference import activate, affine


class _Product(torch.autograd.Function):
    """`inr.network.matmul.product` with derivatives of any order."""

    @staticmethod
    def forward(context: Any, left: Tensor, right: Tensor) -> Tensor:
        context.save_for_backward(left, right)
        return product(left, right)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        left, right = context.saved_tensors
        return _Product.apply(gradient, right.mT), _Product.apply(left.mT, gradient)


def value_by_our_products(network: Network, points: Tensor) -> Tensor:
    hidden = points
    for layer in range(network.config.depth):
        z = _Product.apply(hidden, network.weights[layer].mT) + network.biases[layer]
        (hidden,) = activate(network, layer, z, 0)
    return affine(hidden, network.weights[-1], network.biases[-1])
