"""What breaks under a sweep: processes, nodes, daemons, memory, the disk.

Each ends with every run complete and equal, byte for byte, to an undisturbed one, or listed with
the right reason.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import imageio.v3 as iio
import pytest
from skimage.data import camera

from tests.helpers.slurm.commands import ask, wait_for

if "SLURM_CONF" in os.environ:
    from tests.helpers.slurm.sweep import (
        LONGER,
        Sweep,
        end_well,
        without,
    )

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="no cluster: make test-slurm"),
    pytest.mark.usefixtures("queue_left_empty"),
    # daemons that a test brings back are meant to outlive the object that started them
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_training_process_killed(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.launch()
    os.kill(sweep.wait_until_training(0), signal.SIGKILL)
    sweep.wait_until_left()
    name = sweep.runs[0].name
    wait_for(lambda: sweep.states()[name]["state"] not in ("running", "waiting"), 60)
    assert sweep.states()[name]["state"] in ("failed", "lost")
    assert "1 to train" in sweep.launch()
    end_well(sweep)
    killed, last = sweep.attempts(0)
    assert killed.status == "killed"
    assert last.first_step > 0


def test_slurmd_killed_and_brought_back(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, nodelist="n1")
    sweep.launch()
    sweep.wait_until_training(0)
    with without("slurmd-n1"):
        time.sleep(3)
    end_well(sweep)


def test_retry_avoids_a_node_that_failed(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, {"seeds": 2, "set": LONGER})
    ask("scontrol", "update", "node=n2", "state=drain", "reason=test")
    try:
        sweep.launch()
        for position in (0, 1):
            sweep.wait_until_training(position)
        ask("scontrol", "update", "node=n1", "state=down", "reason=test")
        requeued = ("squeue", "-h", "-r", "-j", sweep.job_ids[0], "-t", "PENDING", "-o", "%i")
        wait_for(lambda: len(ask(*requeued).splitlines()) == 2)
        ask("scancel", sweep.job_ids[0])
        sweep.wait_until_left()
        wait_for(lambda: {run["state"] for run in sweep.states().values()} == {"cancelled"})
    finally:
        for node in ("n1", "n2"):
            subprocess.run(["scontrol", "update", f"node={node}", "state=resume"], check=False)
    said = sweep.manage("retry", "--no-preflight", "--no-post")
    assert "n1 excluded, where at least 2 runs failed for the node's reasons" in said
    end_well(sweep)
    for position in (0, 1):
        first, *_, last = sweep.attempts(position)
        assert (first.node, last.node, last.status) == ("n1", "n2", "complete")


def test_slurmctld_restarted(tmp_path: Path) -> None:
    # Slurm's commands wait some ten seconds before they give up
    longer = {"training.steps": 40_000, "record.metrics_every": 20_000}
    sweep = Sweep(tmp_path, {"seeds": 2, "set": longer})
    sweep.launch()
    sweep.wait_until_training(0)
    with without("slurmctld", signal.SIGTERM):
        assert "Slurm" in sweep.launch(code=1)
        assert sweep.states()[sweep.runs[0].name]["state"] in ("running", "done")
    end_well(sweep)


def test_accounting_stopped(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    with without("slurmdbd"):
        sweep.launch()
        sweep.wait_until_training(0)
        assert sweep.states()[sweep.runs[0].name]["state"] == "running"
        end_well(sweep)
        assert {run["state"] for run in sweep.states().values()} == {"done"}


def test_crash_and_lack_of_memory_stay_with_their_run(tmp_path: Path) -> None:
    image = tmp_path / "photo.png"
    iio.imwrite(image, camera()[::16, ::16])
    several = [
        {"training.seed": 0},
        {"data.image": str(image)},
        {"model.width": 9000, "model.depth": 2, "training.steps": 2},
    ]
    sweep = Sweep(tmp_path, {"list": several}, memory="700MB", extra={"begin": "now+4"})
    sweep.launch()
    image.unlink()
    sweep.wait_until_left()
    good, crashed, large = (run.name for run in sweep.runs)
    states = sweep.states()
    assert states[good]["state"] == "done"
    assert states[crashed]["state"] == "failed"
    assert "photo.png: does not exist" in states[crashed]["reason"]
    assert states[large]["state"] == "out_of_memory"


def test_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    ask("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk))
    try:
        sweep = Sweep(tmp_path)
        sweep.output.symlink_to(disk)
        sweep.launch()
        sweep.wait_until_training(0)
        (disk / "filler").write_bytes(b"\0" * (os.statvfs(disk).f_bavail * 4096 - 8_000))
        sweep.wait_until_left()
        states = {run["state"] for run in sweep.states().values()}
        assert states <= {"disk_full", "failed", "done"}
        assert states != {"done"}
        (disk / "filler").unlink()
        sweep.launch()
        end_well(sweep)
    finally:
        ask("umount", "--lazy", str(disk))
