r"""The training objective: a weighted sum of mean squared errors of value and derivatives.

.. math:: L = \sum_Q w_Q \, \mathrm{MSE}_Q / \mathrm{var}_Q

over the four quantities Q, with var_Q the variance of that target over the whole sequence (or 1
in the raw form). Squares of the gradient are summed over its two components before the mean.

`inr.step` computes it and its gradient by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """Exact fields at the points of a batch.

    Attributes:
        value, laplacian, time_derivative: [*model, point].
        gradient: d/dx, d/dy, [*model, point, 2].
    """

    value: Tensor
    gradient: Tensor
    laplacian: Tensor
    time_derivative: Tensor
