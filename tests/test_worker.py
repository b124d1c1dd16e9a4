"""An array task puts itself back into the queue, whatever signals it gets meanwhile."""

import pytest

from inr.errors import UserError
from jobs.worker import _requeue


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """Writes a shell script that stands for Slurm's command."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    path = tmp_path / "scontrol"

    def write(*lines: str) -> None:
        path.write_text("\n".join(("#!/bin/sh", *lines)))
        path.chmod(0o755)

    return write


@pytest.mark.parametrize("signal", ["USR2", "TERM", "INT"])
def test_a_further_signal_does_not_end_the_command(scontrol, tmp_path, capsys, signal):
    scontrol(f"kill -{signal} $$", f'echo "$@" > {tmp_path}/asked')
    _requeue()
    assert (tmp_path / "asked").read_text() == "requeue 7_3\n"
    assert capsys.readouterr().out == "requeued job 7_3\n"


def test_a_task_that_waits_already_is_no_failure(scontrol):
    scontrol("echo 'Job is pending execution' >&2", "exit 1")
    _requeue()


def test_a_refusal_says_what_to_do(scontrol):
    scontrol("echo 'Invalid job id specified' >&2", "exit 1")
    with pytest.raises(UserError, match=r"7_3 \(Invalid job id specified\).*launch the sweep"):
        _requeue()
