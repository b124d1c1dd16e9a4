"""TensorBoard view of a run: scalars, pictures of target and network, hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from inr.config import RunConfig
from inr.quantities import METRICS, QUANTITIES, Fields

Given = ParamSpec("Given")


def _tolerated(method: Callable[Concatenate[TensorBoardLog, Given], None]) -> Any:
    """Let ``method`` fail without a failure: TensorBoard's thread says late what went wrong."""

    @wraps(method)
    def call(log: TensorBoardLog, *args: Given.args, **named: Given.kwargs) -> None:
        if log.failed:
            return
        try:
            method(log, *args, **named)
        except OSError as error:
            log.failed = True
            reason = error.strerror or str(error)
            print(f"{log.directory}: TensorBoard cannot write events: {reason}", flush=True)

    return call


class TensorBoardLog:
    """Writes event files into the run's directory, so that its name is the study's name.

    They are a view only: when they cannot be written, it says so once, and no more are.
    """

    def __init__(self, directory: Path, step: int) -> None:
        """Start at ``step``: events of an earlier attempt are kept before it, hidden after it."""
        self.directory, self.failed = directory, False
        self._open(step)

    @_tolerated
    def _open(self, step: int) -> None:
        if step == 0:
            for stale in self.directory.glob("events.out.tfevents.*"):
                stale.unlink()
        self._writer = SummaryWriter(str(self.directory), purge_step=step + 1 if step else None)

    @_tolerated
    def scalars(self, step: int, row: dict[str, float]) -> None:
        """One row of the series, tagged ``mse/value``, ``ssim/gradient``, ``train/lr``..."""
        for name, value in row.items():
            if name in METRICS:
                kind, _, rest = name.partition("_")
                self._writer.add_scalar(f"{kind}/{rest}", value, step)
            elif name in ("lr", "loss"):
                self._writer.add_scalar(f"train/{name}", value, step)

    @_tolerated
    def pictures(self, step: int, prediction: Fields, target: Fields) -> None:
        """First frame of every quantity: target on the left, network on the right."""
        for quantity in QUANTITIES:
            wanted, predicted = getattr(target, quantity)[0], getattr(prediction, quantity)[0]
            if quantity == "gradient":
                wanted, predicted = np.hypot(*wanted), np.hypot(*predicted)
            low, high = float(wanted.min()), float(wanted.max())
            pair = np.concatenate([wanted, np.nan_to_num(predicted, nan=low)], axis=1)
            grey = np.clip((pair - low) / (high - low), 0, 1)
            tag = f"target_and_network/{quantity}"
            self._writer.add_image(tag, grey, step, dataformats="HW")

    @_tolerated
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
        for summary in hparams(chosen, scores):
            self._writer._get_file_writer().add_summary(summary)
        for name, value in scores.items():
            self._writer.add_scalar(name, value, training.steps)

    @_tolerated
    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()
