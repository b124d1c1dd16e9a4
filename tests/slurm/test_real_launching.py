"""Launches on a real Slurm: killed ones, many tasks, edited code, cancelling, post-processing."""

import os
import shutil
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
        ROOT,
        Sweep,
        end_well,
    )

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="no cluster: make test-slurm"),
    pytest.mark.usefixtures("queue_left_empty"),
]


@pytest.mark.parametrize("moment", ["before sbatch", "after sbatch"])
def test_launcher_killed(moment: str, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    fake = tmp_path / "bin" / "sbatch"
    fake.parent.mkdir()
    real = shutil.which("sbatch") if moment == "after sbatch" else "true"
    fake.write_text(f'#!/bin/sh\n{real} "$@"\nkill -9 $PPID\nsleep 1\n')
    fake.chmod(0o755)
    killed = subprocess.run(
        sweep.command("--no-preflight", "--no-post"),
        env=os.environ | {"PATH": f"{fake.parent}:{os.environ['PATH']}"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    submitted = 2 if moment == "after sbatch" else 0
    assert len(ask("squeue", "-h", "--me", "-r", "-o", "%i").splitlines()) == submitted
    sweep.launch()
    assert len(ask("squeue", "-h", "--me", "-r", "-o", "%i").splitlines()) == 2
    end_well(sweep)
    assert all(len(sweep.attempts(position)) == 1 for position in (0, 1))


def test_working_tree_edited_while_tasks_wait(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for package in ("inr", "jobs", "postprocess", "slurm"):
        shutil.copytree(
            ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    sweep = Sweep(tmp_path, extra={"begin": "now+6"})
    subprocess.run(
        sweep.command("--no-preflight", "--no-post", root=tree),
        env=os.environ | {"PYTHONPATH": str(tree)},
        check=True,
        capture_output=True,
    )
    (tree / "inr" / "training" / "fit.py").write_text("raise SystemExit('edited')\n")
    end_well(sweep)


def test_array_larger_than_allowed(tmp_path: Path) -> None:
    short = {"training.steps": 200, "record.metrics_every": 100}
    sweep = Sweep(tmp_path, {"seeds": 5, "set": short}, max_array_size=2)
    sweep.launch()
    assert len(sweep.job_ids) == 3
    end_well(sweep)


def test_two_thousand_tasks_are_split_at_the_limit_of_the_cluster(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, {"seeds": 2000}, extra={"hold": True})
    begin = time.monotonic()
    sweep.launch()
    assert time.monotonic() - begin < 30
    assert len(sweep.job_ids) == 4
    waiting = ask("squeue", "-h", "--me", "-r", "-o", "%i").splitlines()
    assert len(waiting) == 2000
    sweep.launch()
    assert len(sweep.job_ids) == 4
    sweep.manage("cancel", "--yes")
    wait_for(lambda: ask("squeue", "-h", "--me") == "")


def test_cancel_and_launch_again(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.launch()
    sweep.wait_until_training(0)
    sweep.manage("cancel", "--yes")
    sweep.wait_until_left()
    assert sweep.states()[sweep.runs[0].name]["state"] == "cancelled"
    assert "2 to train" in sweep.launch()
    end_well(sweep)
    assert sweep.attempts(0)[-1].first_step > 0


def test_post_processing_follows_a_sweep_with_failures(tmp_path: Path) -> None:
    image = tmp_path / "photo.png"
    iio.imwrite(image, camera()[::16, ::16])
    short = {"training.steps": 200, "record.metrics_every": 50}
    several = [{"training.seed": 0}, {"training.seed": 1}, {"data.image": str(image)}]
    sweep = Sweep(tmp_path, {"list": several, "set": short}, extra={"begin": "now+4"})
    done = subprocess.run(
        sweep.command("--no-preflight"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    image.unlink()
    wait_for(lambda: ask("squeue", "-h", "--me") == "")
    assert sweep.layout.summary.is_file()
    table = sweep.layout.summary.read_text()
    assert table.count("complete") == 2
    assert len(list(sweep.layout.figures.glob("*.png"))) >= 10
    made = [path.relative_to(sweep.layout.videos) for path in sweep.layout.videos.rglob("*.mp4")]
    assert sum(path.parts[0] == "compare" for path in made) == 1
    assert sum(path.parts[0] == "zoom" for path in made) == 1
    assert sum(path.parts[0] not in ("compare", "zoom") for path in made) == 2  # a run each
