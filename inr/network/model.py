"""The coordinate network: plain tensors, with an optional leading axis for several models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from inr.config import ModelConfig
from inr.network.activations import ACTIVATIONS

INPUTS = 3  # x, y, time


@dataclass(frozen=True)
class Network:
    """A fully connected network (x, y, time) -> value, or several of one shape.

    One tensor a layer; the last is the linear output.
    """

    config: ModelConfig
    weights: tuple[Tensor, ...]  # [*model, fan_out, fan_in]
    biases: tuple[Tensor, ...]  # [*model, fan_out]

    @property
    def parameters(self) -> list[Tensor]:
        """All tensors, weights first."""
        return [*self.weights, *self.biases]

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Network":
        """A copy on ``device``, as leaves of the graph that require gradients as these do."""

        def move(tensor: Tensor) -> Tensor:
            moved = tensor.detach().to(device, dtype, copy=True)
            return moved.requires_grad_(tensor.requires_grad)

        return replace(
            self, weights=tuple(map(move, self.weights)), biases=tuple(map(move, self.biases))
        )


def initialize(
    config: ModelConfig,
    seed: int,
    dtype: torch.dtype = torch.float32,
    input_scales: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Network:
    """A random network, with the first layer's weights times `RunConfig.input_scales`.

    The numbers are drawn in float64 on the CPU: one seed is one network, whatever the device and
    the precision.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(bound: float, *shape: int) -> Tensor:
        numbers = torch.rand(*shape, generator=generator, dtype=torch.float64)
        return (2 * numbers - 1) * bound

    sizes = [INPUTS, *[config.width] * config.depth, 1]
    weights, biases = [], []
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        bound = ACTIVATIONS[config.activation].bound(
            fan_in, fan_out, config.omega(layer), layer == 0
        )
        weights.append(uniform(bound, fan_out, fan_in))
        biases.append(uniform(1 / math.sqrt(fan_in), fan_out))
    weights[0] *= torch.tensor(input_scales, dtype=torch.float64)
    parameters = [numbers.to(dtype).requires_grad_() for numbers in (*weights, *biases)]
    return Network(config, tuple(parameters[: len(weights)]), tuple(parameters[len(weights) :]))


class Parameters(NamedTuple):
    """A network with the frequencies multiplied in, layer by layer; the last is linear."""

    weights: list[Tensor]  # [*model, fan_out, fan_in]
    transposed: list[Tensor]  # and contiguous
    biases: list[Tensor]  # [*model, fan_out, 1]


def fold_frequencies(network: Network) -> tuple[Parameters, list[float]]:
    """The equivalent network without frequencies, and what was multiplied into each layer."""
    config, frequencies = network.config, [1.0] * len(network.weights)
    if ACTIVATIONS[config.activation].has_frequency:
        frequencies[:-1] = map(config.omega, range(config.depth))
    weights = [w * omega for w, omega in zip(network.weights, frequencies, strict=True)]
    transposed = [weight.mT.contiguous() for weight in weights]
    pairs = zip(network.biases, frequencies, strict=True)
    return Parameters(
        weights, transposed, [(b * omega).unsqueeze(-1) for b, omega in pairs]
    ), frequencies


@torch.no_grad()
def stack_networks(networks: Sequence[Network]) -> Network:
    """Networks of one shape along a leading axis, as copies outside the graph."""
    together = zip(*(network.parameters for network in networks), strict=True)
    stacked = tuple(map(torch.stack, together))
    layers = len(networks[0].weights)
    return replace(networks[0], weights=stacked[:layers], biases=stacked[layers:])
