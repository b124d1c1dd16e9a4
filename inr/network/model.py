"""The coordinate network: plain tensors, with an optional leading axis for several models."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
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
    # of hidden layers, where `ModelConfig.sines` are several: the amplitude, the frequency over
    # omega and the shift of each, [*model, 3, sine]
    sines: tuple[Tensor, ...] = ()

    @property
    def parameters(self) -> list[Tensor]:
        """All tensors, weights first."""
        return [*self.weights, *self.biases, *self.sines]

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Network":
        """A copy on ``device``, as leaves of the graph that require gradients as these do."""

        def move(tensor: Tensor) -> Tensor:
            moved = tensor.detach().to(device, dtype, copy=True)
            return moved.requires_grad_(tensor.requires_grad)

        return self.with_parameters(map(move, self.parameters))

    def with_parameters(self, parameters: Iterable[Tensor]) -> "Network":
        """The same network with other `parameters`."""
        left = iter(parameters)
        groups = (self.weights, self.biases, self.sines)
        weights, biases, sines = (tuple(islice(left, len(group))) for group in groups)
        return Network(self.config, weights, biases, sines)


def initialize(
    config: ModelConfig,
    seed: int,
    dtype: torch.dtype = torch.float32,
    input_scales: tuple[float, float, float] = (1.0, 1.0, 1.0),
    centroid: float = 0.0,
) -> Network:
    """A random network, with the first layer's weights times `RunConfig.input_scales`.

    The numbers are drawn in float64 on the CPU: one seed is one network, whatever the device and
    the precision. ``centroid`` is the `spectral_centroid` of the image; siren2 wants it.
    """
    draw = _Draw(seed)
    features = _fourier_features(config, draw)
    sizes = [INPUTS, *[config.width] * config.depth, 1]
    if features:
        sizes[1] = len(features[0])
    weights, biases = [], []
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        name = config.activations[min(layer, config.depth - 1)]
        bound = ACTIVATIONS[name].bound(fan_in, fan_out, config.omega(layer), layer == 0)
        weights.append(draw.uniform(bound, fan_out, fan_in))
        biases.append(draw.uniform(1 / math.sqrt(fan_in), fan_out))
    if config.initialization == "siren2":
        _add_noise(config, weights, centroid, draw)
    for hidden in weights[1:-1]:
        hidden *= config.hidden_scale
    if features:
        weights[0], biases[0] = features
    else:
        biases[0] *= config.first_scale
    weights[0] *= config.first_scale * torch.tensor(input_scales, dtype=torch.float64)
    sines = [
        _draw_sines(config.sines, draw) for _ in range(config.depth if config.sines > 1 else 0)
    ]
    network = Network(config, tuple(weights), tuple(biases), tuple(sines))
    trained = [features is None, *[True] * config.depth]  # by layer
    trained = [*trained, *trained, *[True] * len(sines)]
    pairs = zip(network.parameters, trained, strict=True)
    return network.with_parameters(each.to(dtype).requires_grad_(own) for each, own in pairs)


class _Draw:
    """Random numbers of one seed."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def uniform(self, bound: float, *shape: int) -> Tensor:
        numbers = torch.rand(*shape, generator=self._generator, dtype=torch.float64)
        return (2 * numbers - 1) * bound

    def normal(self, deviation: float, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator, dtype=torch.float64) * deviation


def _add_noise(config: ModelConfig, weights: list[Tensor], centroid: float, draw: _Draw) -> None:
    """The siren2 of Chandravamsi et al. 2025, with their numbers for images."""
    deviations = (50 * (1 - math.exp(-5 * centroid)), 0.4 * centroid)
    for layer, deviation in enumerate(deviations[: config.depth]):
        weights[layer] += draw.normal(deviation / config.omega(layer), *weights[layer].shape)


def _draw_sines(count: int, draw: _Draw) -> Tensor:
    """As Morsali et al. 2025, but for a sum of variance 1/2, which is that of one sine."""
    sign = draw.uniform(1.0, count).sign()
    amplitude = sign * (-draw.uniform(1.0, count).abs().clamp(min=1e-9).log() / count).sqrt()
    return torch.stack([amplitude, draw.uniform(1.0, count), draw.uniform(math.pi, count)])


def _fourier_features(config: ModelConfig, draw: _Draw) -> tuple[Tensor, Tensor] | None:
    """Weights and biases of a sine layer that computes sin and cos of fixed frequencies.

    Normally distributed ones (Tancik et al. 2020), width / 2 of them, with a standard deviation of
    omega_first radians per unit of length; or omega_first and its halves down to 1, of each
    input by itself (Mildenhall et al. 2020).
    """
    if config.first_layer == "fourier_gaussian":
        directions = draw.normal(1.0, -(-config.width // 2), INPUTS)
    elif config.first_layer == "fourier_dyadic":
        octaves = 1 + max(0, math.floor(math.log2(config.omega_first)))
        halves = 0.5 ** torch.arange(octaves, dtype=torch.float64)
        directions = torch.kron(torch.eye(INPUTS, dtype=torch.float64), halves[:, None])
    else:
        return None
    quarter = torch.full((len(directions),), math.pi / 2 / config.omega_first, dtype=torch.float64)
    return torch.cat([directions, directions]), torch.cat([torch.zeros_like(quarter), quarter])


def spectral_centroid(image: Float[np.ndarray, "row column"]) -> float:
    r"""Mean frequency of an image by the size of its Fourier coefficients, 1 at Nyquist.

    .. math:: \psi = 2 \sum_k |k| \, |\hat u_k| / \sum_k |\hat u_k|, k in cycles per pixel.
    """
    rows, columns = np.meshgrid(*map(np.fft.fftfreq, image.shape), indexing="ij")
    size = np.abs(np.fft.fft2(image))
    return float(2 * (np.hypot(rows, columns) * size).sum() / size.sum())


class Parameters(NamedTuple):
    """A network with the frequencies multiplied in, layer by layer; the last is linear."""

    weights: list[Tensor]  # [*model, fan_out, fan_in]
    transposed: list[Tensor]  # and contiguous
    biases: list[Tensor]  # [*model, fan_out, 1]


PullBack = Callable[[Sequence[Tensor]], Sequence[Tensor]]


def fold_frequencies(network: Network) -> tuple[Parameters, PullBack]:
    """The equivalent network without frequencies and with one function in each hidden unit.

    And what makes derivatives by the network's own `Network.parameters` from those by the weights
    and biases of that one.
    """
    config = network.config
    if network.sines:
        folded, transpose = torch.func.vjp(partial(_fold_sines, network), *network.parameters)[:2]
        weights, biases = folded[: config.depth + 1], folded[config.depth + 1 :]

        def pull_back(found: Sequence[Tensor]) -> Sequence[Tensor]:
            gradients: tuple[Tensor, ...] = transpose(tuple(found))
            return gradients

    else:
        frequencies = [
            config.omega(layer) if ACTIVATIONS[name].has_frequency else 1.0
            for layer, name in enumerate(config.activations)
        ] + [1.0]
        weights = [w * omega for w, omega in zip(network.weights, frequencies, strict=True)]
        biases = [b * omega for b, omega in zip(network.biases, frequencies, strict=True)]

        def pull_back(found: Sequence[Tensor]) -> Sequence[Tensor]:
            pairs = zip(found, [*frequencies, *frequencies], strict=True)
            return [gradient * omega for gradient, omega in pairs]

    transposed = [weight.mT.contiguous() for weight in weights]
    return Parameters(list(weights), transposed, [b.unsqueeze(-1) for b in biases]), pull_back


def _fold_sines(network: Network, *parameters: Tensor) -> tuple[Tensor, ...]:
    r"""Weights, then biases, of a network of single sines, as many to a unit as it has.

    A unit of phase z gives :math:`\sum_i c_i \sin(\omega r_i z + \varphi_i)`.
    """
    own = network.with_parameters(parameters)
    weights, biases = list(own.weights), list(own.biases)
    for layer, terms in enumerate(own.sines):
        amplitude, frequency, shift = terms.unbind(-2)
        frequency = frequency * network.config.omega(layer)
        columns = torch.einsum("...i,...ab->...iab", frequency, weights[layer])
        weights[layer] = columns.flatten(-3, -2)
        shifted = torch.einsum("...i,...a->...ia", frequency, biases[layer]) + shift[..., None]
        biases[layer] = shifted.flatten(-2)
        rows = torch.einsum("...j,...ab->...ajb", amplitude, weights[layer + 1])
        weights[layer + 1] = rows.flatten(-2)
    return (*weights, *biases)


@torch.no_grad()
def stack_networks(networks: Sequence[Network]) -> Network:
    """Networks of one shape along a leading axis, as copies outside the graph."""
    together = zip(*(network.parameters for network in networks), strict=True)
    return networks[0].with_parameters(map(torch.stack, together))
