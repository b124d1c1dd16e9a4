"""A sweep of four runs, submitted to stand-ins for Slurm."""

import io
import sys
from pathlib import Path

import pytest

from inr.storage.paths import SweepLayout
from jobs import launch
from tests.helpers.slurm.fake_slurm import FakeSlurm, install

SWEEP = """
base: {data: {size: 16, frames: 2}, model: {width: 8, depth: 1}, training: {steps: 4}}
seeds: 4
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    fake = install(tmp_path, monkeypatch)
    scancel = tmp_path / "bin" / "scancel"
    scancel.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/cancelled\n')
    scancel.chmod(0o755)
    return fake


@pytest.fixture
def layout(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> SweepLayout:
    """Four runs, submitted as array 41; post-processing as 42."""
    Path("sweep.yaml").write_text(SWEEP)
    options = ["--sweep", "sweep.yaml", "--profile", "testbed", "--output", "out"]
    assert launch.main(["--array", *options, "--no-preflight"]) == 0
    capsys.readouterr()
    return SweepLayout(Path("out"))
