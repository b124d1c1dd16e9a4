"""Train several runs of one shape as one: a leading model axis, one product for all.

Members share the arithmetic of a step and nothing else. Each has its own learning rate, schedule,
weights, seed, optimiser and files, and its own end: one that diverges or fails leaves the others
as they are. The parameters of the trainers are stacked anew in every step, which costs a copy of
them, and keeps every trainer an ordinary run that can leave, or be resumed alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from inr.network.adjoint import EAGER
from inr.network.matmul import arithmetic
from inr.network.model import Network
from inr.network.passes import Passes
from inr.training.batches import Targets
from inr.training.fusing_key import fusing_key
from inr.training.step import Step, loss_and_gradients
from inr.training.trainer import Trainer

Outcome = str | Exception  # "complete", "diverged", "stopped", or why the run failed


class FusedBatch:
    """Runs that are trained together, and what becomes of them.

    Args:
        trainers: runs of one `inr.training.fusing_key.fusing_key`.
        passes: of the step, see `inr.training.step.loss_and_gradients`.
    """

    def __init__(self, trainers: Sequence[Trainer] = (), passes: Passes = EAGER) -> None:
        self.passes = passes
        self._places: list[Trainer | None] = list(trainers)  # None: could not even be made
        self._failures: dict[int, Exception] = {}  # by place
        self._untold: dict[int, Callable[[Outcome], None]] = {}  # by place

    def admit(
        self, make: Callable[[], Trainer], on_end: Callable[[Outcome], None] = lambda outcome: None
    ) -> None:
        """Add a run; if it cannot be made, that is its end. ``on_end`` hears of its end at once."""
        self._places.append(None)
        place = len(self._places) - 1
        self._untold[place] = on_end
        with self._blaming([place]):
            self._places[place] = make()

    def active(self) -> list[Trainer]:
        """The trainers that still train."""
        return [trainer for _, trainer in self._active()]

    def train(
        self,
        should_stop: Callable[[], bool] = lambda: False,
        choose_passes: Callable[[Sequence[Trainer]], Passes] | None = None,
    ) -> list[Outcome]:
        """Train until each run has ended; one alone goes the same way, without the model axis.

        Args:
            should_stop: asked after every step; True writes all checkpoints and ends.
            choose_passes: the passes for trainers that are where they begin, or go on; None:
                those that the pack has.

        Returns:
            How each ended, in the order in which they were added.

        Raises:
            ValueError: the runs cannot be trained as one.
        """
        if len({fusing_key(trainer.config) for trainer in self.active()}) > 1:
            raise ValueError("only runs of the same data, network, batch and order fit together")
        self._each(self._active(), Trainer.begin)
        if choose_passes and (trainers := self.active()):
            self.passes = choose_passes(trainers)
        self._tell()
        while self.active():
            self._round(should_stop)
            self._tell()
        return [self._outcome(place) for place in range(len(self._places))]

    def gradients(self, trainers: Sequence[Trainer]) -> Step:
        """Loss and gradients of the next step, with a model axis if there are several trainers."""
        batches = [trainer.batches(trainer.step) for trainer in trainers]
        coefficients = [trainer.coefficients() for trainer in trainers]
        # compiled for the shapes of all: with fewer they would have to be compiled again
        passes = self.passes if len(trainers) == len(self._places) else EAGER
        if len(trainers) == 1:
            network, (points, targets) = trainers[0].network, batches[0]
            return loss_and_gradients(
                network, points, targets, coefficients[0], trainers[0].order, passes
            )
        return loss_and_gradients(
            stack_networks([trainer.network for trainer in trainers]),
            torch.stack([points for points, _ in batches]),
            stack_targets([targets for _, targets in batches]),
            torch.stack(coefficients),
            trainers[0].order,
            passes,
        )

    def take_step(self, trainers: Sequence[Trainer]) -> Step:
        """One optimiser step of each; returns what it was made from."""
        found = self.gradients(trainers)
        _update(trainers, found)
        return found

    def _active(self) -> list[tuple[int, Trainer]]:
        return [
            (place, trainer)
            for place, trainer in enumerate(self._places)
            if trainer is not None and trainer.status == "training" and place not in self._failures
        ]

    def _outcome(self, place: int) -> Outcome:
        trainer = self._places[place]
        return self._failures.get(place) or ("" if trainer is None else trainer.status)

    def _tell(self) -> None:
        """Tell those that wait for it how runs ended since the last time."""
        training = {place for place, _ in self._active()}
        for place in self._untold.keys() - training:
            self._untold.pop(place)(self._outcome(place))

    def _round(self, should_stop: Callable[[], bool]) -> None:
        """Steps up to the next look of any trainer, and that look."""
        active = self._active()
        trainers = [trainer for _, trainer in active]
        with self._blaming([place for place, _ in active]):
            steps = min(trainer.next_look() - trainer.step for trainer in trainers)
            looking = [trainer.next_look() - trainer.step == steps for trainer in trainers]
            done, finite, stopping = self._steps(trainers, steps, should_stop)
            if done == steps:  # otherwise what is due at the look is left to the next attempt
                for pair, looks, healthy in zip(active, looking, finite, strict=True):
                    if looks:
                        self._each([pair], partial(Trainer.look, finite=healthy))
            if stopping:
                self._each(self._active(), Trainer.stop)

    def _steps(
        self, trainers: Sequence[Trainer], steps: int, should_stop: Callable[[], bool]
    ) -> tuple[int, list[bool], bool]:
        """Steps of all trainers: how many, whose last loss was finite, whether to stop."""
        started = time.perf_counter()
        done, stopping = 0, False
        with arithmetic(trainers[0].config.training.precision):
            while done < steps and not stopping:
                found = self.take_step(trainers)
                done += 1
                stopping = should_stop()
        finite = torch.isfinite(found.loss).reshape(-1).tolist()  # waits for the device
        share = (time.perf_counter() - started) / len(trainers)
        for trainer in trainers:
            trainer.seconds += share
        return done, finite, stopping

    def _each(
        self, active: Sequence[tuple[int, Trainer]], action: Callable[[Trainer], None]
    ) -> None:
        """Do something for every trainer: where it fails, the others are as before."""
        for place, trainer in active:
            with self._blaming([place]):
                action(trainer)

    @contextmanager
    def _blaming(self, places: Sequence[int]) -> Iterator[None]:
        """What goes wrong in here is the failure of these runs, and of no other."""
        try:
            yield
        except Exception as error:
            self._failures.update(dict.fromkeys(places, error))


def _update(trainers: Sequence[Trainer], found: Step) -> None:
    """One step of every optimiser."""
    if len(trainers) == 1:
        trainers[0].update(found.gradients, found.errors)
        return
    by_member = zip(*(gradient.unbind() for gradient in found.gradients), strict=True)
    for trainer, gradients, errors in zip(trainers, by_member, found.errors, strict=True):
        trainer.update(gradients, errors)


def stack_networks(networks: Sequence[Network]) -> Network:
    """Networks of one shape along a leading axis, as copies outside the graph."""

    def stacked(each: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        return tuple(torch.stack([t.detach() for t in same]) for same in zip(*each, strict=True))

    return replace(
        networks[0],
        weights=stacked([network.weights for network in networks]),
        biases=stacked([network.biases for network in networks]),
    )


def stack_targets(targets: Sequence[Targets]) -> Targets:
    """Targets of batches of one size along a leading axis."""
    return Targets(
        **{name: torch.stack([vars(t)[name] for t in targets]) for name in vars(targets[0])}
    )
