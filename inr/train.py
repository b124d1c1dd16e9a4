"""Fit one network to one diffusing image, and measure it while it learns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inr.batches import make_batches, sequence_points, sequence_targets
from inr.config import RunConfig
from inr.derivatives import differentiate
from inr.diffusion import Diffusion, Fields, frame_times, pixel_coordinates
from inr.errors import UsageError
from inr.losses import order_needed, weighted_loss
from inr.metrics import evaluate, target_statistics
from inr.model import Network, initialize
from inr.optimizers import make_optimizer
from inr.predict import predict
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


class Examination:
    """The whole sequence as an exam: exact frames, and what a network makes of them."""

    def __init__(self, config: RunConfig) -> None:
        self.diffusion = Diffusion.from_config(config.data)
        self.times = frame_times(config.data.frames)
        self.x, self.y = pixel_coordinates(self.diffusion.shape)
        self.target = self.diffusion.on_pixels(self.times)
        self.statistics = target_statistics(self.target)

    def on_pixels(self, network: Network) -> tuple[Fields, dict[str, float]]:
        """Predicted frames, and their metrics."""
        prediction = predict(network, self.x, self.y, self.times)
        return prediction, evaluate(prediction, self.target, self.statistics, self.diffusion.kappa)

    def held_out(self, network: Network) -> dict[str, float]:
        """Metrics where nothing was trained: pixel corners, half-way between the frames."""
        grid = [(axis[1:] + axis[:-1]) / 2 for axis in (self.x, self.y, self.times)]
        target = self.diffusion.on_grid(*grid)
        prediction = predict(network, *grid)
        return evaluate(prediction, target, target_statistics(target), self.diffusion.kappa)

    def objective(self, config: RunConfig, metrics: dict[str, float]) -> float:
        """The training objective over the whole sequence, from its metrics."""
        kind = "nmse" if config.training.loss_normalization == "variance" else "mse"
        weights = config.training.loss_weights.as_tuple()
        return sum(
            weight * metrics[f"{kind}_{quantity}"]
            for quantity, weight in zip(QUANTITIES, weights, strict=True)
            if weight
        )


def fit(
    config: RunConfig,
    recorder: Recorder,
    *,
    device: str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> str:
    """Train the network that ``config`` describes and record what the contract asks for.

    One seed on one machine, with one number of threads, gives the same series to the last bit on
    the CPU.

    Args:
        config: the run.
        recorder: takes the series, the frames and the trained network.
        device: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:1".
        on_progress: called at most every `PROGRESS_SECONDS`, and at the end.

    Returns:
        "complete", or "diverged" when the loss became NaN or infinite; then what was recorded
        until then is kept.

    Raises:
        UserError: the image cannot be used.
        UsageError: the device does not exist.
    """
    return _Fit(config, recorder, pick_device(device), on_progress).run()


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


class _Fit:
    """State of one training: everything that changes from step to step lives here."""

    def __init__(
        self,
        config: RunConfig,
        recorder: Recorder,
        device: torch.device,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.config, self.recorder, self.device = config, recorder, device
        recorder.device = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        self.examination = Examination(config)
        exam = self.examination
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
        self.on_progress = on_progress
        self.step = 0
        self.seconds = 0.0
        self.errors: dict[str, float] = {}
        self.reported = -PROGRESS_SECONDS

    def run(self) -> str:
        """All steps, then the final record."""
        record, steps = self.config.record, self.config.training.steps
        self.measure()
        status = "complete"
        while self.step < steps and status == "complete":
            due = record.metrics_every - self.step % record.metrics_every
            look = min(due, steps - self.step, DIVERGENCE_CHECK)
            if not self.train(look):
                status = "diverged"
            if look == due or self.step == steps or status == "diverged":
                self.measure()
            self.report(final=self.step == steps)
        self.finish(status)
        return status

    def train(self, steps: int) -> bool:
        """Some optimiser steps; False when the loss is no longer finite after them."""
        started = time.perf_counter()
        loss: Tensor = torch.zeros(())
        for _ in range(steps):
            points, targets = self.batches(self.step)
            fields = differentiate(self.network, points, self.order)
            loss = weighted_loss(fields, targets, self.config.training.loss_weights, self.scales)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1
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

    def report(self, final: bool) -> None:
        """Tell how far the run is, not too often."""
        now = time.perf_counter()
        if self.on_progress and (final or now - self.reported >= PROGRESS_SECONDS):
            self.reported = now
            steps = self.config.training.steps
            self.on_progress(Progress(self.step, steps, self.seconds, self.errors))

    def finish(self, status: str) -> None:
        """Write the network, then the complete results file."""
        exam = self.examination
        trained = TrainedNetwork(self.config, self.network, exam.diffusion.shape)
        save(self.recorder.layout.model, trained)
        heldout = exam.held_out(self.network)
        self.recorder.finish(status, exam.times, self.prediction, exam.target, heldout)
