"""Train several runs of one shape as one: a leading model axis, one product for all.

Runs share the arithmetic of a step and nothing else. Each has its own learning rate, schedule,
weights, seed, optimiser and files, and its own end: one that diverges or fails leaves the others
as they are. The parameters of the trainers are stacked anew in every step, which costs a copy of
them, and keeps every trainer an ordinary run that can leave, or be resumed alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from inr.network.adjoint import EAGER
from inr.network.matmul import arithmetic
from inr.network.model import Network
from inr.network.passes import Passes
from inr.training.batches import Targets
from inr.training.step import Step, loss_and_gradients
from inr.training.trainer import Outcome, Trainer


def train(
    trainers: Sequence[Trainer], passes: Passes, should_stop: Callable[[], bool]
) -> Iterator[tuple[Trainer, Outcome]]:
    """Train until each run has ended; one alone goes the same way, without the model axis.

    Args:
        trainers: runs of one `RunConfig.fusing_key` that have begun.
        passes: of the step of all of them, see `inr.training.step.loss_and_gradients`.
        should_stop: asked after every step; True writes all checkpoints and ends.

    Yields:
        Each run and how it ended, at once, while others still train.
    """
    left = list(trainers)
    while left:
        # compiled for the shapes of all: with fewer they would have to be compiled again
        _round(left, passes if len(left) == len(trainers) else EAGER, should_stop)
        yield from [(each, each.outcome) for each in left if each.outcome is not None]
        left = [trainer for trainer in left if trainer.outcome is None]


def _round(trainers: list[Trainer], passes: Passes, should_stop: Callable[[], bool]) -> None:
    """Steps up to the next look of any trainer, and that look."""
    with _blamed(trainers):
        looks = [trainer.next_look() for trainer in trainers]
        steps = min(look - trainer.step for look, trainer in zip(looks, trainers, strict=True))
        started = time.perf_counter()
        with arithmetic(trainers[0].config.training.precision):
            for _ in range(steps):
                found = take_step(trainers, passes)
                if stopping := should_stop():  # what is due later is left to the next attempt
                    break
        finite = torch.isfinite(found.loss).reshape(-1).tolist()  # waits for the device
        share = (time.perf_counter() - started) / len(trainers)
        for trainer, look, healthy in zip(trainers, looks, finite, strict=True):
            trainer.seconds += share
            if trainer.step == look:
                with _blamed([trainer]):
                    trainer.look(healthy)
            if stopping and trainer.outcome is None:
                with _blamed([trainer]):
                    trainer.stop()


@contextmanager
def _blamed(trainers: Sequence[Trainer]) -> Iterator[None]:
    """What goes wrong in here is the end of these runs, and of no other."""
    try:
        yield
    except Exception as error:
        for trainer in trainers:
            trainer.outcome = error


def take_step(trainers: Sequence[Trainer], passes: Passes = EAGER) -> Step:
    """One optimiser step of each; returns what it was made from."""
    found = gradients(trainers, passes)
    if len(trainers) == 1:
        trainers[0].update(found.gradients, found.errors)
        return found
    by_run = zip(*(gradient.unbind() for gradient in found.gradients), strict=True)
    for trainer, own, errors in zip(trainers, by_run, found.errors, strict=True):
        trainer.update(own, errors)
    return found


def gradients(trainers: Sequence[Trainer], passes: Passes = EAGER) -> Step:
    """Loss and gradients of the next step, with a model axis if there are several trainers."""
    points, targets = zip(*(trainer.batches(trainer.step) for trainer in trainers), strict=True)
    coefficients = [trainer.balance.scale(trainer.coefficients) for trainer in trainers]
    first = trainers[0]
    if len(trainers) == 1:
        return loss_and_gradients(
            first.network, points[0], targets[0], coefficients[0], first.order, passes
        )
    return loss_and_gradients(
        stack_networks([trainer.network for trainer in trainers]),
        torch.stack(points),
        Targets(*map(torch.stack, zip(*targets, strict=True))),
        torch.stack(coefficients),
        first.order,
        passes,
    )


def stack_networks(networks: Sequence[Network]) -> Network:
    """Networks of one shape along a leading axis, as copies outside the graph."""

    def stacked(each: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        return tuple(torch.stack([t.detach() for t in same]) for same in zip(*each, strict=True))

    return replace(
        networks[0],
        weights=stacked([network.weights for network in networks]),
        biases=stacked([network.biases for network in networks]),
    )
