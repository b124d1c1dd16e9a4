"""Trains a run with an activation, an optimiser, a schedule and a metric that are added here."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import inr.metrics
from inr.metrics import METRICS, Metric
from inr.network.activations import ACTIVATIONS, Activation
from inr.quantities import Fields
from inr.training.optimizers import OPTIMIZERS
from inr.training.schedules import SCHEDULES

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from inr.config import TrainingConfig
    from inr.network.model import Network

_evaluate = inr.metrics.evaluate


def descend(training: TrainingConfig, network: Network) -> list[Optimizer]:
    from torch.optim import SGD

    return [SGD(network.parameters, lr=training.learning_rate)]


def evaluate(pairs: Iterable[tuple[Fields, Fields]], *others: object) -> dict[str, float]:
    pairs = list(pairs)
    error = float(np.mean([abs(found.value - wanted.value) for found, wanted in pairs]))
    return _evaluate(pairs, *others) | {"mae_value": error}


def add() -> None:
    """As if they stood in the tables of their modules, before a configuration is read."""
    ACTIVATIONS["cosine"] = Activation(
        value=lambda z: z.cos(),
        slope=lambda z, value: -z.sin(),
        second=lambda z, value, slope: -value,
        third=lambda z, value, slope, second: -slope,
        bound=ACTIVATIONS["sine"].bound,
        has_frequency=True,
    )
    OPTIMIZERS["descent"] = descend
    SCHEDULES["linear"] = lambda p, options: 1 - p
    METRICS["mae_value"] = Metric("value MAE")
    inr.metrics.evaluate = evaluate


def main(folder: Path) -> None:
    """Train, and fail if the names were not known without torch."""
    add()
    from inr.config import RunConfig

    config = RunConfig.model_validate(
        {
            "data": {"size": 16, "frames": 3},
            "model": {"width": 16, "depth": 2, "activation": "cosine", "omega_hidden": 10},
            "training": {"steps": 20, "learning_rate": 0.01, "optimizer": "descent"}
            | {"schedule": "linear", "loss_weights": [1, 0.1, 0.01, 0.1]},
            "record": {"metrics_every": 10, "tensorboard": False},
        }
    )
    assert "torch" not in sys.modules
    from tests.helpers.tiny_run import run

    run(config, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
