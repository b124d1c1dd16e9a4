"""TensorBoard view of a run: scalars, pictures of target and network, hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from inr.config import RunConfig
from inr.diffusion import Fields
from inr.errors import UserError
from inr.results import METRICS, QUANTITIES


@contextmanager
def _failure_named(directory: Path) -> Iterator[None]:
    """TensorBoard writes in a thread, whose errors surface later and name no file."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{directory}: TensorBoard cannot write events: {reason}") from error


class TensorBoardLog:
    """Writes event files into the run's directory, so that its name is the study's name.

    Every method raises `UserError` when the events cannot be written.
    """

    def __init__(self, directory: Path, step: int) -> None:
        """Start at ``step``: events of an earlier attempt are kept before it, hidden after it."""
        if step == 0:
            for stale in directory.glob("events.out.tfevents.*"):
                stale.unlink()
        self._directory = directory
        self._writer = SummaryWriter(str(directory), purge_step=step + 1 if step else None)

    def scalars(self, step: int, row: dict[str, float]) -> None:
        """One row of the series, tagged ``mse/value``, ``ssim/gradient``, ``train/lr``..."""
        with _failure_named(self._directory):
            for name, value in row.items():
                if name in METRICS:
                    kind, _, rest = name.partition("_")
                    self._writer.add_scalar(f"{kind}/{rest}", value, step)
                elif name in ("lr", "loss"):
                    self._writer.add_scalar(f"train/{name}", value, step)

    def pictures(self, step: int, prediction: Fields, target: Fields) -> None:
        """First frame of every quantity: target on the left, network on the right."""
        for quantity in QUANTITIES:
            wanted, predicted = getattr(target, quantity)[0], getattr(prediction, quantity)[0]
            if quantity == "gradient":
                wanted, predicted = np.hypot(*wanted), np.hypot(*predicted)
            low, high = float(wanted.min()), float(wanted.max())
            pair = np.concatenate([wanted, np.nan_to_num(predicted, nan=low)], axis=1)
            grey = np.clip((pair - low) / (high - low), 0, 1)
            with _failure_named(self._directory):
                tag = f"target_and_network/{quantity}"
                self._writer.add_image(tag, grey, step, dataformats="HW")

    def hyperparameters(self, config: RunConfig, final: dict[str, float]) -> None:
        """The run as a row of TensorBoard's HPARAMS table."""
        training, model, data = config.training, config.model, config.data
        chosen: dict[str, bool | str | float | int] = {
            "activation": model.activation,
            "width": model.width,
            "depth": model.depth,
            "schedule": training.schedule,
            "learning_rate": training.learning_rate,
            "optimizer": training.optimizer,
            "batch": str(training.batch),
            "steps": training.steps,
            "seed": training.seed,
            "size": data.size,
        }
        for name, weight in training.loss_weights.model_dump().items():
            chosen[f"weight_{name}"] = weight
        scores = {f"final/{name}": value for name, value in final.items()}
        # not SummaryWriter.add_hparams: that starts a second run in a subdirectory
        with _failure_named(self._directory):
            for summary in hparams(chosen, scores):
                self._writer._get_file_writer().add_summary(summary)
            for name, value in scores.items():
                self._writer.add_scalar(name, value, training.steps)

    def close(self) -> None:
        """Flush and close the event file."""
        with _failure_named(self._directory):
            self._writer.close()
