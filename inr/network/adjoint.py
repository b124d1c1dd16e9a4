r"""Loss and parameter gradients of one training step, in adjoint form, without a graph.

With the frequency multiplied into the weights, a_l = f(z_l) and z_{l+1} = W_{l+1} a_l + b_{l+1}.
Four passes over the hidden layers; primes are derivatives of f at z_l, dots are derivatives along
x and y, e_l = |zdot_l|^2, and bars are derivatives of the loss:

.. math::
    \text{1 up:}   && p_l &= f' \dot z_l, \quad \dot z_{l+1} = W_{l+1} p_l \\
    \text{2 down:} && q_l &= \lambda_l f', \quad \lambda_{l-1} = W_l^T q_l, \quad
                      \nabla u = W_1^T q_1, \quad
                      v = \Delta u = \sum_l \langle\lambda_l, f'' e_l\rangle \\
    \text{3 up:}   && \bar\lambda_l &= \bar q_l f' + \bar v f'' e_l, \quad
                      \bar q_{l+1} = W_{l+1} \bar\lambda_l \\
    \text{4 down:} && \bar z_l &= \bar a_l f' + f'' (\bar p_l \cdot \dot z_l + \bar q_l \lambda_l)
                      + \bar v \lambda_l f''' e_l \\
                   && \bar{\dot z}_l &= \bar p_l f' + 2 \bar v \lambda_l f'' \dot z_l, \quad
                      (\bar a, \bar p)_{l-1} = W_l^T (\bar z, \bar{\dot z})_l \\
                   && \bar W_l &= \bar z_l a_{l-1}^T + \bar{\dot z}_l p_{l-1}^T
                      + q_l \bar\lambda_{l-1}^T

In products of (width x width) by (width x points) per pair of hidden layers: 3 + 1 + 1 + 3, and 4
for the weights, 12 in all; 6 without the Laplacian, 3 for the value alone. Automatic
differentiation of the first two passes costs as much; here nothing is kept that can be had from z,
f and f', and the points come in tiles that stay in the processor's cache: forward and backward for
one tile, then the next. The gradients of the tiles add up to those of the whole batch, and memory
does not grow with the number of points.

All arrays are [*model, unit, point], points last: no product then needs a transposed copy.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from inr.config import Activation as Name
from inr.config import ModelConfig
from inr.memory import CPU_TILE_NUMBERS, GPU_TILE_BYTES, TILE_ARRAYS
from inr.network.activations import ACTIVATIONS, Activation
from inr.network.matmul import product
from inr.network.model import Parameters

# Numbers in one [unit, point] array of a tile on a CPU, where a layer's should stay in the cache
# (1 MB each; not a power of two, whose strides share cache lines).
TILE_NUMBERS = CPU_TILE_NUMBERS
TILE_MULTIPLE = 16  # points: whole vector registers

Names = tuple[Name, ...]  # the activation of each hidden layer


class Tile(NamedTuple):
    """Points of one tile, and what is wanted there. Rows: value, d/dx, d/dy, d/dtau, Laplacian.

    NaN where nothing is wanted, as at points that only fill up the last tile.
    """

    points: Tensor  # [*model, 3, point]
    targets: Tensor  # [*model, row, point]; 1, 4 or 5 rows for order 0, 1 or 2


class Layer(NamedTuple):
    """What the first pass keeps of a hidden layer, [*model, unit, point]."""

    phase: Tensor  # z
    value: Tensor  # f(z)
    slope: Tensor  # f'(z)
    tangents: Tensor  # dz/dx and dz/dy, [*model, unit, 2, point or 1]
    outputs: Tensor  # f and the tangents of f side by side, as the next layer took them


class Adjoint(NamedTuple):
    """What the second and third pass keep of a hidden layer, [*model, unit, point]."""

    adjoint: Tensor  # lambda; the same at every point of the last layer
    pulled: Tensor  # q = lambda f'
    bend: Tensor  # lambda f''
    speed: Tensor | None  # |zdot|^2; None without the Laplacian


class Passes(NamedTuple):
    """The first pass, and the other three; as written here, or compiled.

    They are two functions because what passes between them is then computed once: a compiler
    that sees both would compute sines again instead of reading them.
    """

    first: Callable[[Parameters, Tensor, Names, int], tuple[list[Layer], Tensor]]
    others: Callable[[Parameters, Tile, Tensor, list[Layer], Tensor, Names, int], list[Tensor]]


def tile_points(config: ModelConfig, models: int, count: int, device_type: str) -> int:
    """Points in a tile: all tiles have one size, so that one compiled function serves them.

    A GPU wants much work at once: its tiles are bounded by the memory of all layers.
    """
    numbers = TILE_NUMBERS
    if device_type != "cpu":
        numbers = GPU_TILE_BYTES // (4 * TILE_ARRAYS * config.depth)
    most = max(numbers // (config.width * config.sines * models), 1)
    tiles = -(-count // most)
    if tiles == 1:
        return count
    even = -(-count // tiles)
    return -(-even // TILE_MULTIPLE) * TILE_MULTIPLE


def first_pass(
    parameters: Parameters, points: Tensor, names: Names, order: int
) -> tuple[list[Layer], Tensor]:
    """Hidden layers from the input up, and the network's value, [*model, 1, point]."""
    weights, _, biases = parameters
    last = len(weights) - 2
    layers: list[Layer] = []
    phase = torch.matmul(weights[0], points) + biases[0]
    tangents = weights[0][..., :2].unsqueeze(-1)  # the same at every point
    for index, name in enumerate(names):
        activation = ACTIVATIONS[name]
        value = activation.value(phase)
        slope = activation.slope(phase, value)
        outputs = value
        if order == 2 and index < last:
            outputs = _side_by_side(value, *(slope * each for each in tangents.unbind(-2)))
        layers.append(Layer(phase, value, slope, tangents, outputs))
        if index < last:
            following = product(weights[index + 1], outputs)
            if order == 2:
                following = following.unflatten(-1, (3, -1))
                tangents, following = following[..., 1:, :], following[..., 0, :]
            phase = following + biases[index + 1]
    return layers, torch.matmul(weights[-1], layers[-1].value) + biases[-1]


def other_passes(
    parameters: Parameters,
    tile: Tile,
    scale: Tensor,
    layers: list[Layer],
    value: Tensor,
    names: Names,
    order: int,
) -> list[Tensor]:
    """Sums over the points of one tile, from what `first_pass` found.

    Squared errors [*model, row], then the gradients in the order of `Network.parameters`.

    ``scale`` [*model, row, 1] is the derivative of the loss by half of each squared error. Rows of
    scale 0 have no influence, whatever their targets.
    """
    activations = [ACTIVATIONS[name] for name in names]
    kept, derivatives = second_pass(parameters, activations, layers, order) if order else ([], [])
    error = torch.cat([value, *derivatives], dim=-2) - tile.targets
    error = torch.where(tile.targets.isnan(), 0.0, error)
    squares = error.square().sum(-1)
    # not a product alone: 0 times a broken target would be NaN
    cotangent = torch.where(scale > 0, scale * error, 0.0)
    partial: list[Tensor] = []
    gradients: dict[int, Tensor] = {}  # of the weights, by layer
    if order:
        partial, gradients = _third_pass(parameters, activations, layers, kept, cotangent)
    biases = _fourth_pass(
        parameters, activations, tile.points, layers, kept, partial, cotangent, gradients
    )
    return [squares, *(gradients[layer] for layer in range(len(biases))), *biases]


def second_pass(
    parameters: Parameters, activations: list[Activation], layers: list[Layer], order: int
) -> tuple[list[Adjoint], list[Tensor]]:
    """Adjoints from the output down; gradient [*model, 3, point] and, of order 2, Laplacian."""
    adjoint = parameters.transposed[-1]  # the same at every point
    kept: list[Adjoint] = []
    laplacian: list[Tensor] = []
    for index in reversed(range(len(layers))):
        layer = layers[index]
        pulled = adjoint * layer.slope
        bend = adjoint * activations[index].second(layer.phase, layer.value, layer.slope)
        speed: Tensor | None = None
        if order == 2:
            along_x, along_y = layer.tangents.unbind(-2)
            speed = torch.addcmul(along_x * along_x, along_y, along_y)
            term = (bend * speed).sum(-2, keepdim=True)
            laplacian = [laplacian[0] + term if laplacian else term]
        kept.append(Adjoint(adjoint, pulled, bend, speed))
        if index:
            adjoint = product(parameters.transposed[index], pulled)
    gradient = torch.matmul(parameters.transposed[0], kept[-1].pulled)
    return kept[::-1], [gradient, *laplacian]


def _third_pass(
    parameters: Parameters,
    activations: list[Activation],
    layers: list[Layer],
    kept: list[Adjoint],
    cotangent: Tensor,
) -> tuple[list[Tensor], dict[int, Tensor]]:
    """What the adjoints add to the derivatives by z, and to those by the weights, by layer."""
    by_gradient, by_laplacian = cotangent[..., 1:4, :], cotangent[..., 4:, :]
    gradients = {0: torch.matmul(kept[0].pulled, by_gradient.mT)}
    by_pulled = torch.matmul(parameters.weights[0], by_gradient)
    partial: list[Tensor] = []
    last = len(layers) - 1
    for index, (layer, (adjoint, _, bend, speed)) in enumerate(zip(layers, kept, strict=True)):
        by_phase, by_adjoint = by_pulled * bend, by_pulled * layer.slope
        if speed is not None:
            second = activations[index].second(layer.phase, layer.value, layer.slope)
            third = activations[index].third(layer.phase, layer.value, layer.slope, second)
            energy = by_laplacian * speed
            by_phase = torch.addcmul(by_phase, energy, adjoint * third)
            by_adjoint = torch.addcmul(by_adjoint, energy, second)
        partial.append(by_phase)
        if index < last:
            gradients[index + 1] = product(kept[index + 1].pulled, by_adjoint.mT)
            by_pulled = product(parameters.weights[index + 1], by_adjoint)
    gradients[len(layers)] = by_adjoint.sum(-1).unsqueeze(-2)
    return partial, gradients


def _fourth_pass(
    parameters: Parameters,
    activations: list[Activation],
    points: Tensor,
    layers: list[Layer],
    kept: list[Adjoint],
    partial: list[Tensor],
    cotangent: Tensor,
    gradients: dict[int, Tensor],
) -> list[Tensor]:
    """Ordinary back-propagation of value and tangents; adds to the gradients, returns biases'."""
    by_value = cotangent[..., :1, :]
    biases = [by_value.sum(-1)]
    _add(gradients, len(layers), torch.matmul(by_value, layers[-1].value.mT))
    by_output = parameters.transposed[-1] * by_value
    by_tangents: tuple[Tensor, ...] = ()  # of f; the output has none
    for index in reversed(range(len(layers))):
        layer = layers[index]
        by_phase = by_output * layer.slope
        if partial:
            by_phase = by_phase + partial[index]
        rows: list[Tensor] = []
        if kept and kept[index].speed is not None:
            if by_tangents:
                second = activations[index].second(layer.phase, layer.value, layer.slope)
                along_x, along_y = layer.tangents.unbind(-2)
                inner = torch.addcmul(by_tangents[0] * along_x, by_tangents[1], along_y)
                by_phase = torch.addcmul(by_phase, second, inner)
            bent = kept[index].bend * (2 * cotangent[..., 4:, :])
            rows = [bent * each for each in layer.tangents.unbind(-2)]
            for axis, by_tangent in enumerate(by_tangents):
                rows[axis] = torch.addcmul(rows[axis], by_tangent, layer.slope)
        biases.append(by_phase.sum(-1))
        if index == 0:
            _add(gradients, 0, torch.matmul(by_phase, points.mT))
            if rows:  # the tangents of the first layer are its weights
                sums = [*(row.sum(-1) for row in rows), torch.zeros_like(rows[0][..., 0])]
                _add(gradients, 0, torch.stack(sums, dim=-1))
            break
        stacked = _side_by_side(by_phase, *rows)
        _add(gradients, index, product(stacked, layers[index - 1].outputs.mT))
        below = product(parameters.transposed[index], stacked)
        by_output, *by_tangents_below = below.unflatten(-1, (1 + len(rows), -1)).unbind(-2)
        by_tangents = tuple(by_tangents_below)
    return biases[::-1]


def _add(gradients: dict[int, Tensor], index: int, term: Tensor) -> None:
    gradients[index] = gradients[index] + term if index in gradients else term


def _side_by_side(*parts: Tensor) -> Tensor:
    """[*model, unit, point] each -> [*model, unit, part x point]: one product instead of three."""
    return parts[0] if len(parts) == 1 else torch.stack(parts, dim=-2).flatten(-2)


EAGER = Passes(first_pass, other_passes)
