"""What is added to the table of its module is trained, measured and recorded like the others."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

from inr.storage.paths import RunLayout


def test_added_activation_optimiser_schedule_and_metric_make_a_run(tmp_path: Path) -> None:
    # in a process of its own: names are read once, with the configuration
    command = [sys.executable, "-m", "tests.helpers.added_choices", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with h5py.File(RunLayout(tmp_path).results) as file:
        series = {name: column[:] for name, column in file["series"].items()}
        assert file["heldout"]["mae_value"] > 0
    assert series["step"].tolist() == [0, 10, 20]
    np.testing.assert_allclose(series["lr"], 0.01 * (1 - np.array([0.5, 10.5, 20]) / 20))
    assert series["loss"][-1] < series["loss"][0]
    assert series["mae_value"][-1] ** 2 < series["mse_value"][-1]
