"""One training step: loss and gradients of any number of models, in tiles over the points.

Runs that are trained as one, a fused batch, have a leading model axis, one product for all. They
share the arithmetic of a step and nothing else: each has its own learning rate, schedule, weights,
seed, optimiser and files, and its own end. Their parameters are stacked anew in every step, which
costs a copy, and keeps every trainer an ordinary run that can leave, or be resumed alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from inr.network.adjoint import EAGER, Passes, Tile, tile_points
from inr.network.model import INPUTS, Network, fold_frequencies, stack_networks
from inr.training.trainer import Trainer

ROWS = {0: 1, 1: 4, 2: 5}  # of value, d/dx, d/dy, d/dtau and Laplacian, by order


@dataclass(frozen=True)
class Step:
    """What one step has found."""

    loss: Tensor  # the weighted sum of errors, [*model]
    # mean squares in the order of `QUANTITIES`, [*model, 4]; 0 where a higher order is needed
    errors: Tensor
    gradients: list[Tensor]  # of the loss, in the order of `Network.parameters`

    def of_each(self) -> Iterator[tuple[Sequence[Tensor], Tensor]]:
        """Gradients and errors of one model after the other."""
        if self.loss.ndim:
            by_model = zip(*(gradient.unbind() for gradient in self.gradients), strict=True)
            return zip(by_model, self.errors.unbind(), strict=True)
        return iter([(self.gradients, self.errors)])


def take_step(trainers: Sequence[Trainer], passes: Passes = EAGER) -> Step:
    """One optimiser step of each; returns what it was made from."""
    found = gradients(trainers, passes)
    for trainer, (own, errors) in zip(trainers, found.of_each(), strict=True):
        trainer.update(own, errors)
    return found


def gradients(trainers: Sequence[Trainer], passes: Passes = EAGER) -> Step:
    """Loss and gradients of the next step, with a model axis if there are several trainers."""
    samples = [trainer.batches(trainer.step) for trainer in trainers]
    coefficients = [trainer.balance.scale(trainer.coefficients) for trainer in trainers]
    return joint_gradients(trainers, samples, coefficients, passes)


def joint_gradients(
    trainers: Sequence[Trainer],
    samples: list[Tensor],
    coefficients: list[Tensor],
    passes: Passes,
) -> Step:
    """Those of a step on these samples, with these coefficients, of one trainer each."""
    networks = [trainer.network for trainer in trainers]
    if len(trainers) == 1:
        given = networks[0], samples[0], coefficients[0]
    else:
        given = stack_networks(networks), torch.stack(samples), torch.stack(coefficients)
    return loss_and_gradients(*given, trainers[0].order, passes)


@torch.no_grad()
def loss_and_gradients(
    network: Network,
    samples: Float[Tensor, "*model_in point 8"],
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
        samples: points and what is wanted there, see `inr.training.batches.sequence_samples`;
            without a model axis they are shared by all models. Where NaN is wanted the error is 0.
        coefficients: c_Q in the order of `inr.quantities.QUANTITIES`, shared or one set a model.
        order: highest derivative with a positive coefficient: 0, 1 or 2.
        passes: `inr.network.adjoint.EAGER`, or what `inr.training.compilation` made of it.
    """
    count = samples.shape[-2]
    names = network.config.activations
    parameters, pull_back = fold_frequencies(network)
    # not by a list of places: a GPU would wait for it to come
    value, gradient, laplacian, time = coefficients.unbind(-1)
    by_row = torch.stack([value, gradient, gradient, time, laplacian][: ROWS[order]], dim=-1)
    scale = by_row.unsqueeze(-1) * (2 / count)

    def of_tile(tile: Tile) -> list[Tensor]:
        layers, value = passes.first(parameters, tile.points, names, order)
        return passes.others(parameters, tile, scale, layers, value, names, order)

    squares, *folded = reduce(_add_to, map(of_tile, _tiles(network, samples, order)))
    errors = _errors(squares / count)
    used = torch.where(coefficients > 0, coefficients * errors, 0.0)
    return Step(used.sum(-1), errors, list(pull_back(folded)))


def _tiles(network: Network, samples: Tensor, order: int) -> Iterator[Tile]:
    """The batch in tiles of equal size; points at which nothing is wanted fill up the last one."""
    models, count = network.weights[0].shape[:-2].numel(), samples.shape[-2]
    size = tile_points(network.config, models, count, samples.device.type)

    def tiled(columns: Tensor, fill: float) -> Tensor:
        rows = torch.nn.functional.pad(columns.mT, (0, -count % size), value=fill)
        tiles: Tensor = rows.unflatten(-1, (-1, size)).movedim(-2, 0)
        return tiles.contiguous()  # [tile, *model, row, point]

    points, targets = samples[..., :INPUTS], samples[..., INPUTS : INPUTS + ROWS[order]]
    return map(Tile, tiled(points, 0.0), tiled(targets, torch.nan))


def _add_to(total: list[Tensor], part: list[Tensor]) -> list[Tensor]:
    for mine, other in zip(total, part, strict=True):
        mine.add_(other)
    return total


def _errors(rows: Tensor) -> Tensor:
    """Mean squares by row -> by quantity, [*model, 4]."""
    padded = torch.nn.functional.pad(rows, (0, ROWS[2] - rows.shape[-1]))
    value, along_x, along_y, time, laplacian = padded.unbind(-1)
    return torch.stack([value, along_x + along_y, laplacian, time], dim=-1)
