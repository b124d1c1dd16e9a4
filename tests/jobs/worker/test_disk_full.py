"""On a full disk a run ends with a clear reason and its last good state."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from inr.config import RunConfig
from inr.results import open_run, read_series
from inr.storage.attempts import read_attempts
from inr.storage.paths import SweepLayout
from jobs.worker.train import train_runs


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 kB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], check=True)
    yield disk
    # lazily: a writer thread of TensorBoard may still be letting go of its file
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize("tensorboard", [False, True], ids=["results", "TensorBoard"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_full_disk_ends_the_run_with_its_last_good_state(
    tensorboard: bool, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = RunConfig.model_validate(
        {
            "data": {"size": 48, "frames": 3},
            "model": {"width": 64, "depth": 2},
            "training": {"steps": 60},
            "record": {"metrics_every": 5, "images_every": 5, "tensorboard": tensorboard},
        }
    )
    files = SweepLayout(small_disk).run("run")
    alone = [("run", config.canonical_json())]
    assert train_runs(str(small_disk), alone) == ["failed"]
    assert re.search(r"cannot .*: No space left on device", capsys.readouterr().err)
    (attempt,) = read_attempts(files.attempts)
    assert attempt.status == "disk_full"
    assert "No space left on device" in attempt.reason
    assert str(small_disk) in attempt.reason
    assert "Traceback" in files.error.read_text()
    with open_run(files.results) as file:
        assert len(read_series(file)["step"]) >= 1
    assert not list(files.root.glob(".run.*"))
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    assert train_runs(str(small_disk), alone) == ["complete"]
