"""Kill a training process again and again at random instants, and see what is left of its run.

``python -m tests.helpers.crash KILLS SEED DIRECTORY`` prints a JSON line. Each victim is forked
from this process, which has loaded torch already: that makes hundreds of kills affordable.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from inr.config import RunConfig
from inr.metrics import METRICS
from inr.results import BASE_SERIES, open_run, read_attributes, read_series
from inr.storage.lock import RunLock
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.checkpoint import read_checkpoint
from tests.helpers.tiny_run import fit

STEPS = 400
LONGEST_LIFE = 1.2  # seconds; undisturbed, a run takes one or two


def config(seed: int) -> RunConfig:
    """A run with as many writes as possible."""
    return RunConfig.model_validate(
        {
            "data": {"size": 12, "frames": 2},
            "model": {"width": 8, "depth": 2},
            "training": {"steps": STEPS, "batch": 32, "loss_weights": [1, 1, 1, 1], "seed": seed},
            "record": {"metrics_every": 5, "tensorboard": False, "checkpoint_seconds": 0.02},
        }
    )


def train(layout: RunLayout, wanted: RunConfig) -> None:
    """Train as a task does, with a checkpoint at nearly every look."""
    with RunLock(layout.lock), RunWriter(layout, wanted, "crash") as recorder:
        fit(wanted, recorder, device="cpu")


def kill_once(layout: RunLayout, wanted: RunConfig, life: float) -> bool:
    """Fork a training process and kill it after ``life`` seconds. False if it was done before."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            train(layout, wanted)
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + life
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0, "the victim failed by itself"
            return False
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def examine(layout: RunLayout, wanted: RunConfig, rows_before: int) -> int:
    """Check the files of a killed run; the rows that its checkpoint counts."""
    checkpoint = None
    if layout.checkpoint.exists():
        checkpoint = read_checkpoint(layout.checkpoint, wanted.run_id)
        assert checkpoint is not None, "unreadable checkpoint"
    if layout.results.exists():
        with open_run(layout.results) as file:
            rows = len(read_series(file)["step"])
        assert checkpoint is None or rows >= checkpoint.rows, "rows lost before the checkpoint"
    saved = checkpoint.rows if checkpoint else 0
    finished = layout.results.exists() and not layout.checkpoint.exists()
    assert finished or saved >= rows_before, "the checkpoint went back"
    return saved


def series_of(layout: RunLayout) -> dict[str, bytes]:
    """All series but the clock, as bytes."""
    with open_run(layout.results) as file:
        assert read_attributes(file)["complete"]
        series = read_series(file)
    return {name: series[name].tobytes() for name in (*BASE_SERIES, *METRICS) if name != "seconds"}


def crash_one_run(root: Path, seed: int, kills: int, draw: random.Random) -> tuple[int, int]:
    """Kill one run up to ``kills`` times, then let it end. Returns kills and files examined."""
    wanted, layout = config(seed), RunLayout(root / f"killed-{seed}")
    done, rows = 0, 0
    while done < kills and kill_once(layout, wanted, draw.uniform(0, LONGEST_LIFE)):
        done += 1
        rows = examine(layout, wanted, rows)
    train(layout, wanted)
    whole = RunLayout(root / f"whole-{seed}")
    train(whole, wanted)
    assert series_of(layout) == series_of(whole), "not the bytes of an undisturbed run"
    with open_run(layout.results) as one, open_run(whole.results) as other:
        for quantity in ("value", "laplacian"):
            path = f"frames/{quantity}/prediction"
            assert np.array_equal(one[path][:], other[path][:])
    return done, len(list(layout.root.iterdir()))


def main() -> None:
    """Kill ``KILLS`` times in all, over as many runs as that takes."""
    kills, seed, root = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    draw = random.Random(seed)
    killed = runs = 0
    while killed < kills:
        done, files = crash_one_run(root, runs, kills - killed, draw)
        killed, runs = killed + done, runs + 1
        assert files == 2, "only run.h5 and model.pt stay"
    print(json.dumps({"kills": killed, "runs": runs, "seed": seed}))


if __name__ == "__main__":
    main()
