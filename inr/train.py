"""Fit one network to one diffusing image, and measure it while it learns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inr.batches import make_batches, sequence_points, sequence_targets
from inr.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from inr.config import RunConfig
from inr.derivatives import differentiate
from inr.errors import UsageError
from inr.examination import Examination
from inr.losses import order_needed, weighted_loss
from inr.model import initialize
from inr.optimizers import make_optimizer
from inr.recorder import Recorder
from inr.results import QUANTITIES, Quantity
from inr.trained import TrainedNetwork, save

DIVERGENCE_CHECK = 25  # steps between looks at the loss: a look makes a GPU wait
PROGRESS_SECONDS = 0.5
SHOWN_ERRORS = (*(f"nmse_{quantity}" for quantity in QUANTITIES), "psnr_value")


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: optimiser steps done.
        steps: optimiser steps in all.
        seconds: time spent training so far.
        errors: latest normalised errors of the four quantities, and PSNR.
    """

    step: int
    steps: int
    seconds: float
    errors: dict[str, float]


def fit(
    config: RunConfig,
    recorder: Recorder,
    *,
    device: str = "auto",
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """Train the network that ``config`` describes and record what the contract asks for.

    One seed on one machine, with one number of threads, gives the same series to the last bit on
    the CPU, also when the run was cut off and goes on from its checkpoint.

    Args:
        config: the run.
        recorder: takes the series, the frames and the trained network.
        device: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:1".
        on_progress: called at the start, every `PROGRESS_SECONDS` at most, and at the end.
        should_stop: asked after every step; True writes a checkpoint and returns.

    Returns:
        "complete"; "diverged" when the loss became NaN or infinite, with what was recorded until
        then; or "stopped", to go on when called again.

    Raises:
        UserError: the image cannot be used, or a file cannot be written.
        UsageError: the device does not exist.
    """
    run = _Fit(config, recorder, pick_device(device))
    return run.run(on_progress, should_stop)


def pick_device(name: str) -> torch.device:
    """The torch device called ``name``. Raises `UsageError` if this machine has none such."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"device {name!r} cannot be used ({reason}). Allowed: auto, cpu, cuda, cuda:<index>"
        ) from error
    return device


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


class _Fit:
    """State of one training: everything that changes from step to step lives here."""

    def __init__(self, config: RunConfig, recorder: Recorder, device: torch.device) -> None:
        self.config, self.recorder, self.device = config, recorder, device
        recorder.device = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        self.examination = exam = Examination(config)
        dtype = torch.float32
        points = sequence_points(exam.x, exam.y, exam.times, device, dtype)
        targets = sequence_targets(exam.target, device, dtype)
        self.batches = make_batches(config.training, points, targets)
        self.network = initialize(config.model, config.training.seed, dtype).to(device)
        self.optimizer, self.scheduler = make_optimizer(config.training, self.network)
        self.order = order_needed(config.training.loss_weights)
        self.scales: dict[Quantity, float] = (
            exam.statistics.variance
            if config.training.loss_normalization == "variance"
            else dict.fromkeys(QUANTITIES, 1.0)
        )
        self.step = 0
        self.seconds = 0.0
        self.errors: dict[str, float] = {}

    def run(
        self,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> str:
        """All steps that are left, then the final record."""
        if not self.resume():
            self.recorder.start()
            self.measure()
        on_progress(self.progress())
        time_to_report, time_to_save = (
            _Every(PROGRESS_SECONDS),
            _Every(self.config.record.checkpoint_seconds),
        )
        steps, status = self.config.training.steps, "complete"
        while self.step < steps and status == "complete":
            look = self.next_look()
            finite = self.train(look, should_stop)
            if self.step < look:  # what is due at the look is left to the next attempt
                status = "stopped"
            elif not finite:
                status = "diverged"
            if status == "diverged" or (self.step == look and self.measurement_is_due()):
                self.measure()
            if status == "stopped" or (status == "complete" and time_to_save()):
                self.save()
            if time_to_report():
                on_progress(self.progress())
        on_progress(self.progress())
        return status if status == "stopped" else self.finish(status)

    def next_look(self) -> int:
        """The next step after which something may have to be done.

        Multiples of fixed numbers, so that a resumed run looks where the uninterrupted one did.
        """
        intervals = (self.config.record.metrics_every, DIVERGENCE_CHECK)
        looks = [(self.step // interval + 1) * interval for interval in intervals]
        return min(*looks, self.config.training.steps)

    def measurement_is_due(self) -> bool:
        """True on the recording cadence and at the end."""
        at_end = self.step == self.config.training.steps
        return at_end or self.step % self.config.record.metrics_every == 0

    def train(self, until: int, should_stop: Callable[[], bool]) -> bool:
        """Optimiser steps up to step ``until``; False when the loss is no longer finite."""
        started = time.perf_counter()
        loss: Tensor = torch.zeros(())
        while self.step < until:
            points, targets = self.batches(self.step)
            fields = differentiate(self.network, points, self.order)
            loss = weighted_loss(fields, targets, self.config.training.loss_weights, self.scales)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1
            if should_stop() and self.step < until:
                break
        finite = bool(torch.isfinite(loss))  # waits for the device, so the clock is right
        self.seconds += time.perf_counter() - started
        return finite

    def measure(self) -> None:
        """Evaluate all frames and append a row to the series."""
        self.prediction, metrics = self.examination.on_pixels(self.network)
        row = {
            "seconds": self.seconds,
            "lr": float(self.scheduler.get_last_lr()[0]),
            "loss": self.examination.objective(self.config, metrics),
            **metrics,
        }
        self.recorder.row(self.step, row)
        last = self.step == self.config.training.steps
        if last or self.step % self.config.record.images_every == 0:
            self.recorder.pictures(self.step, self.prediction, self.examination.target)
        self.errors = {name: metrics[name] for name in SHOWN_ERRORS}

    def progress(self) -> Progress:
        """How far the run is."""
        return Progress(self.step, self.config.training.steps, self.seconds, self.errors)

    def save(self) -> None:
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
        )
        write_checkpoint(self.recorder.layout.checkpoint, checkpoint)

    def resume(self) -> bool:
        """Go back to the checkpoint; False when there is none to go on from."""
        path = self.recorder.layout.checkpoint
        state = read_checkpoint(path, self.config.run_id, self.device)
        if state is None or not self.recorder.start(state.step, state.rows):
            return False
        with torch.no_grad():
            for parameter, saved in zip(self.network.parameters, state.parameters, strict=True):
                parameter.copy_(saved)
        self.optimizer.load_state_dict(state.optimizer)
        self.scheduler.load_state_dict(state.scheduler)
        self.step, self.seconds = state.step, state.seconds
        return True

    def finish(self, status: str) -> str:
        """Write the network, then the complete results file; the checkpoint has served."""
        exam, layout = self.examination, self.recorder.layout
        save(layout.model, TrainedNetwork(self.config, self.network, exam.diffusion.shape))
        heldout = exam.held_out(self.network)
        self.recorder.finish(status, exam.times, self.prediction, exam.target, heldout)
        layout.checkpoint.unlink(missing_ok=True)
        return status
