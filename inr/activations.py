r"""Hidden activations: value and derivatives from shared sub-expressions, and initialisation.

Each function maps the pre-activation z and the frequency omega to
``(sigma,)``, ``(sigma, sigma')`` or ``(sigma, sigma', sigma'')`` for order 0, 1 or 2. Derivatives
are with respect to z, so powers of omega are inside. Only sine and gaussian use omega.

Weights start uniform in [-bound, bound], biases uniform in [-1/sqrt(fan_in), 1/sqrt(fan_in)].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (the name everyone uses)
from torch import Tensor

from inr.config import Activation as Name

Derivatives = Callable[[Tensor, float, int], tuple[Tensor, ...]]
Bound = Callable[[int, int, float, bool], float]


@dataclass(frozen=True)
class Activation:
    """A hidden activation.

    Attributes:
        derivatives: (z, omega, order) -> sigma and its first ``order`` derivatives.
        bound: (fan_in, fan_out, omega, is_first) -> half-width of the uniform initial weights.
    """

    derivatives: Derivatives
    bound: Bound


def _sine(z: Tensor, omega: float, order: int) -> tuple[Tensor, ...]:
    phase = omega * z
    sine = torch.sin(phase)
    if order == 0:
        return (sine,)
    slope = omega * torch.cos(phase)
    return (sine, slope) if order == 1 else (sine, slope, -(omega**2) * sine)


def _gaussian(z: Tensor, omega: float, order: int) -> tuple[Tensor, ...]:
    bell = torch.exp(-0.5 * (omega * z) ** 2)
    if order == 0:
        return (bell,)
    slope = -(omega**2) * z * bell
    return (bell, slope) if order == 1 else (bell, slope, -(omega**2) * (bell + z * slope))


def _elu(z: Tensor, omega: float, order: int) -> tuple[Tensor, ...]:
    value = F.elu(z)
    if order == 0:
        return (value,)
    slope = torch.exp(z.clamp(max=0))  # 1 for z > 0
    return (value, slope) if order == 1 else (value, slope, torch.where(z > 0, 0.0, slope))


def _tanh(z: Tensor, omega: float, order: int) -> tuple[Tensor, ...]:
    value = torch.tanh(z)
    if order == 0:
        return (value,)
    slope = 1 - value**2
    return (value, slope) if order == 1 else (value, slope, -2 * value * slope)


def _softplus(z: Tensor, omega: float, order: int) -> tuple[Tensor, ...]:
    value = -F.logsigmoid(-z)  # F.softplus is linear beyond 20, which costs digits in float64
    if order == 0:
        return (value,)
    slope = torch.sigmoid(z)
    return (value, slope) if order == 1 else (value, slope, slope * (1 - slope))


def _gelu(z: Tensor, omega: float, order: int) -> tuple[Tensor, ...]:
    distribution = 0.5 * (1 + torch.erf(z * math.sqrt(0.5)))
    value = z * distribution
    if order == 0:
        return (value,)
    density = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    slope = distribution + z * density
    return (value, slope) if order == 1 else (value, slope, density * (2 - z**2))


def _silu(z: Tensor, omega: float, order: int) -> tuple[Tensor, ...]:
    gate = torch.sigmoid(z)
    value = z * gate
    if order == 0:
        return (value,)
    rest = 1 - gate
    slope = gate * (1 + z * rest)
    if order == 1:
        return (value, slope)
    return (value, slope, gate * rest * (2 + z * (rest - gate)))


def _siren(fan_in: int, fan_out: int, omega: float, is_first: bool) -> float:
    """Sitzmann et al. 2020: pre-activations of unit variance after multiplying by omega."""
    return 1 / fan_in if is_first else math.sqrt(6 / fan_in) / omega


def _xavier(gain: float) -> Bound:
    """Glorot and Bengio 2010."""
    return lambda fan_in, fan_out, omega, is_first: gain * math.sqrt(6 / (fan_in + fan_out))


def _kaiming(fan_in: int, fan_out: int, omega: float, is_first: bool) -> float:
    """He et al. 2015, for units that halve the signal as a rectifier does."""
    return math.sqrt(6 / fan_in)


def _gaussian_bound(fan_in: int, fan_out: int, omega: float, is_first: bool) -> float:
    """As SIREN, with the second moment of exp(-z^2 / 2) under a unit normal, 1 / sqrt(3)."""
    return 1 / fan_in if is_first else math.sqrt(3 * math.sqrt(3) / fan_in) / omega


def _softplus_bound(fan_in: int, fan_out: int, omega: float, is_first: bool) -> float:
    """Keeps the second moment, which softplus maps from 1 to 0.921 for a unit normal."""
    return math.sqrt(3 / (0.921 * fan_in))


ACTIVATIONS: dict[Name, Activation] = {
    "sine": Activation(_sine, _siren),
    # Xavier as in the published study. sigma'' jumps from 1 to 0 at z = 0: exact almost
    # everywhere, but the network's Laplacian is discontinuous across those lines
    "elu": Activation(_elu, _xavier(1.0)),
    "tanh": Activation(_tanh, _xavier(5 / 3)),
    "softplus": Activation(_softplus, _softplus_bound),
    "gelu": Activation(_gelu, _kaiming),
    "silu": Activation(_silu, _kaiming),
    "gaussian": Activation(_gaussian, _gaussian_bound),
}
