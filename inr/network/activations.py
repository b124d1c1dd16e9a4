r"""Hidden activations: value and three derivatives, and initialisation.

Sine and gaussian have a frequency omega: sigma(z) = f(omega z). The others ignore it. The
functions here take the phase (omega z, or z), so that the frequency can be multiplied into the
weights once a step and costs nothing per point.

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

Bound = Callable[[int, int, float, bool], float]


@dataclass(frozen=True)
class Activation:
    """A hidden activation f of the phase, and its derivatives with respect to the phase.

    Attributes:
        value: phase -> f.
        slope: (phase, f) -> first derivative.
        second: (phase, f, first) -> second derivative.
        third: (phase, f, first, second) -> third derivative, for gradients of a Laplacian.
        bound: (fan_in, fan_out, omega, is_first) -> half-width of the uniform initial weights.
        has_frequency: whether the phase is omega z; otherwise it is z.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    second: Callable[[Tensor, Tensor, Tensor], Tensor]
    third: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    bound: Bound
    has_frequency: bool = False


def _gaussian(phase: Tensor) -> Tensor:
    return torch.exp(-0.5 * phase * phase)


def _gaussian_second(phase: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    return -(value + phase * slope)


def _gaussian_third(phase: Tensor, value: Tensor, slope: Tensor, second: Tensor) -> Tensor:
    return -(2 * slope + phase * second)


def _elu_slope(phase: Tensor, value: Tensor) -> Tensor:
    return torch.exp(phase.clamp(max=0))  # 1 for z > 0


def _elu_second(phase: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    return torch.where(phase > 0, 0.0, slope)


def _softplus(phase: Tensor) -> Tensor:
    return -F.logsigmoid(-phase)  # F.softplus is linear beyond 20, which costs digits in float64


def _normal_density(phase: Tensor) -> Tensor:
    return torch.exp(-0.5 * phase * phase) / math.sqrt(2 * math.pi)


def _normal_distribution(phase: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(phase * math.sqrt(0.5)))


def _gelu(phase: Tensor) -> Tensor:
    return phase * _normal_distribution(phase)


def _gelu_slope(phase: Tensor, value: Tensor) -> Tensor:
    return _normal_distribution(phase) + phase * _normal_density(phase)


def _gelu_second(phase: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    return _normal_density(phase) * (2 - phase * phase)


def _gelu_third(phase: Tensor, value: Tensor, slope: Tensor, second: Tensor) -> Tensor:
    return _normal_density(phase) * phase * (phase * phase - 4)


def _silu(phase: Tensor) -> Tensor:
    return phase * torch.sigmoid(phase)


def _silu_slope(phase: Tensor, value: Tensor) -> Tensor:
    gate = torch.sigmoid(phase)
    return gate + value * (1 - gate)


def _silu_second(phase: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    gate = torch.sigmoid(phase)
    rest = 1 - gate
    return gate * rest * (2 + phase * (rest - gate))


def _silu_third(phase: Tensor, value: Tensor, slope: Tensor, second: Tensor) -> Tensor:
    gate = torch.sigmoid(phase)
    bell, skew = gate * (1 - gate), 1 - 2 * gate
    return bell * (skew * (3 + phase * skew) - 2 * phase * bell)


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
    "sine": Activation(
        value=torch.sin,
        slope=lambda phase, value: torch.cos(phase),
        second=lambda phase, value, slope: -value,
        third=lambda phase, value, slope, second: -slope,
        bound=_siren,
        has_frequency=True,
    ),
    # Xavier as in the published study. sigma'' jumps from 1 to 0 at z = 0: exact almost
    # everywhere, but the network's Laplacian is discontinuous across those lines
    "elu": Activation(
        value=F.elu,
        slope=_elu_slope,
        second=_elu_second,
        third=lambda phase, value, slope, second: second,
        bound=_xavier(1.0),
    ),
    "tanh": Activation(
        value=torch.tanh,
        slope=lambda phase, value: 1 - value * value,
        second=lambda phase, value, slope: -2 * value * slope,
        third=lambda phase, value, slope, second: slope * (6 * value * value - 2),
        bound=_xavier(5 / 3),
    ),
    "softplus": Activation(
        value=_softplus,
        slope=lambda phase, value: torch.sigmoid(phase),
        second=lambda phase, value, slope: slope * (1 - slope),
        third=lambda phase, value, slope, second: second * (1 - 2 * slope),
        bound=_softplus_bound,
    ),
    "gelu": Activation(_gelu, _gelu_slope, _gelu_second, _gelu_third, _kaiming),
    "silu": Activation(_silu, _silu_slope, _silu_second, _silu_third, _kaiming),
    "gaussian": Activation(
        value=_gaussian,
        slope=lambda phase, value: -phase * value,
        second=_gaussian_second,
        third=_gaussian_third,
        bound=_gaussian_bound,
        has_frequency=True,
    ),
}
