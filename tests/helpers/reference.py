"""Plain forms of what the product does by hand: what tests and benchmarks compare it with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from inr.config import LossWeights, ModelConfig
from inr.network.activations import ACTIVATIONS, Activation
from inr.network.model import Network, initialize, stack_networks
from inr.quantities import QUANTITIES, Quantity


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
    r"""Value (order 0), with gradient (order 1), with Laplacian (order 2).

    To differentiate through. With a_l = sigma(z_l) and z_{l+1} = W_{l+1} a_l + b_{l+1}, tangents
    along x and y and adjoints are

    .. math:: \dot z_{1,i} = W_1[:, i], \quad \dot z_{l+1,i} = W_{l+1} (\sigma'(z_l) \dot z_{l,i}),
              \qquad \lambda_L = w_{out}, \quad \lambda_{l-1} = W_l^T (\lambda_l \sigma'(z_l))

    and then

    .. math:: \nabla u = W_1^T (\lambda_1 \sigma'(z_1)), \qquad
              \Delta u = \sum_l \langle \lambda_l,
                         \sigma''(z_l) (\dot z_{l,x}^2 + \dot z_{l,y}^2) \rangle .

    In units of one (points x width x width) product per pair of hidden layers this costs 4 forward
    and 12 for a training step; first derivatives alone 2 and 6, the value alone 1 and 3. It needs
    one ordinary backward pass, no nested differentiation.

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
        activated, slope, *curvature = activate(network, layer, z, order)
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
        (activated,) = activate(network, layer, z, 0)
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


def initialize_together(
    config: ModelConfig,
    seeds: Sequence[int],
    dtype: torch.dtype = torch.float32,
    input_scales: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Network:
    """Random networks, one a seed, along a leading axis; leaves of the graph."""
    together = stack_networks([initialize(config, seed, dtype, input_scales) for seed in seeds])
    for parameter in together.parameters:
        parameter.requires_grad_()
    return together


def activate(network: Network, layer: int, z: Tensor, order: int) -> tuple[Tensor, ...]:
    """Activation of hidden layer ``layer`` and its first ``order`` derivatives at z."""
    if network.sines:
        return sum_of_sines(network.sines[layer], z, network.config.omega(layer), order)
    activation = ACTIVATIONS[network.config.activations[layer]]
    return activation_derivatives(activation, z, network.config.omega(layer), order)


def sum_of_sines(terms: Tensor, z: Tensor, omega: float, order: int) -> tuple[Tensor, ...]:
    """Sum of c sin(omega r z + phi), and ``order`` derivatives; ``terms`` [*model, 3, sine]."""
    amplitude, rate, shift = (each[..., None, None, :] for each in terms.unbind(-2))
    phase = omega * rate * z[..., None] + shift
    derivatives = (phase.sin(), omega * rate * phase.cos(), -((omega * rate) ** 2) * phase.sin())
    return tuple((amplitude * each).sum(-1) for each in derivatives[: order + 1])


def activation_derivatives(
    activation: Activation, z: Tensor, omega: float, order: int
) -> tuple[Tensor, ...]:
    """The value of sigma and its first ``order`` (0, 1 or 2) derivatives with respect to z."""
    phase = omega * z if activation.has_frequency else z
    value = activation.value(phase)
    if order == 0:
        return (value,)
    found = [activation.slope(phase, value)]
    if order == 2:
        found.append(activation.second(phase, value, found[0]))
    if activation.has_frequency:
        found = [omega**power * each for power, each in enumerate(found, start=1)]
    return (value, *found)


def affine(
    rows: Float[Tensor, "*model_in row fan_in"],
    weight: Float[Tensor, "*model fan_out fan_in"],
    bias: Float[Tensor, "*model fan_out"],
) -> Float[Tensor, "*model_out row fan_out"]:
    """``rows @ weight^T + bias``; rows without a model axis are shared by all models."""
    if weight.ndim == 2:
        return torch.nn.functional.linear(rows, weight, bias)
    return torch.matmul(rows, weight.mT) + bias.unsqueeze(-2)


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


class Targets(NamedTuple):
    """Wanted fields at the points of a batch, [*model, point]."""

    value: Tensor
    gradient: Tensor  # d/dx, d/dy, [*model, point, 2]
    laplacian: Tensor
    time_derivative: Tensor


def join(points: Tensor, targets: Targets) -> Tensor:
    """Samples as `inr.training.batches.sequence_samples` gives them."""
    value, gradient, laplacian, time = targets
    columns = [value[..., None], gradient, time[..., None], laplacian[..., None]]
    return torch.cat([points, *columns], dim=-1)


def split(samples: Tensor) -> tuple[Tensor, Targets]:
    """Points and targets of samples."""
    points, value, gradient, time, laplacian = samples.split([3, 1, 2, 1, 1], dim=-1)
    return points, Targets(value[..., 0], gradient, laplacian[..., 0], time[..., 0])


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
