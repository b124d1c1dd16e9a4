r"""Hidden activations: value and three derivatives, and initialisation.

Some have a frequency omega: sigma(z) = f(omega z). The others ignore it. The
functions here take the phase (omega z, or z), so that the frequency can be multiplied into the
weights once a step and costs nothing per point.

Weights start uniform in [-bound, bound], biases uniform in [-1/sqrt(fan_in), 1/sqrt(fan_in)].

`inr.config` takes the names from here, without torch: it is imported where methods of tensors do
not suffice.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any

_OMEGA = 30.0  # frequency for which finer and sinh_sine were published

# (fan_in, fan_out, omega, is_first) -> half-width of the uniform initial weights
Bound = Callable[[int, int, float, bool], float]


@dataclass(frozen=True)
class Activation:
    """A hidden activation f of the phase, and its derivatives with respect to the phase."""

    value: Callable[[Tensor], Tensor]  # phase -> f
    slope: Callable[[Tensor, Tensor], Tensor]  # (phase, f) -> first derivative
    second: Callable[[Tensor, Tensor, Tensor], Tensor]  # (phase, f, first) -> second
    third: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # (phase, f, first, second) -> third
    bound: Bound
    has_frequency: bool = False  # whether the phase is omega z; otherwise it is z


def _elu(z: Tensor) -> Tensor:
    from torch.nn.functional import elu

    return elu(z)


def _softplus(z: Tensor) -> Tensor:
    from torch.nn.functional import logsigmoid

    return -logsigmoid(-z)  # softplus of torch is linear beyond 20, which costs digits in float64


def _density(z: Tensor) -> Tensor:
    """Of the normal distribution."""
    return (-0.5 * z * z).exp() / math.sqrt(2 * math.pi)


def _distribution(z: Tensor) -> Tensor:
    return 0.5 * (1 + (z * math.sqrt(0.5)).erf())


def _silu_slope(z: Tensor, value: Tensor) -> Tensor:
    gate = z.sigmoid()
    return gate + value * (1 - gate)


def _silu_second(z: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    gate = z.sigmoid()
    rest = 1 - gate
    return gate * rest * (2 + z * (rest - gate))


def _silu_third(z: Tensor, value: Tensor, slope: Tensor, second: Tensor) -> Tensor:
    gate = z.sigmoid()
    bell, skew = gate * (1 - gate), 1 - 2 * gate
    return bell * (skew * (3 + z * skew) - 2 * z * bell)


def _sinc(z: Tensor, order: int, far: Callable[[Tensor], Tensor]) -> Tensor:
    """A derivative of sin(z) / z: ``far`` from 0, by the series of (-z^2)^k / (2k + 1)! near it."""
    near, inside, series = z.clamp(-1, 1), z.abs() < 1, z * 0
    for k in reversed(range(-(-order // 2), 11)):
        factor = math.perm(2 * k, order) / math.factorial(2 * k + 1)
        series = series * near * near + (-factor if k % 2 else factor)
    return (series * near if order % 2 else series).where(inside, far(z.masked_fill(inside, 1.0)))


def _hosc(sharpness: float) -> Activation:
    """The hyperbolic tangent of b sin z; b is the ``sharpness``."""

    def second(z: Tensor, value: Tensor, slope: Tensor) -> Tensor:
        bend = -sharpness * (1 - value * value) * z.sin()
        return bend - 2 * sharpness * value * slope * z.cos()

    def third(z: Tensor, value: Tensor, slope: Tensor, second: Tensor) -> Tensor:
        gate, sine, cosine = 1 - value * value, sharpness * z.sin(), sharpness * z.cos()
        change = 4 * value * sine - 2 * gate * cosine * cosine - 1
        return gate * cosine * change - 2 * value * cosine * second

    return Activation(
        value=lambda z: (sharpness * z.sin()).tanh(),
        slope=lambda z, value: sharpness * (1 - value * value) * z.cos(),
        second=second,
        third=third,
        bound=_siren(10.3),
        has_frequency=True,
    )


def _sine_of(inner: Callable[[Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]) -> Activation:
    """The sine of g(z); ``inner`` gives g and its three derivatives."""

    def slope(z: Tensor, value: Tensor) -> Tensor:
        g, first, _, _ = inner(z)
        return g.cos() * first

    def second(z: Tensor, value: Tensor, slope: Tensor) -> Tensor:
        g, first, bend, _ = inner(z)
        return g.cos() * bend - value * first * first

    def third(z: Tensor, value: Tensor, slope: Tensor, second: Tensor) -> Tensor:
        g, first, bend, twist = inner(z)
        return g.cos() * (twist - first**3) - 3 * value * first * bend

    return Activation(
        value=lambda z: inner(z)[0].sin(),
        slope=slope,
        second=second,
        third=third,
        bound=_siren(6.0),
        has_frequency=True,
    )


def _finer(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    distance = z.abs() / _OMEGA
    return z + z * distance, 1 + 2 * distance, 2 / _OMEGA * z.sign(), z * 0


def _sinh(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    scaled = 2 / _OMEGA * z
    sinh, cosh = scaled.sinh(), scaled.cosh()
    square = (2 / _OMEGA) ** 2
    return _OMEGA * sinh, 2 * cosh, _OMEGA * square * sinh, 2 * square * cosh


def _siren(gain: float) -> Bound:
    """Sitzmann et al. 2020: pre-activations of unit variance after multiplying by omega.

    ``gain`` is 3 over the variance of the activation (6 for sine, whose phase is wide; for others
    under a unit normal). Not its second moment: a mean that is the same at every point tells
    nothing of it.
    """
    return lambda fan_in, fan_out, omega, is_first: (
        1 / fan_in if is_first else math.sqrt(gain / fan_in) / omega
    )


def _xavier(gain: float) -> Bound:
    """Glorot and Bengio 2010."""
    return lambda fan_in, fan_out, omega, is_first: gain * math.sqrt(6 / (fan_in + fan_out))


def _kaiming(variance: float) -> Bound:
    """He et al. 2015, for the variance, which the activation multiplies by ``variance``."""
    return lambda fan_in, fan_out, omega, is_first: math.sqrt(3 / (variance * fan_in))


ACTIVATIONS = {
    "sine": Activation(
        value=lambda z: z.sin(),
        slope=lambda z, value: z.cos(),
        second=lambda z, value, slope: -value,
        third=lambda z, value, slope, second: -slope,
        bound=_siren(6.0),
        has_frequency=True,
    ),
    # Xavier as in the published study. sigma'' jumps from 1 to 0 at z = 0: exact almost
    # everywhere, but the network's Laplacian is discontinuous across those lines
    "elu": Activation(
        value=_elu,
        slope=lambda z, value: z.clamp(max=0).exp(),  # 1 for z > 0
        second=lambda z, value, slope: slope.masked_fill(z > 0, 0.0),
        third=lambda z, value, slope, second: second,
        bound=_xavier(1.0),
    ),
    "tanh": Activation(
        value=lambda z: z.tanh(),
        slope=lambda z, value: 1 - value * value,
        second=lambda z, value, slope: -2 * value * slope,
        third=lambda z, value, slope, second: slope * (6 * value * value - 2),
        bound=_xavier(5 / 3),
    ),
    "softplus": Activation(
        value=_softplus,
        slope=lambda z, value: z.sigmoid(),
        second=lambda z, value, slope: slope * (1 - slope),
        third=lambda z, value, slope, second: second * (1 - 2 * slope),
        bound=_kaiming(0.272),
    ),
    "gelu": Activation(
        value=lambda z: z * _distribution(z),
        slope=lambda z, value: _distribution(z) + z * _density(z),
        second=lambda z, value, slope: _density(z) * (2 - z * z),
        third=lambda z, value, slope, second: _density(z) * z * (z * z - 4),
        bound=_kaiming(0.346),
    ),
    "silu": Activation(
        value=lambda z: z * z.sigmoid(),
        slope=_silu_slope,
        second=_silu_second,
        third=_silu_third,
        bound=_kaiming(0.313),
    ),
    "gaussian": Activation(
        value=lambda z: (-0.5 * z * z).exp(),
        slope=lambda z, value: -z * value,
        second=lambda z, value, slope: -(value + z * slope),
        third=lambda z, value, slope, second: -(2 * slope + z * second),
        bound=_siren(38.8),
        has_frequency=True,
    ),
    # Saratchandran et al. 2024
    "sinc": Activation(
        value=lambda z: _sinc(z, 0, lambda far: far.sin() / far),
        slope=lambda z, value: _sinc(z, 1, lambda far: (far.cos() - value) / far),
        second=lambda z, value, slope: _sinc(z, 2, lambda far: -value - 2 * slope / far),
        third=lambda z, value, slope, second: _sinc(
            z, 3, lambda far: -slope - (3 * second + value) / far
        ),
        bound=_siren(94.2),
        has_frequency=True,
    ),
    # Serrano et al. 2024, with sharpness 1
    "hosc": _hosc(1.0),
    # Liu et al. 2024: sin((|z| + 1) omega z). Its second derivative jumps by 4 omega at z = 0, and
    # with it the network's Laplacian, as that of elu does
    "finer": _sine_of(_finer),
    # Gao and Jaiman 2024, for a first layer: sin(omega sinh(2 z))
    "sinh_sine": _sine_of(_sinh),
    # Saragadam et al. 2023, its real part: the wave is twice as fast as the window is narrow
    "wire": Activation(
        value=lambda z: z.cos() * (-0.25 * z * z).exp(),
        slope=lambda z, value: -z.sin() * (-0.25 * z * z).exp() - 0.5 * z * value,
        second=lambda z, value, slope: -(1.5 + 0.25 * z * z) * value - z * slope,
        third=lambda z, value, slope, second: (
            -0.5 * z * value - (2.5 + 0.25 * z * z) * slope - z * second
        ),
        bound=_siren(21.2),
        has_frequency=True,
    ),
}
