"""One run while it trains: its network, its optimiser, its place in the files."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from inr.config import RunConfig
from inr.files import remove
from inr.network.matmul import parameter_type
from inr.network.model import initialize
from inr.network.trained_network import TrainedNetwork, predict, save
from inr.progress import Progress
from inr.quantities import QUANTITIES, Fields
from inr.results import HELDOUT
from inr.storage.run_writer import RunWriter
from inr.training.balancing import Balance, loss_coefficients
from inr.training.batches import Batches, sequence_samples
from inr.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from inr.training.evaluation import Evaluator
from inr.training.optimizers import (
    clip_gradients,
    make_optimizers,
    restore_optimizer,
    step_optimizers,
)
from inr.training.schedules import rate_factor

DIVERGENCE_CHECK = 25  # steps between checks of the loss: each makes a GPU wait
PROGRESS_SECONDS = 0.5
SHOWN_ERRORS = (*(f"nmse_{quantity}" for quantity in QUANTITIES), "psnr_value")

Outcome = str | Exception  # "complete", "diverged", "stopped", or why the run failed


@dataclass(frozen=True)
class Run:
    """A run to train."""

    config: RunConfig
    recorder: RunWriter  # takes the series, the frames and the trained network
    # called at the start, every `PROGRESS_SECONDS` at most, and at the end
    on_progress: Callable[[Progress], None] = lambda progress: None
    # told how it ended, at once, while others still train
    on_end: Callable[[Outcome], None] = lambda outcome: None


class Trainer:
    """All of a run that changes from step to step; `UserError` if its image cannot be used."""

    def __init__(self, run: Run, device: torch.device) -> None:
        self.run, self.device = run, device
        self.config, self.recorder = config, recorder = run.config, run.recorder
        recorder.device = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        self.evaluator = evaluator = Evaluator(config)
        dtype = parameter_type(config.training.precision)
        grid = (evaluator.x, evaluator.y, evaluator.times)
        samples = sequence_samples(*grid, evaluator.wanted, device, dtype)
        self.batches = Batches(config.training, samples)
        network = initialize(
            config.model,
            config.training.seed,
            dtype,
            config.input_scales,
            evaluator.spectral_centroid,
        )
        self.network = network.to(device)
        self.optimizers = make_optimizers(config.training, self.network)
        self.balance = Balance(config.training, device)
        weights = config.training.trained_weights
        self.order = weights.highest_derivative
        scales = dict(evaluator.scales)
        # steps average over all points, with errors of 0 where no value is wanted
        scales["value"] *= float(evaluator.value_known.mean())
        self.coefficients = loss_coefficients(weights, scales, self.network.weights[0])
        self.outcome: Outcome | None = None  # None while it trains
        self.step = 0  # optimiser steps done
        self.seconds = 0.0  # spent training
        self.compiled: bool | None = None  # whether its steps are; None: not decided
        self._errors: dict[str, float] = {}

    def begin(self) -> None:
        """Go back to the checkpoint, or start."""
        self._saved = time.monotonic()
        if not self._resume():
            self.recorder.start()
            self._measure()
        self._report()

    def next_check(self) -> int:
        """The next step after which something may have to be done.

        Multiples of fixed numbers, so that a resumed run is checked where one in one piece was.
        """
        intervals = (self.config.metrics_every, DIVERGENCE_CHECK)
        checks = [(self.step // interval + 1) * interval for interval in intervals]
        return min(*checks, self.config.training.steps)

    def update(self, gradients: Sequence[Tensor], errors: Float[Tensor, " 4"]) -> None:
        """One step of the optimisers, by the gradients of the loss by `Network.parameters`."""
        self.descend(gradients, rate_factor(self.config.training, self.step))
        self.count_step(errors)

    def descend(self, gradients: Sequence[Tensor], factor: float) -> None:
        """Change the parameters, at so many times the peak rate."""
        for parameter, gradient in zip(self.network.parameters, gradients, strict=True):
            if parameter.requires_grad:
                parameter.grad = gradient
        clip_gradients(self.config.training, self.network)
        step_optimizers(self.optimizers, factor)

    def count_step(self, errors: Float[Tensor, " 4"]) -> None:
        """Go on to the next step: this one found these mean squared errors."""
        self.balance.observe(errors, self.step)
        self.step += 1

    def check(self, finite: bool) -> None:
        """Do what is due after this step. ``finite``: whether the loss was."""
        record, ends = self.config.record, not finite or self.step == self.config.training.steps
        if ends:
            self._finish("complete" if finite else "diverged", self._measure())
            return
        if self.step % self.config.metrics_every == 0:
            self._measure()
        if time.monotonic() - self._saved >= record.checkpoint_seconds:
            self._save()
        if time.monotonic() - self._reported >= PROGRESS_SECONDS:
            self._report()

    def stop(self) -> None:
        """Save; what is due is left to the next attempt."""
        self._save()
        self._report()
        self.outcome = "stopped"

    def _report(self) -> None:
        self._reported = time.monotonic()
        steps = self.config.training.steps
        self.run.on_progress(Progress(self.step, steps, self.seconds, self._errors))

    def _measure(self) -> Fields:
        """Evaluate all frames and append a row to the series. Returns what is predicted."""
        prediction, metrics = self.evaluator.on_pixels(partial(predict, self.network))
        training = self.config.training
        row = {
            "seconds": self.seconds,
            "lr": training.learning_rate * rate_factor(training, self.step),
            "loss": self.evaluator.objective(prediction, metrics),
            **metrics,
        }
        self.recorder.row(self.step, row)
        since = self.step % self.config.record.images_every
        if self.step == training.steps or since < self.config.metrics_every:
            self.recorder.pictures(self.step, prediction, self.evaluator.target)
        self._errors = {name: metrics[name] for name in SHOWN_ERRORS}
        return prediction

    def _save(self) -> None:
        """Write the series, then the checkpoint that counts its rows."""
        self._saved = time.monotonic()
        self.recorder.flush()
        checkpoint = Checkpoint(
            run_id=self.config.run_id,
            step=self.step,
            seconds=self.seconds,
            rows=self.recorder.rows,
            parameters=[parameter.detach() for parameter in self.network.parameters],
            optimizers=[optimizer.state_dict() for optimizer in self.optimizers],
            balancing=self.balance.state,
            compiled=bool(self.compiled),
        )
        write_checkpoint(self.recorder.layout.checkpoint, checkpoint)

    def _resume(self) -> bool:
        """Go back to the checkpoint; False when there is none to go on from.

        Raises `UserError` if it, or the series, cannot be read now: neither may be replaced.
        """
        path = self.recorder.layout.checkpoint
        state = read_checkpoint(path, self.config.run_id)
        if state is None or not self.recorder.start(state.step, state.rows):
            return False
        with torch.no_grad():
            for parameter, numbers in zip(self.network.parameters, state.parameters, strict=True):
                parameter.copy_(numbers)
        for optimizer, saved in zip(self.optimizers, state.optimizers, strict=True):
            restore_optimizer(optimizer, saved)
        self.balance.state = {name: each.to(self.device) for name, each in state.balancing.items()}
        self.step, self.seconds, self.compiled = state.step, state.seconds, state.compiled
        return True

    def _finish(self, status: str, prediction: Fields) -> None:
        """Write the network, then the complete results file; the checkpoint has served."""
        evaluator, layout = self.evaluator, self.recorder.layout
        self._report()
        save(layout.model, TrainedNetwork(self.config, self.network, evaluator.shape))
        predicted = partial(predict, self.network)
        heldout = {points: evaluator.held_out(predicted, points) for points in HELDOUT}
        del self.batches  # most of the memory: the file is made in it, and as large
        self.recorder.finish(status, evaluator.times, prediction, evaluator.target, heldout)
        remove(layout.checkpoint)
        self.outcome = status
