"""One training step: loss and gradients of any number of models, in tiles over the points.

Runs that are trained as one, a fused batch, have a leading model axis, one product for all. They
share the arithmetic of a step and nothing else: each has its own learning rate, schedule, weights,
seed, optimiser and files, and its own end. Their parameters are stacked anew in every step, which
costs a copy, and keeps every trainer an ordinary run that can leave, or be resumed alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from inr.network.adjoint import EAGER, Gradients, Passes, Tile, tile_points
from inr.network.model import INPUTS, Network, fold_frequencies, stack_networks
from inr.training.batches import Targets
from inr.training.trainer import Trainer

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


def take_step(trainers: Sequence[Trainer], passes: Passes = EAGER) -> Step:
    """One optimiser step of each; returns what it was made from."""
    found = gradients(trainers, passes)
    if len(trainers) == 1:
        trainers[0].update(found.gradients, found.errors)
        return found
    by_run = zip(*(gradient.unbind() for gradient in found.gradients), strict=True)
    for trainer, own, errors in zip(trainers, by_run, found.errors, strict=True):
        trainer.update(own, errors)
    return found


def gradients(trainers: Sequence[Trainer], passes: Passes = EAGER) -> Step:
    """Loss and gradients of the next step, with a model axis if there are several trainers."""
    points, targets = zip(*(trainer.batches(trainer.step) for trainer in trainers), strict=True)
    coefficients = [trainer.balance.scale(trainer.coefficients) for trainer in trainers]
    first = trainers[0]
    if len(trainers) == 1:
        return loss_and_gradients(
            first.network, points[0], targets[0], coefficients[0], first.order, passes
        )
    return loss_and_gradients(
        stack_networks([trainer.network for trainer in trainers]),
        torch.stack(points),
        Targets(*map(torch.stack, zip(*targets, strict=True))),
        torch.stack(coefficients),
        first.order,
        passes,
    )


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

    Squares of the gradient are summed over its two components before the mean. Each model's loss
    and gradients are those that it would have alone. A coefficient of 0 takes its term out
    altogether, even if its target is not finite.

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
