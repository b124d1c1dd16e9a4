"""TensorBoard view of a run: scalars, pictures of target and network, hyper-parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from inr.config import RunConfig
from inr.quantities import METRICS, QUANTITIES, Fields


def open_events(directory: Path, step: int) -> SummaryWriter:
    """A writer of event files in a run's directory, so that its name is the study's name.

    Events of an earlier attempt are kept up to ``step``, and hidden after it.
    """
    if step == 0:
        for stale in directory.glob("events.out.tfevents.*"):
            stale.unlink()
    return SummaryWriter(str(directory), purge_step=step + 1 if step else None)


def add_scalars(events: SummaryWriter, step: int, row: dict[str, float]) -> None:
    """One row of the series, tagged ``mse/value``, ``ssim/gradient``, ``train/lr``..."""
    for name, value in row.items():
        if name in METRICS:
            events.add_scalar(name.replace("_", "/", 1), value, step)
        elif name in ("lr", "loss"):
            events.add_scalar(f"train/{name}", value, step)


def add_pictures(events: SummaryWriter, step: int, prediction: Fields, target: Fields) -> None:
    """First frame of every quantity: target on the left, network on the right."""
    for quantity in QUANTITIES:
        wanted, predicted = getattr(target, quantity)[0], getattr(prediction, quantity)[0]
        if quantity == "gradient":
            wanted, predicted = np.hypot(*wanted), np.hypot(*predicted)
        low, high = float(wanted.min()), float(wanted.max())
        pair = np.concatenate([wanted, np.nan_to_num(predicted, nan=low)], axis=1)
        grey = np.clip((pair - low) / (high - low), 0, 1)
        events.add_image(f"target_and_network/{quantity}", grey, step, dataformats="HW")


def add_hyperparameters(events: SummaryWriter, config: RunConfig, final: dict[str, float]) -> None:
    """The run as a row of TensorBoard's HPARAMS table."""
    training = config.training
    chosen: dict[str, Any] = {
        **config.model.model_dump(include={"activation", "width", "depth"}),
        **training.model_dump(include={"schedule", "learning_rate", "optimizer", "steps", "seed"}),
        **{f"weight_{name}": weight for name, weight in training.loss_weights},
        "batch": str(training.batch),
        "size": config.data.size,
    }
    scores = {f"final/{name}": value for name, value in final.items()}
    # not SummaryWriter.add_hparams: that starts a second run in a subdirectory
    for summary in hparams(chosen, scores):
        events._get_file_writer().add_summary(summary)
    for name, value in scores.items():
        events.add_scalar(name, value, training.steps)
