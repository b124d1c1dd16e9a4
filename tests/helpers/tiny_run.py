"""One small run from configuration to files."""

from pathlib import Path
from typing import Any

import numpy as np

from inr.config import RecordConfig, RunConfig
from inr.results import open_run, read_series
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.fit import Run, fit_together

# what a training step may be made of
CHOICES: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam"},
    "muon": {"optimizer": "muon"},
    "soap": {"optimizer": "soap"},
    "balancing": {"loss_balancing": "relobralo", "balancing_options": {"lookback": 0.5}},
    "frames": {"batch": "frame"},
    "value alone": {"loss_weights": (1, 0, 0, 0), "clip_norm": "none"},
}


def make_config(**training: Any) -> RunConfig:
    given = {"steps": 40, "batch": 64, "clip_norm": 1, "schedule": "cosine"} | training
    return RunConfig(
        data={"size": 12, "frames": 3},
        model={"width": 16, "depth": 3},
        training={"loss_weights": (1, 1, 1, 1), **given},
        record={"metrics_every": 20, "tensorboard": False},
    )


def tiny(**training: object) -> RunConfig:
    return RunConfig.model_validate(
        {
            "data": {"size": 16, "frames": 3},
            "model": {"width": 16, "depth": 2, "omega_first": 10, "omega_hidden": 10},
            "training": {"steps": 30, "learning_rate": 1e-3, "loss_weights": [1, 1, 1, 1]}
            | training,
            "record": {"metrics_every": 8, "images_every": 16},
        }
    )


def quiet(**training: object) -> RunConfig:
    """As tiny, without the seconds that TensorBoard costs."""
    config = tiny(**training)
    return config.model_copy(update={"record": RecordConfig(metrics_every=8, tensorboard=False)})


def fit(config: RunConfig, recorder: RunWriter, **options: Any) -> str:
    """Train one run alone, as `fit_together` does, and raise what ends it."""
    told = {"on_progress": options.pop("on_progress")} if "on_progress" in options else {}
    (outcome,) = fit_together([Run(config, recorder, **told)], **options)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def run(config: RunConfig, directory: Path, **options: object) -> RunLayout:
    layout = RunLayout(directory)
    with RunWriter(layout, config, "a/name") as recorder:
        fit(config, recorder, device="cpu", **options)
    return layout


def series_of(layout: RunLayout) -> dict[str, np.ndarray]:
    with open_run(layout.results) as file:
        return read_series(file)
