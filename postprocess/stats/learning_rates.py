"""Learning rates of the runs of a sweep, step by step from their schedules.

Recorded rows are too far apart for a rate that drops, or warms up, within a few steps.
"""

import json
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from inr.config import TrainingConfig
from inr.results import plain
from inr.training.schedules import rate_factor

UNIT_RATE = 1e-4  # integrated learning rates count steps at this rate
_POINTS = 500  # of a drawn schedule

# every setting that the learning rate of a step depends on, options of the schedule included
_SETTINGS = ("training.learning_rate", "training.protocol", "training.schedule", "training.steps")


def distinct_schedules(runs: pd.DataFrame) -> pd.DataFrame:
    """The settings of the schedules in ``runs`` (rows of ``/runs``), each by its first run."""
    return runs[[name for name in runs if name.startswith(_SETTINGS)]].drop_duplicates()


def rate_curves(runs: pd.DataFrame) -> pd.DataFrame:
    """The learning rate over the steps that each run has made, thinned evenly.

    ``runs`` are rows of ``/runs`` that have results. Columns run, step (from 0) and lr.
    """
    curves = []
    for run, row in runs.iterrows():
        training = _training(row)
        last = max(int(row["step"]) - 1, 0)
        steps = np.unique(np.linspace(0, last, min(_POINTS, last + 1)).round().astype(int))
        rates = [training.learning_rate * rate_factor(training, int(step)) for step in steps]
        curves.append(pd.DataFrame({"run": run, "step": steps, "lr": rates}))
    return pd.concat(curves, ignore_index=True)


def integrated_rates(runs: pd.DataFrame) -> pd.Series:
    """The learning rate of each run with results summed over its steps, in steps at `UNIT_RATE`."""
    totals = pd.Series(np.nan, index=runs.index)
    columns = [*distinct_schedules(runs), "step"]
    for _, group in runs.groupby(columns, sort=False, dropna=False):
        first = group.iloc[0]
        training = _training(first)
        factors = sum(rate_factor(training, step) for step in range(int(first["step"])))
        totals[group.index] = training.learning_rate * factors / UNIT_RATE
    return totals


def _training(run: pd.Series) -> TrainingConfig:
    """The schedule of a row of ``/runs``, whose settings are dotted paths and lists JSON."""
    nested: dict[str, Any] = {}
    for path, value in run.items():
        if str(path).startswith(_SETTINGS):
            _, *groups, field = str(path).split(".")
            inner = reduce(lambda group, name: group.setdefault(name, {}), groups, nested)
            inner[field] = json.loads(value) if str(value).startswith("[") else plain(value)
    return TrainingConfig.model_validate(nested)
