r"""Value, gradient and Laplacian of a coordinate network, exactly, in one differentiable pass.

With a_l = sigma(z_l) and z_{l+1} = W_{l+1} a_l + b_{l+1}, tangents along x and y and adjoints are

.. math:: \dot z_{1,i} = W_1[:, i], \quad \dot z_{l+1,i} = W_{l+1} (\sigma'(z_l) \dot z_{l,i}),
          \qquad \lambda_L = w_{out}, \quad \lambda_{l-1} = W_l^T (\lambda_l \sigma'(z_l))

and then

.. math:: \nabla u = W_1^T (\lambda_1 \sigma'(z_1)), \qquad
          \Delta u = \sum_l \langle \lambda_l,
                     \sigma''(z_l) (\dot z_{l,x}^2 + \dot z_{l,y}^2) \rangle .

In units of one (points x width x width) product per pair of hidden layers this costs 4 forward
and 12 for a training step; first derivatives alone 2 and 6, the value alone 1 and 3. It needs one
ordinary backward pass, no nested differentiation.

Training and evaluation do the same without a graph (`inr.adjoint`); this is the form to
differentiate through, for experiments and as what the other is tested against.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from inr.model import Network, affine


@dataclass(frozen=True)
class NetworkFields:
    """A network and its derivatives at points; what was not asked for is None.

    Attributes:
        value: [*model, point].
        gradient: d/dx, d/dy, d/dtime, [*model, point, 3].
        laplacian: second derivatives along x and y, summed, [*model, point].
    """

    value: Tensor
    gradient: Tensor | None = None
    laplacian: Tensor | None = None


def differentiate(
    network: Network, points: Float[Tensor, "*model point 3"], order: int
) -> NetworkFields:
    """Value (order 0), with gradient (order 1), with Laplacian (order 2).

    Args:
        network: one model, or several along a leading axis.
        points: (x, y, time); without a model axis they are shared by all models.
        order: highest derivative needed; lower orders skip the work of higher ones.
    """
    if order == 0:
        return NetworkFields(_value(network, points))
    depth = network.config.depth
    slopes: list[Tensor] = []  # sigma'(z_l)
    bends: list[Tensor] = []  # sigma''(z_l) (zdot_x^2 + zdot_y^2)
    z = affine(points, network.weights[0], network.biases[0])
    # tangents of the first layer are the same at every point: [*model, 1, width] for x and y
    tangents = [network.weights[0][..., None, :, axis] for axis in (0, 1)]
    for layer in range(depth):
        activated, slope, *curvature = network.activate(layer, z, order)
        slopes.append(slope)
        if curvature:
            bends.append(curvature[0] * (tangents[0] ** 2 + tangents[1] ** 2))
        if layer == depth - 1:
            break
        weight, bias = network.weights[layer + 1], network.biases[layer + 1]
        if order == 1:
            z = affine(activated, weight, bias)
            continue
        # value and tangents share a weight: one tall product
        rows = torch.cat([activated, slope * tangents[0], slope * tangents[1]], dim=-2)
        z, *tangents = torch.matmul(rows, weight.mT).chunk(3, dim=-2)
        z = z + bias.unsqueeze(-2)
    value = affine(activated, network.weights[-1], network.biases[-1]).squeeze(-1)
    gradient, laplacian = _adjoint_pass(network, slopes, bends)
    return NetworkFields(value, gradient, laplacian)


def _value(network: Network, points: Tensor) -> Tensor:
    activated = points
    for layer in range(network.config.depth):
        z = affine(activated, network.weights[layer], network.biases[layer])
        (activated,) = network.activate(layer, z, 0)
    return affine(activated, network.weights[-1], network.biases[-1]).squeeze(-1)


def _adjoint_pass(
    network: Network, slopes: list[Tensor], bends: list[Tensor]
) -> tuple[Tensor, Tensor | None]:
    """Gradient, and Laplacian when there are second-order terms, from the last layer back."""
    adjoint = network.weights[-1]  # w_out as [*model, 1, width], the same at every point
    laplacian: Tensor | None = None
    for layer in reversed(range(len(slopes))):
        if bends:
            term = (adjoint * bends[layer]).sum(-1)
            laplacian = term if laplacian is None else laplacian + term
        adjoint = torch.matmul(adjoint * slopes[layer], network.weights[layer])
    return adjoint, laplacian
