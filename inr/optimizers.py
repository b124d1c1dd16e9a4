"""Optimisers by name. Schedules and training only rely on the interface of torch.optim."""

from __future__ import annotations

from collections.abc import Callable

import torch

from inr.config import Optimizer, TrainingConfig
from inr.model import Network
from inr.schedules import rate_factor


def _adam(network: Network, rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters, lr=rate)


OPTIMIZERS: dict[Optimizer, Callable[[Network, float], torch.optim.Optimizer]] = {"adam": _adam}


def make_optimizer(
    training: TrainingConfig, network: Network
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimiser of a run and the scheduler to step after each of its steps."""
    optimizer = OPTIMIZERS[training.optimizer](network, training.learning_rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_factor(training, step)
    )
    return optimizer, scheduler
