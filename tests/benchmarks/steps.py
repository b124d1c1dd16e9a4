"""One training step on the same loss, written in several ways against public interfaces of torch.

A contestant takes a `Problem` and returns a function of nothing that computes the loss and the
gradients of all parameters, in the order of `Network.parameters`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from inr.config import Activation, LossWeights, ModelConfig
from inr.network.adjoint import EAGER, Passes, tile_points
from inr.network.matmul import product
from inr.network.model import Network, initialize
from inr.quantities import Quantity
from inr.training.balancing import loss_coefficients
from inr.training.compilation import prepare_passes
from inr.training.step import loss_and_gradients
from tests.benchmarks.our_products import value_by_our_products
from tests.helpers.reference import (
    NetworkFields,
    Targets,
    activate,
    affine,
    differentiate,
    join,
    weighted_loss,
)

Answer = tuple[Any, Sequence[Any]]
Step = Callable[[], Answer]

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
VARIANCES: dict[Quantity, float] = {
    "value": 0.3,
    "gradient": 9.0,
    "laplacian": 300.0,
    "time_derivative": 0.2,
}
WEIGHTINGS = {
    "all four terms": LossWeights(value=1, gradient=1, laplacian=1, time_derivative=1),
    "first order only": LossWeights(value=1, gradient=1, time_derivative=1),
    "value only": LossWeights(value=1),
}
UNITS = {0: 3, 1: 6, 2: 12}


@dataclass(frozen=True)
class Case:
    """What is trained in one row of measurements."""

    width: int = 256
    points: int = 8192
    activation: Activation = "sine"
    weighting: str = "all four terms"
    depth: int = 3

    @property
    def label(self) -> str:
        """For tables and messages."""
        return (
            f"width {self.width}, {self.depth} hidden layers, {self.points:,} points, "
            f"{self.activation}, {self.weighting}"
        )


@dataclass(frozen=True)
class Problem:
    """A network, a batch and a loss."""

    case: Case
    network: Network
    points: Tensor
    targets: Targets
    weights: LossWeights

    @property
    def order(self) -> int:
        """Highest derivative in the loss."""
        return self.weights.highest_derivative

    def part(self, rows: slice, dtype: torch.dtype) -> Problem:
        """The same at some of the points, in another precision."""
        targets = Targets(*(field[rows].to(dtype) for field in self.targets))
        network = self.network.to(self.points.device, dtype)
        return replace(self, network=network, points=self.points[rows].to(dtype), targets=targets)


def make_problem(case: Case, device: str = "cpu") -> Problem:
    """Random points and a smooth target; the network as it starts a run."""
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(case.points, 3, generator=generator) * 2 - 1
    x, y, time = points.unbind(-1)
    targets = Targets(
        value=torch.sin(3 * x) * y,
        gradient=torch.stack([3 * torch.cos(3 * x) * y, torch.sin(3 * x) + time], dim=-1),
        laplacian=-9 * torch.sin(3 * x) * y,
        time_derivative=torch.cos(time),
    )
    model = ModelConfig(width=case.width, depth=case.depth, activation=case.activation)
    there = Targets(*(field.to(device) for field in targets))
    network = initialize(model, 0).to(device)
    return Problem(case, network, points.to(device), there, WEIGHTINGS[case.weighting])


def _by_autograd(
    problem: Problem, fields: Callable[[Network, Tensor, int], NetworkFields]
) -> Answer:
    found = fields(problem.network, problem.points, problem.order)
    loss = weighted_loss(found, problem.targets, problem.weights, VARIANCES)
    # the bias of the output has no influence on a loss of derivatives alone
    gradients = torch.autograd.grad(loss, problem.network.parameters, allow_unused=True)
    return loss, gradients


def _plain_value(network: Network, points: Tensor) -> Tensor:
    hidden = points
    for layer in range(network.config.depth):
        z = affine(hidden, network.weights[layer], network.biases[layer])
        (hidden,) = activate(network, layer, z, 0)
    return affine(hidden, network.weights[-1], network.biases[-1])


def nested_fields(
    network: Network,
    points: Tensor,
    order: int,
    value_of: Callable[[Network, Tensor], Tensor] = _plain_value,
) -> NetworkFields:
    """Gradient by autograd; Laplacian as the divergence of it, by autograd again, as SIREN's."""
    points = points.detach().requires_grad_(order > 0)
    value = value_of(network, points)
    if order == 0:
        return NetworkFields(value.squeeze(-1))
    ones = torch.ones_like(value)
    (gradient,) = torch.autograd.grad(value, points, ones, create_graph=True)
    if order == 1:
        return NetworkFields(value.squeeze(-1), gradient)
    laplacian = torch.zeros_like(value)
    for axis in (0, 1):
        component = gradient[..., axis : axis + 1]
        (second,) = torch.autograd.grad(component, points, ones, create_graph=True)
        laplacian = laplacian + second[..., axis : axis + 1]
    return NetworkFields(value.squeeze(-1), gradient, laplacian.squeeze(-1))


def nested(problem: Problem) -> Step:
    """Nested reverse mode."""
    return lambda: _by_autograd(problem, nested_fields)


def nested_by_our_products(problem: Problem) -> Step:
    """Nested reverse mode with our products: what is left is due to the form of the step."""
    return lambda: _by_autograd(problem, partial(nested_fields, value_of=value_by_our_products))


def functional(problem: Problem) -> Step:
    """torch.func: vmap over points, forward mode over reverse mode."""
    x_axis, y_axis = torch.eye(3, device=problem.points.device)[:2]

    def fields(network: Network, points: Tensor, order: int) -> NetworkFields:
        def value(point: Tensor) -> Tensor:
            return _plain_value(network, point[None]).squeeze()

        if order == 0:
            return NetworkFields(torch.func.vmap(value)(points))
        slope = torch.func.grad_and_value(value)
        if order == 1:
            gradient, found = torch.func.vmap(slope)(points)
            return NetworkFields(found, gradient)

        def second(point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            (gradient, found), (along_x, _) = torch.func.jvp(slope, (point,), (x_axis,))
            _, (along_y, _) = torch.func.jvp(slope, (point,), (y_axis,))
            return found, gradient, along_x[0] + along_y[1]

        return NetworkFields(*torch.func.vmap(second)(points))

    return lambda: _by_autograd(problem, fields)


def forward_laplacian_fields(network: Network, points: Tensor, order: int) -> NetworkFields:
    """Value, three tangents and the Laplacian carried from the input up (Li et al. 2023)."""
    if order == 0:
        return NetworkFields(_plain_value(network, points).squeeze(-1))
    rows = [points, *(each.expand_as(points) for each in torch.eye(3, device=points.device))]
    if order == 2:
        rows.append(torch.zeros_like(points))
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        value, *others = torch.matmul(torch.cat(rows), weight.mT).chunk(len(rows))
        value = value + bias
        rows = [value, *others]
        if layer < network.config.depth:
            activated, slope, *second = activate(network, layer, value, order)
            rows = [activated, *(slope * each for each in others)]
            if second:
                rows[4] = rows[4] + second[0] * (others[0] ** 2 + others[1] ** 2)
    value, along_x, along_y, along_time = (row.squeeze(-1) for row in rows[:4])
    gradient = torch.stack([along_x, along_y, along_time], dim=-1)
    return NetworkFields(value, gradient, rows[4].squeeze(-1) if order == 2 else None)


def forward_laplacian(problem: Problem) -> Step:
    """Forward Laplacian, one reverse pass."""
    return lambda: _by_autograd(problem, forward_laplacian_fields)


def forward_laplacian_compiled(problem: Problem) -> Step:
    """The same, compiled."""
    compiled = torch.compile(forward_laplacian_fields, dynamic=False)
    return lambda: _by_autograd(problem, compiled)


def adjoint_autograd(problem: Problem) -> Step:
    """`tests.helpers.reference.differentiate`, one reverse pass."""
    return lambda: _by_autograd(problem, differentiate)


def ours(problem: Problem, passes: Passes = EAGER) -> Step:
    """`inr.training.step.loss_and_gradients`."""
    coefficients = loss_coefficients(problem.weights, VARIANCES, problem.points)
    samples = join(problem.points, problem.targets)

    def step() -> Answer:
        found = loss_and_gradients(problem.network, samples, coefficients, problem.order, passes)
        return found.loss, found.gradients

    return step


def ours_compiled(problem: Problem) -> Step:
    """The same, compiled."""
    device = problem.points.device.type
    passes, note = prepare_passes(device, lambda passes: ours(problem, passes)())
    if note:
        raise SystemExit(note)
    return ours(problem, passes)


def pixel_only(problem: Problem) -> Step:
    """Ordinary training on values alone: the floor."""
    values_alone = replace(problem, weights=WEIGHTINGS["value only"])
    return lambda: _by_autograd(values_alone, nested_fields)


def bare_products(problem: Problem, by: Callable[[Tensor, Tensor], Tensor], tiled: bool) -> Step:
    """The products of the step, and nothing else: its units, first layer and last.

    Args:
        problem: gives the sizes.
        by: multiplies two matrices.
        tiled: in tiles, as ours; or over the whole batch.
    """
    case, points = problem.case, len(problem.points)
    size = (
        tile_points(problem.network.config, 1, points, problem.points.device.type)
        if tiled
        else points
    )
    tall = {0: 1, 1: 1, 2: 3}[problem.order]  # value and tangents share a product
    random = partial(torch.rand, device=problem.points.device)
    weight = random(case.width, case.width)
    wide, single = random(case.width, tall * size), random(case.width, size)
    inputs, outer = random(3, size), random(3, case.width)

    def step() -> Answer:
        for _ in range(-(-points // size)):
            for _ in range(case.depth - 1):
                by(weight, wide), by(weight, wide), by(wide, wide.mT)
                if problem.order:
                    by(weight, single), by(weight, single), by(single, single.mT)
            by(outer.mT, inputs), by(outer, single), by(single, inputs.mT)
        return None, ()

    return step


def products_by_matmul(problem: Problem) -> Step:
    """Bare products by torch.matmul over the whole batch."""
    return bare_products(problem, torch.matmul, tiled=False)


def products_by_ours(problem: Problem) -> Step:
    """Bare products by `inr.network.matmul`, in tiles."""
    return bare_products(problem, product, tiled=True)


def as_numpy(array: Any) -> np.ndarray[Any, Any]:
    """An array of jax or torch."""
    return np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)
