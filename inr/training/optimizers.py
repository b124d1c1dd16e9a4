"""Optimisers by name. Schedules and training only rely on the interface of torch.optim.

All update parameters in place and read nothing but their gradients: parameters may be views of
larger tensors, as those of one model among several are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from inr.config import Optimizer, TrainingConfig
from inr.network.model import Network
from inr.training.schedules import rate_factor


class Combined(torch.optim.Optimizer):
    """Optimisers of different parameters that step together.

    Its parameter groups are those of its parts, in their order: a rate set in one is the rate that
    its part uses.
    """

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = list(parts)
        super().__init__(self._groups(), {})

    def _groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of every part."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The state of every part."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go back to a state."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        # the parts have made new groups
        self.param_groups = self._groups()


def _adam(training: TrainingConfig, network: Network) -> torch.optim.Optimizer:
    """Kingma and Ba 2015."""
    return torch.optim.Adam(network.parameters, lr=training.learning_rate)


def _muon(training: TrainingConfig, network: Network) -> torch.optim.Optimizer:
    """Muon (Jordan 2024) for the matrices between hidden layers, Adam for all else.

    Muon's updates are scaled to the size that Adam's have (Liu et al. 2025), so that
    ``hidden_rate_factor`` compares like with like.
    """
    hidden = network.weights[1:-1]
    others = [network.weights[0], network.weights[-1], *network.biases]
    adam = torch.optim.Adam(others, lr=training.learning_rate)
    if not hidden:  # a single hidden layer
        return adam
    options = training.optimizer_options
    muon = torch.optim.Muon(
        hidden,
        lr=options.hidden_rate_factor * training.learning_rate,
        momentum=options.momentum,
        weight_decay=0.0,
        adjust_lr_fn="match_rms_adamw",
    )
    return Combined([adam, muon])  # adam first: its rate is the one that is recorded


def _soap(training: TrainingConfig, network: Network) -> torch.optim.Optimizer:
    """Vyas et al. 2024; biases have no matrix to precondition and get Adam."""
    from pytorch_optimizer import SOAP  # takes a second to import: only those who use it wait

    optimizer: torch.optim.Optimizer = SOAP(
        network.parameters,
        lr=training.learning_rate,
        weight_decay=0.0,
        precondition_frequency=training.optimizer_options.basis_every,
    )
    return optimizer


OPTIMIZERS: dict[Optimizer, Callable[[TrainingConfig, Network], torch.optim.Optimizer]] = {
    "adam": _adam,
    "muon": _muon,
    "soap": _soap,
}


def make_optimizer(
    training: TrainingConfig, network: Network
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimiser of a run and the scheduler to step after each of its steps.

    The schedule multiplies the rates of all groups alike. The first group's is
    ``training.learning_rate`` at the peak.
    """
    optimizer = OPTIMIZERS[training.optimizer](training, network)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_factor(training, step)
    )
    return optimizer, scheduler


def clip_gradients(training: TrainingConfig, network: Network) -> None:
    """Scale the gradients down to the norm ``training.clip_norm`` over all parameters, if larger.

    Nothing waits for the device. Gradients that are NaN or infinite stay so.
    """
    if training.clip_norm != "none":
        torch.nn.utils.clip_grad_norm_(network.parameters, training.clip_norm)
