"""The job that merges and draws: when it is submitted, and after which. Without a cluster."""

from pathlib import Path

import pytest

from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import read_submissions
from jobs.launch import main
from tests.helpers.slurm.array_launch import command, finish, launch_and_die
from tests.helpers.slurm.fake_slurm import FakeSlurm


@pytest.fixture(autouse=True)
def _here(slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    return SweepLayout(tmp_path / "out")


def dependency(script: str) -> str:
    lines = [line for line in script.splitlines() if "--dependency" in line]
    return lines[0].partition("=")[2] if lines else ""


def test_postprocessing_waits_for_all_arrays(layout, slurm):
    assert main(command(6)) == 0
    script = slurm.submitted()[-1]
    assert dependency(script) == "afterany:41:42"
    assert "gpus" not in script
    assert "-m jobs.launching.postprocessing" in script
    assert [s.tasks for s in read_submissions(layout)] == [3, 3, 0]


def test_postprocessing_is_submitted_once(layout, slurm):
    assert main(command(3)) == 0
    assert main(command(3)) == 0
    assert len(slurm.submitted()) == 2
    # new tasks: again, and after the one that still waits
    assert main(command(4)) == 0
    assert dependency(slurm.submitted()[-1]) == "afterany:41:42:43"


@pytest.mark.parametrize(
    ("state", "jobs"), [("CANCELLED by 0", 3), ("FAILED", 3), ("COMPLETED", 2), ("RUNNING", 2)]
)
def test_postprocessing_that_failed_is_submitted_again(tmp_path, layout, slurm, state, jobs):
    assert main(command(3)) == 0
    slurm.take_away("42")
    program = tmp_path / "bin" / "sacct"
    program.write_text(f"#!/bin/sh\nprintf '42\\037{state}\\037\\037n1\\037out_post\\037\\n'\n")
    assert main(command(3)) == 0
    assert len(slurm.submitted()) == jobs


def test_postprocessing_that_was_not_reached_is_made_up_for(layout, slurm):
    launch_and_die(3)
    assert main(command(3)) == 0
    assert dependency(slurm.submitted()[-1]) == "afterany:41"
    assert len(slurm.submitted()) == 2


def test_postprocessing_of_tasks_that_have_ended_waits_for_nothing(layout, slurm):
    assert main(command(1, "--no-post")) == 0
    slurm.take_away("41")
    finish(layout, 0)
    assert main(command(1)) == 0
    assert len(slurm.submitted()) == 2
    assert dependency(slurm.submitted()[-1]) == ""


def test_refused_postprocessing_does_not_undo_the_arrays(layout, slurm, monkeypatch, capsys):
    monkeypatch.setenv("ACCEPT", "1")
    monkeypatch.setenv("REFUSAL", "sbatch: error: Batch job submission failed: no")
    assert main(command(3)) == 0
    assert "note: no job for post-processing was submitted" in capsys.readouterr().out
    assert [s.job_id for s in read_submissions(layout)] == ["41"]
