"""What the benchmark of networks compares: networks, images, budget."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import qmc

from inr.added_fields import ADDED_FIELDS

TUNING_IMAGES = ("camera", "coins")
IMAGES = ("astronaut", "brick", "chelsea", "coffee", "grass", "moon")
SEEDS = 5
TRIALS = 12  # settings tried for each network
SETTINGS = ("training.learning_rate", "model.first_scale", "model.time_scale")
# of the trials: rate; first_scale over the network's own; time_scale
LOWEST, HIGHEST = (1e-4, 0.25, 0.1), (5e-3, 4.0, 1.0)

BASE: dict[str, dict[str, Any]] = {
    "data": {"size": 48},
    "model": {"width": 64, "depth": 3},
    "training": {
        "steps": 500,
        "batch": 512,
        "optimizer": "muon",
        "schedule": "cosine",
        "loss_weights": [1, 1, 1, 1],
        "clip_norm": 1,
        "compile": "off",
    },
    "record": {"metrics_every": 500, "images_every": 500, "tensorboard": False},
}
IDENTITY = ("activation", "sines", "first_layer", "initialization", "hidden_scale")


@dataclass(frozen=True)
class Candidate:
    """A network of the comparison."""

    activation: str
    # middle of the scales that are tried for its first layer: phases of some ten radians
    first_scale: float = 1.0
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> dict[str, Any]:
        """Its fields of ``model``."""
        standard = {name: ADDED_FIELDS["model"][name] for name in IDENTITY[1:]}
        return {"activation": self.activation} | standard | self.fields


_GAUSSIAN, _DYADIC = {"first_layer": "fourier_gaussian"}, {"first_layer": "fourier_dyadic"}
CANDIDATES = {
    "sine": Candidate("sine"),
    "sine (hidden weights x 1.5)": Candidate("sine", fields={"hidden_scale": 1.5}),
    "sine (siren2)": Candidate("sine", 0.25, {"initialization": "siren2"}),
    "sine (sinh first)": Candidate("sine", fields={"first_layer": "sinh"}),
    "finer": Candidate("finer"),
    "sinc": Candidate("sinc"),
    "hosc": Candidate("hosc"),
    "wire": Candidate("wire"),
    "gaussian": Candidate("gaussian"),
    # phases without a frequency begin within a radian
    "tanh": Candidate("tanh", 8.0),
    "softplus": Candidate("softplus", 8.0),
    "gelu": Candidate("gelu", 8.0),
    "silu": Candidate("silu", 8.0),
    "elu": Candidate("elu", 8.0),
    # frequencies of up to, or about, 30 radians a unit of length
    "sine on Gaussian Fourier": Candidate("sine", 0.25, _GAUSSIAN),
    "tanh on Gaussian Fourier": Candidate("tanh", 0.25, _GAUSSIAN),
    "gelu on Gaussian Fourier": Candidate("gelu", 0.25, _GAUSSIAN),
    "sine on dyadic Fourier": Candidate("sine", 1.0, _DYADIC),
    "tanh on dyadic Fourier": Candidate("tanh", 1.0, _DYADIC),
    "gelu on dyadic Fourier": Candidate("gelu", 1.0, _DYADIC),
}


def trials(candidate: Candidate) -> Iterator[dict[str, Any]]:
    """The settings that are tried for a network, the same for all but for their first_scale.

    Evenly spread (Halton) in the logarithm of each, rounded to two digits.
    """
    points = qmc.Halton(len(SETTINGS), rng=0).random(TRIALS)
    settings = np.exp(qmc.scale(points, np.log(LOWEST), np.log(HIGHEST)))
    for rate, first, time in settings:
        scales = {
            "first_scale": _rounded(first * candidate.first_scale),
            "time_scale": _rounded(time),
        }
        yield {"model": candidate.model | scales, "training.learning_rate": _rounded(rate)}


def _rounded(number: float) -> float:
    return float(f"{number:.2g}")


def tuning_sweep() -> dict[str, Any]:
    """The sweep that tries settings."""
    return {
        "description": "settings tried for each network, on images that are not reported",
        "base": BASE,
        "grid": {"data.image": list(TUNING_IMAGES)},
        "list": [trial for candidate in CANDIDATES.values() for trial in trials(candidate)],
    }


def report_sweep(chosen: pd.DataFrame) -> dict[str, Any]:
    """The sweep that is reported; ``chosen`` has a row of `SETTINGS` by network."""
    settings = [
        {
            "model": CANDIDATES[name].model
            | {each.removeprefix("model."): row[each] for each in SETTINGS[1:]},
            "training.learning_rate": row["training.learning_rate"],
        }
        for name, row in chosen.to_dict("index").items()
    ]
    return {
        "description": "every network with the settings that were chosen for it",
        "base": BASE,
        "grid": {"data.image": list(IMAGES)},
        "list": settings,
        "seeds": SEEDS,
    }


def networks_of(runs: pd.DataFrame) -> pd.Series:
    """The network of each run of a merged sweep, by its name here."""
    names = {
        tuple(str(candidate.model[each]) for each in IDENTITY): name
        for name, candidate in CANDIDATES.items()
    }
    identities = runs[[f"model.{each}" for each in IDENTITY]].astype(str)
    return identities.apply(tuple, axis=1).map(names)
