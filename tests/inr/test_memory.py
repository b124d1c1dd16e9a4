"""The memory that a run is said to need is what it needs."""

import json
import subprocess
import sys

import pytest

from inr.memory import MIB, expected_memory, gpu_memory, host_memory, in_gb
from inr.storage.provenance import ROOT
from tests.helpers.local_launch import tiny

RUN = """
import pathlib, re, sys, tempfile
from jobs.worker.train import train_runs
with tempfile.TemporaryDirectory() as folder:
    print(train_runs(folder, [("a", sys.argv[1])]))
# not getrusage: that begins with the peak of the process which started this one
print(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])  # KiB
"""


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"training": {"compile": "off"}}, id="small"),
        pytest.param(
            {
                "model": {"width": 256, "depth": 3},
                "training": {"batch": 4096, "compile": "off", "loss_weights": [1, 1, 1, 1]},
            },
            id="wide",
        ),
        pytest.param({"data": {"size": 512, "frames": 8}}, id="many pixels"),
        pytest.param(
            {"data": {"size": 320, "frames": 8}, "training": {"precision": "float64"}},
            id="float64",
        ),
    ],
)
def test_a_run_needs_the_memory_that_is_forecast(changes: dict[str, dict[str, object]]) -> None:
    config = tiny(**changes)
    done = subprocess.run(
        [sys.executable, "-c", RUN, config.canonical_json()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    *_, ends, kib = done.stdout.splitlines()
    assert json.loads(ends.replace("'", '"')) == ["complete"]
    assert host_memory([config], on_gpu=False) == pytest.approx(int(kib) * 1024, rel=0.25)


def test_2048_pixels_fit_into_six_gibibytes() -> None:
    recommended = tiny(data={"size": 2048, "frames": 10}, model={"width": 256, "depth": 3})
    assert 4.5 * 1024 * MIB < host_memory([recommended], on_gpu=False) < 6 * 1024 * MIB


def test_memory_of_tasks_is_that_of_the_processes_that_train_at_once() -> None:
    runs = [tiny(training={"seed": seed}) for seed in range(6)]
    one, fused = host_memory(runs[:1], on_gpu=False), host_memory(runs, on_gpu=False)
    free = expected_memory([runs], "auto", gpus=0, cpus=4)
    assert (free.host, free.least) == (4 * one, fused)
    asked = expected_memory([runs], "processes", gpus=0, cpus=4)
    assert (asked.host, asked.least) == (4 * one, 4 * one)
    assert expected_memory([runs], "fused", 0, 4).host == fused
    on_gpu = expected_memory([runs], "auto", gpus=2, cpus=4)
    assert on_gpu.host == host_memory(runs, on_gpu=True)
    assert on_gpu.gpu == gpu_memory(runs)  # one process has one GPU, however many are there
    assert expected_memory([runs], "processes", 2, 4).gpu == 3 * gpu_memory(runs[:1])


@pytest.mark.parametrize(
    ("size", "words"), [(1, "0.1 GB"), (2**30, "1.0 GB"), (2**30 + 1, "1.1 GB")]
)
def test_memory_is_rounded_up(size: int, words: str) -> None:
    assert in_gb(size) == words
