"""One training step's loss and gradients: tiles over the points, any number of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from inr.config import LossWeights
from inr.network.adjoint import EAGER
from inr.network.model import INPUTS, Network
from inr.network.passes import Gradients, Passes, Tile, fold_frequencies, tile_points
from inr.quantities import QUANTITIES, Quantity
from inr.training.batches import Targets

ROWS = {0: 1, 1: 4, 2: 5}  # of value, d/dx, d/dy, d/dtau and Laplacian, by order
# which of the four weights a row has
_WEIGHT_OF_ROW = (0, 1, 1, 3, 2)


@dataclass(frozen=True)
class Step:
    """What one step has found."""

    loss: Tensor  # the weighted sum of errors, [*model]
    # mean squares in the order of `QUANTITIES`, [*model, 4]; 0 where a higher order is needed
    errors: Tensor
    gradients: list[Tensor]  # of the loss, in the order of `Network.parameters`


def loss_coefficients(
    weights: LossWeights, variances: Mapping[Quantity, float], like: Tensor
) -> Float[Tensor, " term"]:
    """Coefficients weight / variance of each term, of the type and on the device of ``like``.

    ``variances`` are those of the targets over the whole sequence, or 1 in the raw form.
    """
    pairs = zip(QUANTITIES, weights.as_tuple(), strict=True)
    return like.new_tensor([weight / variances[quantity] for quantity, weight in pairs])


@torch.no_grad()
def loss_and_gradients(
    network: Network,
    points: Float[Tensor, "*model_in point 3"],
    targets: Targets,
    coefficients: Float[Tensor, "*model_weights 4"],
    order: int,
    passes: Passes = EAGER,
) -> Step:
    r"""Loss and parameter gradients, by the passes of `inr.network.adjoint`.

    .. math:: L = \sum_Q c_Q \, \mathrm{MSE}_Q

    Squares of the gradient are summed over its two components before the mean.

    Each model's loss and gradients are those that it would have alone. A coefficient of 0
    takes its term out altogether, even if its target is not finite.

    Args:
        network: one model, or several along a leading axis.
        points: (x, y, time); without a model axis they are shared by all models.
        targets: exact fields at the points, with a model axis or without, as the points.
        coefficients: c_Q in the order of `inr.quantities.QUANTITIES`, shared or one set a model.
        order: highest derivative with a positive coefficient: 0, 1 or 2.
        passes: `inr.network.adjoint.EAGER`, or what `inr.training.compilation` made of it.
    """
    count = points.shape[-2]
    name = network.config.activation
    parameters, frequencies = fold_frequencies(network)
    by_row = coefficients[..., list(_WEIGHT_OF_ROW[: ROWS[order]])].unsqueeze(-1)
    scale = by_row * (2 / count)
    total: Gradients | None = None
    for tile in _tiles(network, points, targets, order):
        layers, value = passes.first(parameters, tile.points, name, order)
        part = passes.others(parameters, tile, scale, layers, value, name, order)
        total = part if total is None else _accumulate(total, part)
    assert total is not None
    errors = _errors(total.squares / count)
    used = torch.where(coefficients > 0, coefficients * errors, 0.0)
    folded = [*total.weights, *(bias.squeeze(-1) for bias in total.biases)]
    pairs = zip(folded, [*frequencies, *frequencies], strict=True)
    return Step(used.sum(-1), errors, [gradient * omega for gradient, omega in pairs])


def _tiles(network: Network, points: Tensor, targets: Targets, order: int) -> Iterator[Tile]:
    """The batch in tiles of equal size; points of mask 0 fill up the last one."""
    rows = [points.mT, targets.value.unsqueeze(-2)]
    if order > 0:
        rows += [targets.gradient.mT, targets.time_derivative.unsqueeze(-2)]
    if order == 2:
        rows.append(targets.laplacian.unsqueeze(-2))
    rows.append(torch.ones_like(rows[1]))
    columns = torch.cat(rows, dim=-2)  # [*model, row, point]
    models = network.weights[0].shape[0] if network.weights[0].ndim == 3 else 1
    count = columns.shape[-1]
    size = tile_points(network.config.width, models, count, columns.device.type)
    columns = torch.nn.functional.pad(columns, (0, -count % size))
    # [tile, *model, row, point]
    stacked = columns.unflatten(-1, (-1, size)).movedim(-2, 0).contiguous()
    for tile in stacked:
        yield Tile(tile[..., :INPUTS, :], tile[..., INPUTS:-1, :], tile[..., -1:, :])


def _accumulate(total: Gradients, part: Gradients) -> Gradients:
    total.squares.add_(part.squares)
    for mine, other in zip(total.weights + total.biases, part.weights + part.biases, strict=True):
        mine.add_(other)
    return total


def _errors(rows: Tensor) -> Tensor:
    """Mean squares by row -> by quantity, [*model, 4]."""
    padded = torch.nn.functional.pad(rows, (0, ROWS[2] - rows.shape[-1]))
    value, along_x, along_y, time, laplacian = padded.unbind(-1)
    return torch.stack([value, along_x + along_y, laplacian, time], dim=-1)
