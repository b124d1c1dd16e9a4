"""A sweep of five learning rates with a known order."""

from pathlib import Path

import h5py
import numpy as np

from inr.quantities import QUANTITIES
from inr.storage.paths import SweepLayout
from tests.helpers.synthetic import grid, write_sweep

SHAPE = (12, 12)
SMALL = {"data__size": [12], "data__frames": [2]}
RATES = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3]
BEST, MEDIAN, WORST = (f"1_0_0_0/sine_uniform_{rate}" for rate in ("3e-4", "3e-5", "1e-4"))


def write_ranked(root: Path) -> SweepLayout:
    """Final errors whose mean logarithms are far apart: 1e-4 is the worst, for it diverged."""
    layout = write_sweep(root, grid(training__learning_rate=RATES, **SMALL), shape=SHAPE)
    errors = {"1e-5": 1e-1, "3e-5": 1e-2, "1e-4": np.nan, "3e-4": 1e-4, "1e-3": 1e-3}
    for path in layout.runs.rglob("run.h5"):
        rate = path.parent.name.rpartition("_")[2]
        with h5py.File(path, "r+") as file:
            for quantity in QUANTITIES:
                file[f"series/nmse_{quantity}"][-1] = errors[rate]
            if rate == "1e-4":
                del file.attrs["status"]
                file.attrs.create("status", b"diverged", dtype=h5py.string_dtype("utf-8", 8))
    return layout
