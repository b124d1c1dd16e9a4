"""Which runs can be trained as one. Imports no torch."""

from __future__ import annotations

from collections.abc import Hashable

from inr.config import LossWeights, RunConfig


def highest_derivative(weights: LossWeights) -> int:
    """Highest derivative order that terms of positive weight need: 0, 1 or 2."""
    if weights.laplacian:
        return 2
    return 1 if weights.gradient or weights.time_derivative else 0


def fusing_key(config: RunConfig) -> Hashable:
    """What runs must have in common to be trained as one.

    Data, network, batch and arithmetic make one shape; the order of the highest derivative, so
    that none does the work of another.
    """
    training = config.training
    arithmetic = (training.precision, training.compile)
    order = highest_derivative(training.trained_weights)
    return (config.data, config.model, training.batch, *arithmetic, order)
