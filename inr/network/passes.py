"""What goes into the passes of `inr.network.adjoint`, between them, and out of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from inr.config import Activation as Name


class Parameters(NamedTuple):
    """A network with the frequencies multiplied in.

    Attributes:
        weights: [*model, fan_out, fan_in] a layer; the last is the linear output.
        transposed: the same, transposed and contiguous.
        biases: [*model, fan_out, 1].
    """

    weights: list[Tensor]
    transposed: list[Tensor]
    biases: list[Tensor]


class Tile(NamedTuple):
    """Points of one tile, and what is wanted there. Rows: value, d/dx, d/dy, d/dtau, Laplacian.

    Attributes:
        points: [*model, 3, point].
        targets: [*model, row, point]; 1, 4 or 5 rows for order 0, 1 or 2.
        mask: [1, point], 1, or 0 for points that only fill up the last tile.
    """

    points: Tensor
    targets: Tensor
    mask: Tensor


class Layer(NamedTuple):
    """What the first pass keeps of a hidden layer.

    Attributes:
        phase, value, slope: z, f(z), f'(z), [*model, unit, point].
        tangents: dz/dx and dz/dy, [*model, unit, 2, point or 1].
        outputs: f and the tangents of f side by side, as the next layer took them.
    """

    phase: Tensor
    value: Tensor
    slope: Tensor
    tangents: Tensor
    outputs: Tensor


class Adjoint(NamedTuple):
    """What the second and third pass keep of a hidden layer.

    Attributes:
        adjoint: lambda, [*model, unit, point or 1].
        pulled: q = lambda f'.
        bend: lambda f''.
        speed: |zdot|^2; None without the Laplacian.
    """

    adjoint: Tensor
    pulled: Tensor
    bend: Tensor
    speed: Tensor | None


class Gradients(NamedTuple):
    """Sums over the points of a tile.

    Attributes:
        squares: squared errors, [*model, row].
        weights, biases: gradients, of the shapes in `Parameters`.
    """

    squares: Tensor
    weights: list[Tensor]
    biases: list[Tensor]


Up = Callable[[Parameters, Tensor, Name, int], tuple[list[Layer], Tensor]]
Down = Callable[[Parameters, Tile, Tensor, list[Layer], Tensor, Name, int], Gradients]


class Passes(NamedTuple):
    """The first pass, and the other three; as written here, or compiled.

    They are two functions because what passes between them is then computed once: a compiler
    that sees both would compute sines again instead of reading them.
    """

    first: Up
    others: Down
