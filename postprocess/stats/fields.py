"""Fields of a configuration, and their values, in words."""

from collections.abc import Iterable
from pathlib import PurePath

import pandas as pd

from inr.config import format_rate
from inr.quantities import QUANTITIES

WEIGHTS = "training.loss_weights"
WEIGHT_COLUMNS = tuple(f"{WEIGHTS}.{quantity}" for quantity in QUANTITIES)
SEED = "training.seed"
RATE = "training.learning_rate"
IMAGE = "data.image"
DATA = "data."  # what these fields say is what is learned
PROTOCOL = "training.protocol"
DERIVATIVES = "data.derivatives"
SCHEDULE = "training.schedule"
ACTIVATION = "model.activation"
_LABELS = {  # where the name of the setting does not do
    "data.size": "image size (px)",
    "data.sigma_start": "blur of the first frame (px)",
    "data.sigma_end": "blur of the last frame (px)",
    "data.frame_spacing": "frames evenly spaced in",
    DERIVATIVES: "derivatives of the targets",
    "model.width": "units per hidden layer",
    "model.depth": "hidden layers",
    "model.omega_first": "first-layer frequency",
    "model.omega_hidden": "hidden-layer frequency",
    "model.space_scale": "scale of the space input",
    "model.time_scale": "scale of the time input",
    "model.first_scale": "scale of the first layer",
    "model.hidden_scale": "scale of the hidden weights",
    "model.sines": "sines of a unit",
    "model.initialization": "initial weights",
    "training.steps": "optimiser steps",
    "training.batch": "points per step",
    "training.optimizer": "optimiser",
    "training.optimizer_options.hidden_rate_factor": "hidden-matrix rate / rate (muon)",
    "training.optimizer_options.momentum": "momentum (muon)",
    "training.optimizer_options.basis_every": "steps between new bases (soap)",
    "training.schedule_options.final_fraction": "last / peak learning rate",
    "training.schedule_options.milestones": "milestones (fractions of the run)",
    "training.schedule_options.factor": "factor at each milestone",
    "training.schedule_options.cycles": "cycles per run",
    "training.schedule_options.floor_fraction": "lowest / peak learning rate",
    "training.schedule_options.warmup_fraction": "warm-up (fraction of the run)",
    "training.value_points": "pixels at which the value is trained",
    "training.loss_normalization": "loss divided by",
    "training.loss_balancing": "balancing of the loss terms",
    "training.balancing_options.temperature": "balancing temperature",
    "training.balancing_options.decay": "balancing decay",
    "training.balancing_options.lookback": "balancing look-back probability",
    "training.clip_norm": "largest gradient norm",
    "training.precision": "arithmetic",
    "training.compile": "compiled step",
    "record.metrics_every": "steps between measurements",
    WEIGHTS: "weights (value, gradient, Laplacian, time derivative)",
}


def label_of(key: str) -> str:
    """A field for people, with the unit."""
    return _LABELS.get(key, key.rpartition(".")[2].replace("_", " "))


def short(label: str) -> str:
    """A label without what stands in parentheses."""
    return label.partition(" (")[0]


def weights_text(weights: Iterable[float]) -> str:
    """A weighting in words: ``(1, 0.01, 0.001, 0)``."""
    return f"({', '.join(f'{weight:g}' for weight in weights)})"


def as_text(key: str, values: pd.Series) -> pd.Series:
    """Values of a field for people."""
    if key == IMAGE:
        return values.astype(str).map(_image_names(values.astype(str)))

    def text(value: object) -> str:
        if key == RATE:
            return format_rate(float(str(value)))
        if isinstance(value, float):
            return f"{value:g}"
        return str(value).replace("_", " ").removesuffix(".0")  # text where others say "none"

    return values.map(text).astype(str)


def _image_names(paths: Iterable[str]) -> dict[str, str]:
    """Files by their names, and as many of the folders above as tell all of them apart."""
    parts = {path: PurePath(path).parts for path in paths}
    names: dict[str, str] = {}
    for count in range(1, 1 + max(map(len, parts.values()), default=0)):
        names = {path: "/".join(each[-count:]) for path, each in parts.items()}
        if len({*names.values()}) == len(names):
            break
    return names
