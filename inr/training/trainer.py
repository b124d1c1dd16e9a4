"""One run while it trains: its network, its optimiser, its place in the files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from inr.config import RunConfig
from inr.files import remove
from inr.network.matmul import parameter_type
from inr.network.model import initialize
from inr.network.trained_network import TrainedNetwork, save
from inr.progress import Progress
from inr.quantities import QUANTITIES, Quantity
from inr.storage.run_writer import RunWriter
from inr.training.balancing import make_balance
from inr.training.batches import make_batches, sequence_points, sequence_targets
from inr.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from inr.training.evaluation import Evaluator
from inr.training.fusing_key import highest_derivative
from inr.training.optimizers import clip_gradients, make_optimizer
from inr.training.step import loss_coefficients

DIVERGENCE_CHECK = 25  # steps between looks at the loss: a look makes a GPU wait
PROGRESS_SECONDS = 0.5
SHOWN_ERRORS = (*(f"nmse_{quantity}" for quantity in QUANTITIES), "psnr_value")


class _Every:
    """True when called at least ``seconds`` after it was last true, or made."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True


class Trainer:
    """Everything of one run that changes from step to step.

    Args:
        config: the run.
        recorder: takes the series, the frames and the trained network.
        device: where it trains.
        on_progress: called at the start, every `PROGRESS_SECONDS` at most, and at the end.

    Attributes:
        status: "training"; then how it ended: "complete", "diverged" or "stopped".
        network: its parameters, leaves of the graph.
        step: optimiser steps done.
        seconds: time spent training.
        compiled: whether its steps are compiled; None: not decided.

    Raises:
        UserError: the image cannot be used.
    """

    def __init__(
        self,
        config: RunConfig,
        recorder: RunWriter,
        device: torch.device,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self.config, self.recorder, self.device = config, recorder, device
        self.on_progress = on_progress
        recorder.device = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        self.evaluator = evaluator = Evaluator(config)
        dtype = parameter_type(config.training.precision)
        points = sequence_points(evaluator.x, evaluator.y, evaluator.times, device, dtype)
        targets = sequence_targets(evaluator.target, device, dtype)
        self.batches = make_batches(config.training, points, targets)
        network = initialize(config.model, config.training.seed, dtype, config.input_scales)
        self.network = network.to(device)
        self.optimizer, self.scheduler = make_optimizer(config.training, self.network)
        self.balance = make_balance(config.training)
        weights = config.training.trained_weights
        self.order = highest_derivative(weights)
        variances: dict[Quantity, float] = (
            evaluator.statistics.variance
            if config.training.loss_normalization == "variance"
            else dict.fromkeys(QUANTITIES, 1.0)
        )
        self._coefficients = loss_coefficients(weights, variances, self.network.weights[0])
        self.status = "training"
        self.step = 0
        self.seconds = 0.0
        self.compiled: bool | None = None
        self.errors: dict[str, float] = {}

    def begin(self) -> None:
        """Go back to the checkpoint, or start."""
        self._time_to_report = _Every(PROGRESS_SECONDS)
        self._time_to_save = _Every(self.config.record.checkpoint_seconds)
        if not self._resume():
            self.recorder.start()
            self._measure()
        self.on_progress(self.progress())

    def next_look(self) -> int:
        """The next step after which something may have to be done.

        Multiples of fixed numbers, so that a resumed run looks where the uninterrupted one did.
        """
        intervals = (self.config.record.metrics_every, DIVERGENCE_CHECK)
        looks = [(self.step // interval + 1) * interval for interval in intervals]
        return min(*looks, self.config.training.steps)

    def coefficients(self) -> Float[Tensor, " 4"]:
        """What the mean squared errors are multiplied by in the loss of the next step."""
        return self.balance.scale(self._coefficients)

    def update(self, gradients: Sequence[Tensor], errors: Float[Tensor, " 4"]) -> None:
        """One step of the optimiser.

        Args:
            gradients: of the loss, in the order of `Network.parameters`.
            errors: the mean squared errors of this step.
        """
        self.balance.observe(errors, self.step)
        for parameter, gradient in zip(self.network.parameters, gradients, strict=True):
            parameter.grad = gradient
        clip_gradients(self.config.training, self.network)
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1

    def look(self, finite: bool) -> None:
        """Do what is due after this step. ``finite``: whether the loss was."""
        steps = self.config.training.steps
        if not finite or self.step == steps or self.step % self.config.record.metrics_every == 0:
            self._measure()
        if not finite:
            self._finish("diverged")
        elif self.step == steps:
            self._finish("complete")
        else:
            if self._time_to_save():
                self._save()
            if self._time_to_report():
                self.on_progress(self.progress())

    def stop(self) -> None:
        """Save; what is due is left to the next attempt."""
        self._save()
        self.on_progress(self.progress())
        self.status = "stopped"

    def progress(self) -> Progress:
        """How far the run is."""
        return Progress(self.step, self.config.training.steps, self.seconds, self.errors)

    def _measure(self) -> None:
        """Evaluate all frames and append a row to the series."""
        self.prediction, metrics = self.evaluator.on_pixels(self.network)
        row = {
            "seconds": self.seconds,
            "lr": float(self.scheduler.get_last_lr()[0]),
            "loss": self.evaluator.objective(self.config, metrics),
            **metrics,
        }
        self.recorder.row(self.step, row)
        last = self.step == self.config.training.steps
        if last or self.step % self.config.record.images_every == 0:
            self.recorder.pictures(self.step, self.prediction, self.evaluator.target)
        self.errors = {name: metrics[name] for name in SHOWN_ERRORS}

    def _save(self) -> None:
        """Write the series, then the checkpoint that counts its rows."""
        self.recorder.flush()
        checkpoint = Checkpoint(
            run_id=self.config.run_id,
            step=self.step,
            seconds=self.seconds,
            rows=self.recorder.rows,
            parameters=[parameter.detach() for parameter in self.network.parameters],
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
            balancing=self.balance.state_dict(),
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
            for parameter, saved in zip(self.network.parameters, state.parameters, strict=True):
                parameter.copy_(saved)
        self.optimizer.load_state_dict(state.optimizer)
        self.scheduler.load_state_dict(state.scheduler)
        # the optimiser moves its own
        self.balance.load_state_dict({k: v.to(self.device) for k, v in state.balancing.items()})
        self.step, self.seconds, self.compiled = state.step, state.seconds, state.compiled
        return True

    def _finish(self, status: str) -> None:
        """Write the network, then the complete results file; the checkpoint has served."""
        evaluator, layout = self.evaluator, self.recorder.layout
        self.on_progress(self.progress())
        save(layout.model, TrainedNetwork(self.config, self.network, evaluator.shape))
        heldout = evaluator.held_out(self.network)
        self.recorder.finish(status, evaluator.times, self.prediction, evaluator.target, heldout)
        remove(layout.checkpoint)
        self.status = status
