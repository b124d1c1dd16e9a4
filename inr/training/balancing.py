r"""Balance of the loss terms: weights over variances, perhaps times those of ReLoBRaLo.

ReLoBRaLo (Bischof and Kraus 2021) multiplies the configured weight of term i of m by lambda_i.
Terms that have made less progress get more. With L_i(t) the mean squared errors of step t,

.. math::
   \hat\lambda_i(t, s) = m \, \mathrm{softmax}_i \frac{L_i(t)}{T \, L_i(s)}, \qquad
   \lambda_i(t) = \alpha \left( \rho \lambda_i(t - 1) + (1 - \rho) \hat\lambda_i(t, 0) \right)
                + (1 - \alpha) \hat\lambda_i(t, t - 1)

alpha is ``decay``, T the ``temperature``, and rho is 1 with the probability ``lookback``, else 0:
now and then the balance looks back to the start. All lambda start at 1, and sum to m always. The
errors of step t give the lambda of step t + 1: gradients need them before the errors are known.
No gradient flows through them. They live on the device of the errors: nothing waits for it.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inr.config import LossWeights, TrainingConfig
from inr.quantities import QUANTITIES, Quantity

_TINY = 1e-30  # a term that is exactly 0 has no progress to divide by


def loss_coefficients(
    weights: LossWeights, variances: Mapping[Quantity, float], like: Tensor
) -> Float[Tensor, " term"]:
    """Coefficients weight / variance of each term, of the type and on the device of ``like``.

    ``variances`` are those of the targets over the whole sequence, or 1 in the raw form; the
    value's times the share of points at which it is known.
    """
    pairs = zip(QUANTITIES, weights.as_tuple(), strict=True)
    return like.new_tensor([weight / variances[quantity] for quantity, weight in pairs])


class Balance:
    """What the loss of one run multiplies its mean squared errors by, from seed and step alone.

    Vectors of four are in the order of `inr.quantities.QUANTITIES`. Terms of weight 0 take no part.
    """

    def __init__(self, training: TrainingConfig, device: torch.device) -> None:
        # what has to be kept to go on exactly; empty before a first step, and without balancing
        self.state: dict[str, Tensor] = {}
        self._training = training
        unused = [not weight for weight in training.loss_weights.as_tuple()]
        self._unused = torch.tensor(unused, device=device)
        self._terms = sum(weight > 0 for weight in training.loss_weights.as_tuple())

    def scale(self, coefficients: Float[Tensor, " quantity"]) -> Float[Tensor, " quantity"]:
        """The coefficients of the next step: the configured ones, each times its lambda."""
        return coefficients * self.state["factors"] if self.state else coefficients

    def observe(self, errors: Float[Tensor, " quantity"], step: int) -> None:
        """Take in the mean squared errors of step ``step``, from 0; once a step, in order."""
        if self._training.loss_balancing == "none":
            return
        errors = errors.detach().clone()  # a replayed graph writes where it wrote before
        if not self.state:
            self.state = {"first": errors, "last": errors, "factors": torch.ones_like(errors)}
        first, last, factors = (self.state[name] for name in ("first", "last", "factors"))
        options = self._training.balancing_options
        # 1 - rho; the third number keeps apart from the draws of batches by (seed, step)
        draw = np.random.default_rng([self._training.seed, step, 1]).random()
        if draw >= options.lookback:
            factors = self._progress(errors, first)
        factors = options.decay * factors + (1 - options.decay) * self._progress(errors, last)
        self.state = {"first": first, "last": errors, "factors": factors}

    def _progress(
        self, errors: Float[Tensor, " quantity"], since: Float[Tensor, " quantity"]
    ) -> Float[Tensor, " quantity"]:
        temperature = self._training.balancing_options.temperature
        ratio = errors / (temperature * since.clamp(min=_TINY))
        return self._terms * torch.softmax(ratio.masked_fill(self._unused, -torch.inf), dim=-1)
