"""Labelled numbers along logarithmic axes, of however many powers of ten or less than one."""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise, product

from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

_NEAR = 0.3  # part of an axis that may lie beyond the last tick
_ENOUGH = 3  # ticks
_ABOVE = 0.11  # part of an axis that a number takes with its gap, above another one
_GAP, _LETTER = 0.05, 0.035  # the same beside another one, for each letter too
_NARROWEST = 1.05  # greatest over smallest number of an axis: of five digits two would look alike


class RoundNumbers(LogLocator):
    """Ticks near both ends of an axis, so that all that is drawn lies between or near them.

    A ``floor`` and a ``ceiling`` within the limits are among them.
    """

    def __init__(self, floor: float, ceiling: float) -> None:
        """See the class."""
        super().__init__()
        self._edges = floor, ceiling

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """At least two between the limits."""
        low, high = sorted((vmin, vmax))
        edges = tuple(edge for edge in self._edges if low <= edge <= high)
        return _choose(low, high, edges, isinstance(self.axis, XAxis))

    def nonsingular(self, vmin: float, vmax: float) -> tuple[float, float]:
        """Limits that are far enough apart."""
        low, high = super().nonsingular(vmin, vmax)
        middle, half = math.sqrt(low) * math.sqrt(high), math.sqrt(_NARROWEST)
        return min(low, middle / half), max(high, middle * half)


def set_log_ticks(axis: Axis, floor: float, ceiling: float) -> None:
    """A labelled tick at each of `RoundNumbers`, and no others.

    The label of an end says that other values are drawn there too.
    """

    def label(value: float, _position: int) -> str:
        return ("≥" if value == ceiling else "≤" if value == floor else "") + _plain(value)

    axis.set_major_locator(RoundNumbers(floor, ceiling))
    axis.set_major_formatter(FuncFormatter(label))
    axis.set_minor_locator(NullLocator())


@lru_cache
def _choose(low: float, high: float, edges: tuple[float, ...], across: bool) -> list[float]:
    """The first candidates that are enough, near the ends, and not too near to each other."""
    span = math.log(high) - math.log(low)

    def far(one: float, other: float) -> float:
        return abs(math.log(other) - math.log(one)) / span

    def room(*values: float) -> float:
        return _GAP + _LETTER * max(len(_plain(v)) for v in values) if across else _ABOVE

    ticks: list[float] = []
    for found in _candidates(low, high):
        inside = (tick for tick in found if low <= tick <= high)
        # the number of an edge has a sign before it
        kept = (t for t in inside if all(far(t, edge) >= 1.2 * room(t, edge) for edge in edges))
        ticks = sorted({*kept, *edges})
        apart = all(far(*pair) >= room(*pair) for pair in pairwise(ticks))
        if len(ticks) < _ENOUGH or not apart:
            continue
        if max(far(low, ticks[0]), far(ticks[-1], high)) <= _NEAR:
            break
    return ticks


def _candidates(low: float, high: float) -> Iterator[list[float]]:
    """Powers of ten, some numbers of each, numbers at equal distances, and others if need be."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    for stride in range(1, (last - first) // 2 + 2):
        for start in range(first, first + stride):
            yield [10.0**power for power in range(start, last + 1, stride)]
    for mantissas in ((1, 3), (1, 2, 5), (1, 2, 3, 5, 7)):
        yield [m * 10.0**power for power in range(first, last + 1) for m in mantissas]
    for step, count in product((2, 2.5), range(2, 7)):
        equal = MaxNLocator(count, steps=[1, step, 5, 10], min_n_ticks=1)
        yield [tick for tick in equal.tick_values(low, high) if tick > 0]
    for parts in ((0.13, 0.5, 0.87), (0.15, 0.85)):
        yield [_rounded(low ** (1 - part) * high**part, low**-0.1 * high**0.1) for part in parts]


def _rounded(value: float, factor: float) -> float:
    """``value`` changed by at most ``factor``, to as few digits as can be."""
    found = (float(f"{value:.{digits}e}") for digits in range(5))
    return next((each for each in found if 1 / factor <= each / value <= factor), value)


def _plain(value: float) -> str:
    """``0.01``, but ``1e-3``: the way that learning rates are written everywhere else."""
    if value == 0 or 1e-2 <= abs(value) < 1e4:
        return f"{value:.5g}"
    mantissa, exponent = f"{value:.4e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
