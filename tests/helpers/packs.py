"""Small runs trained as a pack, and a signal while they are."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from inr.config import RunConfig
from inr.metrics import METRICS
from inr.results import open_run, read_series
from inr.storage.paths import SweepLayout
from jobs.worker.train import train_runs
from tests.helpers.local_launch import wait_until

BASE: dict[str, Any] = {
    "data": {"size": 12, "frames": 2},
    "model": {"width": 4, "depth": 1},
    "training": {"steps": 20, "batch": 16},
    "record": {"metrics_every": 10, "tensorboard": False},
}


def tiny(**training: Any) -> RunConfig:
    return RunConfig.model_validate(BASE | {"training": BASE["training"] | training})


def pack(root: Path, configs: list[RunConfig], mode: str, **options: Any) -> list[str]:
    work = [(f"run{i}", config.canonical_json()) for i, config in enumerate(configs)]
    return train_runs(str(root), work, mode, **options)  # type: ignore[arg-type]


def series(root: Path, name: str) -> dict[str, np.ndarray]:
    with open_run(SweepLayout(root).run(name).results) as file:
        found = read_series(file)
    return {key: found[key] for key in ("step", "loss", *METRICS)}


def send_when(condition: Callable[[], bool], number: signal.Signals) -> threading.Thread:
    """Send this process a signal once something is so."""

    def send() -> None:
        if wait_until(condition):
            os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    return sender
