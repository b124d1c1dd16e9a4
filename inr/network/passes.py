"""What goes into the passes of `inr.network.adjoint`, between them, and out of them.

Points come in tiles that stay in the cache; the parameters are shared by every tile of a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from inr.config import Activation as Name
from inr.network.activations import ACTIVATIONS
from inr.network.model import Network

# Numbers in one [unit, point] array of a tile; a layer has about ten such arrays. On a CPU they
# should stay in the cache (1 MB each; not a power of two, whose strides share cache lines); a GPU
# wants much work at once and has the memory.
TILE_NUMBERS = {"cpu": 240_000, "cuda": 2**24}
TILE_MULTIPLE = 16  # points: whole vector registers


class Parameters(NamedTuple):
    """A network with the frequencies multiplied in, layer by layer; the last is linear."""

    weights: list[Tensor]  # [*model, fan_out, fan_in]
    transposed: list[Tensor]  # and contiguous
    biases: list[Tensor]  # [*model, fan_out, 1]


class Tile(NamedTuple):
    """Points of one tile, and what is wanted there. Rows: value, d/dx, d/dy, d/dtau, Laplacian."""

    points: Tensor  # [*model, 3, point]
    targets: Tensor  # [*model, row, point]; 1, 4 or 5 rows for order 0, 1 or 2
    mask: Tensor  # [1, point], 1, or 0 for points that only fill up the last tile


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


class Gradients(NamedTuple):
    """Sums over the points of a tile: gradients of the shapes in `Parameters`."""

    squares: Tensor  # squared errors, [*model, row]
    weights: list[Tensor]
    biases: list[Tensor]


class Passes(NamedTuple):
    """The first pass, and the other three; as written here, or compiled.

    They are two functions because what passes between them is then computed once: a compiler
    that sees both would compute sines again instead of reading them.
    """

    first: Callable[[Parameters, Tensor, Name, int], tuple[list[Layer], Tensor]]
    others: Callable[[Parameters, Tile, Tensor, list[Layer], Tensor, Name, int], Gradients]


def tile_points(width: int, models: int, count: int, device_type: str) -> int:
    """Points in a tile: all tiles have one size, so that one compiled function serves them."""
    most = max(TILE_NUMBERS.get(device_type, TILE_NUMBERS["cuda"]) // (width * models), 1)
    tiles = -(-count // most)
    if tiles == 1:
        return count
    even = -(-count // tiles)
    return -(-even // TILE_MULTIPLE) * TILE_MULTIPLE


def fold_frequencies(network: Network) -> tuple[Parameters, list[float]]:
    """The equivalent network without frequencies, and what was multiplied into each layer."""
    frequencies = [1.0] * len(network.weights)
    if ACTIVATIONS[network.config.activation].has_frequency:
        frequencies[:-1] = [network.omega(layer) for layer in range(network.config.depth)]
    weights = [w * omega for w, omega in zip(network.weights, frequencies, strict=True)]
    transposed = [weight.mT.contiguous() for weight in weights]
    biases = [
        (b * omega).unsqueeze(-1) for b, omega in zip(network.biases, frequencies, strict=True)
    ]
    return Parameters(weights, transposed, biases), frequencies
