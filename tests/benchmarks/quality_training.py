"""Training against a clock that stops while errors are measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

from inr.config import RunConfig
from inr.network.model import initialize
from inr.network.trained_network import predict
from inr.quantities import QUANTITIES
from inr.training.balancing import Balance, loss_coefficients
from inr.training.batches import Batches, sequence_samples
from inr.training.evaluation import Evaluator
from inr.training.optimizers import clip_gradients, make_optimizers, step_optimizers
from inr.training.schedules import rate_factor
from inr.training.step import loss_and_gradients
from tests.helpers.reference import differentiate_nested, split, weighted_loss

FIRST_LOOK = 0.25  # s of training
LOOK_GROWTH = 1.15
WARM_UP = 3  # steps of a throw-away trainer: what torch sets up once is nobody's training


@dataclass
class Curve:
    """Held-out normalised errors of one run, at its looks."""

    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    errors: dict[str, list[float]] = field(default_factory=lambda: {q: [] for q in QUANTITIES})


class Trainer:
    """One run without its files: steps as the product takes them, or by nested autograd."""

    def __init__(self, config: RunConfig, evaluator: Evaluator, nested: bool) -> None:
        self.config, self.nested = config, nested
        device, dtype = torch.device("cpu"), torch.float32
        samples = sequence_samples(
            evaluator.x, evaluator.y, evaluator.times, evaluator.target, device, dtype
        )
        self.batches = Batches(config.training, samples)
        self.network = initialize(config.model, config.training.seed, dtype, config.input_scales)
        self.optimizers = make_optimizers(config.training, self.network)
        self.balance = Balance(config.training, device)
        self.variances = evaluator.variances
        self.coefficients = loss_coefficients(
            config.training.loss_weights, self.variances, self.network.weights[0]
        )
        self.taken = 0

    def gradients(self) -> None:
        """The gradients of the next step."""
        samples = self.batches(self.taken)
        if self.nested:
            points, targets = split(samples)
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            fields = differentiate_nested(self.network, points)
            weights = self.config.training.loss_weights
            weighted_loss(fields, targets, weights, self.variances).backward()
            return
        coefficients = self.balance.scale(self.coefficients)
        found = loss_and_gradients(self.network, samples, coefficients, order=2)
        for parameter, gradient in zip(self.network.parameters, found.gradients, strict=True):
            parameter.grad = gradient
        self.balance.observe(found.errors, self.taken)

    def step(self) -> None:
        """One step of the optimiser."""
        self.gradients()
        clip_gradients(self.config.training, self.network)
        step_optimizers(self.optimizers, rate_factor(self.config.training, self.taken))
        self.taken += 1


def learning_curve(
    config: RunConfig, *, nested: bool, seconds: float, tell: Callable[[str], None]
) -> Curve:
    """Train for ``seconds`` or until the run's last step; look at growing intervals.

    Args:
        config: the run, on all four terms.
        nested: derivatives by nested autograd instead of the product's step.
        seconds: limit on training alone.
        tell: takes a line about every look.
    """
    evaluator = Evaluator(config)
    warm_up = Trainer(config, evaluator, nested)
    for _ in range(WARM_UP):
        warm_up.step()
    trainer, curve = Trainer(config, evaluator, nested), Curve()
    clock, next_look = 0.0, FIRST_LOOK
    while clock < seconds and trainer.taken < config.training.steps:
        until = min(next_look, seconds)
        started = time.perf_counter()
        while trainer.taken < config.training.steps:
            trainer.step()
            if clock + time.perf_counter() - started >= until:
                break
        clock += time.perf_counter() - started
        next_look = max(next_look * LOOK_GROWTH, clock)
        held_out = evaluator.held_out(partial(predict, trainer.network))
        curve.steps.append(trainer.taken)
        curve.seconds.append(clock)
        for quantity in QUANTITIES:
            curve.errors[quantity].append(held_out[f"nmse_{quantity}"])
        found = ", ".join(f"{curve.errors[quantity][-1]:.4f}" for quantity in QUANTITIES)
        tell(f"  step {trainer.taken}, {clock:.1f} s: {found}")
    return curve


def check_agreement(config: RunConfig) -> float:
    """Largest difference of the gradients of the two ways, over their norm; at the first step.

    Raises `SystemExit` where they do not compute the same thing.
    """
    evaluator = Evaluator(config)
    flat = []
    for nested in (True, False):
        trainer = Trainer(config, evaluator, nested)
        trainer.gradients()
        flat.append(torch.cat([p.grad.flatten() for p in trainer.network.parameters]))
    difference = float((flat[0] - flat[1]).norm() / flat[0].norm())
    if not difference < 1e-3:  # float32
        raise SystemExit(f"the two ways differ by {difference:.1e} of the gradient")
    return difference
