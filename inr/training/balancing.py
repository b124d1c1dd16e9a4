r"""Balance of the loss terms while training: none, or ReLoBRaLo (Bischof and Kraus 2021).

ReLoBRaLo multiplies the configured weight of term i of m by lambda_i. Terms that have made less
progress get more. With L_i(t) the mean squared errors of step t,

.. math::
   \hat\lambda_i(t, s) = m \, \mathrm{softmax}_i \frac{L_i(t)}{T \, L_i(s)}, \qquad
   \lambda_i(t) = \alpha \left( \rho \lambda_i(t - 1) + (1 - \rho) \hat\lambda_i(t, 0) \right)
                + (1 - \alpha) \hat\lambda_i(t, t - 1)

alpha is ``decay``, T the ``temperature``, and rho is 1 with the probability ``lookback``, else 0:
now and then the balance looks back to the start. All lambda start at 1, and sum to m always. The
errors of step t give the lambda of step t + 1: gradients need them before the errors are known.
No gradient flows through them. They live on the device of the errors: nothing waits for it.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inr.config import TrainingConfig

_TINY = 1e-30  # a term that is exactly 0 has no progress to divide by


class Balance:
    """What the loss of one model multiplies its mean squared errors by: here, always the same.

    Vectors of four are in the order of `inr.results.QUANTITIES`.
    """

    def __init__(self) -> None:
        self._state: dict[str, Tensor] = {}

    def scale(self, coefficients: Float[Tensor, " quantity"]) -> Float[Tensor, " quantity"]:
        """The coefficients of the next step, from the configured ones."""
        return coefficients

    def observe(self, errors: Float[Tensor, " quantity"], step: int) -> None:
        """Take in the mean squared errors of step ``step``, from 0; once a step, in order."""

    def state_dict(self) -> dict[str, Tensor]:
        """What has to be kept to go on exactly; empty before the first step."""
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go back to a state."""
        self._state = dict(state)


class Relobralo(Balance):
    """ReLoBRaLo, deterministic in (seed, step). Terms of weight 0 take no part."""

    def __init__(self, training: TrainingConfig) -> None:
        super().__init__()
        self.options, self.seed = training.balancing_options, training.seed
        self._unused = torch.tensor([not w for w in training.loss_weights.as_tuple()])
        self._terms = sum(weight > 0 for weight in training.loss_weights.as_tuple())

    def scale(self, coefficients: Float[Tensor, " quantity"]) -> Float[Tensor, " quantity"]:
        """Each times its lambda."""
        return coefficients * self._state["factors"] if self._state else coefficients

    def observe(self, errors: Float[Tensor, " quantity"], step: int) -> None:
        """The lambda of the next step."""
        errors = errors.detach().clone()  # a replayed graph writes where it wrote before
        if not self._state:
            self._state = {"first": errors, "last": errors, "factors": torch.ones_like(errors)}
        first, last, factors = (self._state[name] for name in ("first", "last", "factors"))
        if self._looks_back(step):
            factors = self._progress(errors, first)
        decay = self.options.decay
        factors = decay * factors + (1 - decay) * self._progress(errors, last)
        self._state = {"first": first, "last": errors, "factors": factors}

    def _looks_back(self, step: int) -> bool:
        """1 - rho. The third number keeps apart from the draws of batches by (seed, step)."""
        draw = np.random.default_rng([self.seed, step, 1]).random()
        return bool(draw >= self.options.lookback)

    def _progress(
        self, errors: Float[Tensor, " quantity"], since: Float[Tensor, " quantity"]
    ) -> Float[Tensor, " quantity"]:
        ratio = errors / (self.options.temperature * since.clamp(min=_TINY))
        self._unused = self._unused.to(errors.device)  # copied once
        return self._terms * torch.softmax(ratio.masked_fill(self._unused, -torch.inf), dim=-1)


def make_balance(training: TrainingConfig) -> Balance:
    """The balance that ``training.loss_balancing`` names."""
    return Relobralo(training) if training.loss_balancing == "relobralo" else Balance()
