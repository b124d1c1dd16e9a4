"""What the benchmark of recipes compares: recipes, images, budget."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from inr.config import BUILT_IN_IMAGES, RunConfig
from inr.storage.sweep_index import flatten_config
from jobs.sweeps.sweep_file import find_sweep_file, load_sweep
from tests.benchmarks.learning.generated_images import GENERATED

RECOMMENDED, PUBLISHED, TUNED = "recommended", "published reference", "tuned reference"
TUNING_IMAGES = ("camera", "coins", "gravel")  # those on which the recipe was found
BUILT_IN = tuple(sorted(set(BUILT_IN_IMAGES) - set(TUNING_IMAGES)))
IMAGES = (*BUILT_IN, *GENERATED)
SEEDS = 3
TUNING_STEPS = 500  # as when the recipe was found
SETTINGS = (  # what makes a recipe; all else is shared
    "training.optimizer",
    "training.learning_rate",
    "training.schedule",
    "model.time_scale",
    "training.clip_norm",
)
KEY = ["recipe", "data.image", "training.seed"]  # of a run

Recipe = Mapping[str, Any]


def _fields(config: RunConfig) -> dict[str, Any]:
    return dict(flatten_config(config.model_dump(mode="json")))


_STANDARD = _fields(RunConfig())
_SHIPPED = _fields(load_sweep(find_sweep_file(RECOMMENDED)).configs[0])
RECIPE: Recipe = {field: _SHIPPED[field] for field in SETTINGS}
# SIREN's optimiser and rate; its frequencies of 30 are the standard here
REFERENCE: Recipe = {field: _STANDARD[field] for field in SETTINGS}
BASE: Recipe = {
    field: value
    for field, value in _SHIPPED.items()
    if value != _STANDARD[field] and field not in SETTINGS
} | {"record.metrics_every": 100, "record.tensorboard": False}
TRIALS: list[Recipe] = [
    REFERENCE
    | {"training.learning_rate": rate, "training.schedule": schedule, "model.time_scale": time}
    for rate, schedule, time in product((1e-4, 3e-4, 1e-3), ("uniform", "cosine"), (1.0, 0.2))
]


def tuning_sweep() -> dict[str, Any]:
    """The sweep that tries settings of the reference."""
    return {
        "description": "settings tried for the reference, on the images of the recipe",
        "base": BASE | {"training.steps": TUNING_STEPS},
        "grid": {"data.image": list(TUNING_IMAGES)},
        "list": TRIALS,
    }


def recipes(tuned: Recipe) -> dict[str, Recipe]:
    """Those that are compared: without the tuned reference if it is the published one."""
    found = {RECOMMENDED: RECIPE, PUBLISHED: REFERENCE}
    return found if tuned == REFERENCE else found | {TUNED: tuned}


def report_sweep(tuned: Recipe, generated: Mapping[str, Path]) -> dict[str, Any]:
    """The sweep that is reported; ``generated`` images are files."""
    return {
        "description": "the recipe and its references, on images on which none was tuned",
        "base": BASE,
        "grid": {"data.image": [*BUILT_IN, *map(str, generated.values())]},
        "list": list(recipes(tuned).values()),
        "seeds": SEEDS,
    }


def recipes_of(runs: pd.DataFrame, compared: Mapping[str, Recipe]) -> pd.Series:
    """The recipe of each run of a merged sweep, by its name in ``compared``."""
    names = {tuple(map(str, recipe.values())): name for name, recipe in compared.items()}
    return runs[list(SETTINGS)].astype(str).apply(tuple, axis=1).map(names)
