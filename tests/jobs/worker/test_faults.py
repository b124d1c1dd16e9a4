"""On a file system that fails, a sweep ends complete or says why not, and nothing is lost."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import pytest

from inr.results import outcome
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT
from inr.storage.sweep_index import read_index
from tests.helpers.faults.plan import LACKING, READS, Fault

# `make test-faults` tries 100 sweeps
SWEEPS = int(os.environ.get("FAULT_SWEEPS", "3"))
SEED = int(os.environ.get("FAULT_SEED", "20261125"))

TINY = {
    "base": {
        "data": {"size": 16, "frames": 3},
        "model": {"width": 8, "depth": 1},
        "training": {"steps": 20},
        "record": {"metrics_every": 5, "tensorboard": False},
    },
    "grid": {"training.seed": [0, 1]},
}

HELPERS = ROOT / "tests" / "helpers" / "faults"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library to preload, built here."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler and Linux to make file systems fail")
    built = tmp_path_factory.mktemp("faults") / "faults.so"
    source = HELPERS / "faults.c"
    command = [compiler, "-O1", "-Wall", "-Wextra", "-fPIC", "-shared", "-o", built, source, "-ldl"]
    subprocess.run(command, check=True)
    return built


def test_sweeps_with_faults_at_random_instants(library: Path, tmp_path: Path) -> None:
    script = "tests.helpers.faults.sweeps"
    answer = subprocess.run(
        [sys.executable, "-m", script, str(SWEEPS), str(SEED), str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout.splitlines()[-1])
    assert told["sweeps"] == SWEEPS
    assert told["faults"] > 0


def test_single_calls_that_fail(library: Path) -> None:
    script = HELPERS / "calls.py"
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(script)],
        capture_output=True,
        text=True,
        env=os.environ | {"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_a_launch_where_locks_links_and_more_are_missing(library: Path, tmp_path: Path) -> None:
    """From the launcher to the merged file, with one more error that passes."""
    sweep, output = tmp_path / "tiny.yaml", tmp_path / "out"
    sweep.write_text(json.dumps(TINY))
    faults = [*LACKING, Fault(READS, 20, 2, errno.ESTALE)]
    numbers = [number for fault in faults for number in astuple(fault)]
    named = {"FAULTS_ROOT": str(output), "FAULTS": " ".join(map(str, numbers))}
    options = ["--local", "--no-post", "--sweep", str(sweep), "--output", str(output)]
    for command in (["jobs/launch.py", *options], ["postprocess/merge.py", str(output)]):
        done = subprocess.run(
            [sys.executable, str(ROOT / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            env=os.environ | {"LD_PRELOAD": str(library)} | named,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    layout = SweepLayout(output)
    entries = read_index(layout)
    assert [outcome(layout.run(run.name).results, run.run_id) for run in entries] == [
        "complete"
    ] * 2
    assert layout.merged.exists()
