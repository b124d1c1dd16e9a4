"""A task that Slurm ends goes on by itself, whatever signals it gets, but not for ever."""

import json
import signal

import pytest

from inr.errors import UserError
from inr.progress import Progress, write_progress
from inr.storage.attempts import AttemptLog, read_attempts
from inr.storage.paths import RunLayout
from slurm import requeue
from slurm.requeue import MOST_FRUITLESS, go_on, require_progress

WARNED, TERMINATED = signal.SIGUSR2, signal.SIGTERM
RUNNING = "JobId=9 JobState=RUNNING Reason=None Restarts=0 StartTime=2026-01-01T00:00:00"
NOW, LATER = "2026-01-01T00:05:00", "2026-01-01T00:05:09"
ENDING = RUNNING.replace("RUNNING", "COMPLETING")


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """Writes a stand-in for `scontrol`: what it shows of the job, and how it requeues."""
    monkeypatch.setattr(requeue, "WAIT_SECONDS", 0.0)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    path = tmp_path / "bin" / "scontrol"

    def write(shown: str, *requeue: str) -> None:
        show = f'[ "$1" = show ] && {{ echo "{shown}"; exit; }}'
        path.write_text("\n".join(("#!/bin/sh", show, f'echo "$@" > {tmp_path}/asked', *requeue)))
        path.chmod(0o755)

    return write


@pytest.fixture
def run(tmp_path, monkeypatch):
    layout = RunLayout(tmp_path / "run")
    layout.root.mkdir()
    return layout


def attempt(run, status="stopped", first=0, last=0, reason="asked to by SIGTERM", job="7_3"):
    """One attempt at a run, killed without an end if ``status`` is "killed"."""
    before = json.loads(run.progress.read_text())["step"] if run.progress.exists() else 0
    run.progress.unlink(missing_ok=True)
    log = AttemptLog(run.attempts, job, 1, 0, last_step=before)
    log.start()
    if status == "killed":
        write_progress(run.progress, Progress(last, 100, 1.0))
    else:
        log.end(status, reason, [first, last])


@pytest.mark.parametrize("signal_", ["USR2", "TERM", "INT"])
def test_a_further_signal_does_not_end_the_command(scontrol, tmp_path, capsys, signal_):
    scontrol(RUNNING, f"kill -{signal_} $$", f"echo again >> {tmp_path}/asked")
    assert go_on(WARNED)
    assert (tmp_path / "asked").read_text() == "requeue 7_3\nagain\n"
    assert capsys.readouterr().out == "requeued job 7_3\n"


def test_a_task_that_waits_already_is_no_failure(scontrol):
    scontrol(RUNNING, "echo 'Job is pending execution' >&2", "exit 1")
    assert go_on(WARNED)


@pytest.mark.parametrize(
    ("received", "shown", "cause"),
    [
        (WARNED, RUNNING, None),  # as it was written down
        (TERMINATED, f"{RUNNING} PreemptTime={NOW}", "preempted, asked to by SIGTERM"),
        (TERMINATED, f"{ENDING} EndTime={NOW} PreemptTime={NOW}", "preempted, asked to by SIGTERM"),
        (TERMINATED, ENDING.replace("None", "TimeLimit"), "time limit, asked to by SIGTERM"),
        (TERMINATED, ENDING.replace("Restarts=0", "Restarts=1"), "requeued, asked to by SIGTERM"),
    ],
)
def test_what_slurm_ends_goes_on(scontrol, run, tmp_path, received, shown, cause):
    scontrol(shown)
    attempt(run, last=5, reason="as it was")
    assert go_on(received, [run])
    assert (tmp_path / "asked").exists() == ("requeued" not in str(cause))
    (only,) = read_attempts(run.attempts)
    assert (only.status, only.last_step, only.reason) == ("stopped", 5, cause or "as it was")


@pytest.mark.parametrize(
    ("received", "shown"),
    [
        (TERMINATED, RUNNING),  # scancel --signal=TERM
        (TERMINATED, f"{RUNNING} PreemptTime=None"),
        (TERMINATED, f"{ENDING} EndTime={NOW}"),
        (WARNED, f"{ENDING} EndTime={NOW}"),  # cancelled after the warning
        (TERMINATED, f"{ENDING} EndTime={LATER} PreemptTime={NOW}"),  # cancelled in its grace
    ],
)
def test_what_its_user_ends_does_not(scontrol, run, tmp_path, received, shown):
    scontrol(shown)
    attempt(run, last=5)
    assert not go_on(received, [run])
    assert not (tmp_path / "asked").exists()
    assert read_attempts(run.attempts)[-1].reason == "asked to by SIGTERM"


def test_a_refusal_is_written_down_and_says_what_to_do(scontrol, run):
    scontrol(f"{RUNNING} PreemptTime={NOW}", "echo 'Invalid job id specified' >&2", "exit 1")
    attempt(run, last=5)
    with pytest.raises(
        UserError, match=r"scontrol failed: .*Invalid job id specified.*`retry` goes on"
    ):
        go_on(TERMINATED, [run])
    assert "not requeued: scontrol failed" in read_attempts(run.attempts)[-1].reason


def test_where_there_is_no_scontrol(run, tmp_path, monkeypatch):
    monkeypatch.setattr(requeue, "WAIT_SECONDS", 0.0)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    attempt(run, last=5, job="9")
    with pytest.raises(UserError, match="no scontrol here"):
        go_on(TERMINATED, [run])
    assert "perhaps preempted" in read_attempts(run.attempts)[-1].reason


@pytest.mark.parametrize(
    ("attempts", "ends"),
    [
        ([("stopped", 0, 0)] * 2, False),
        ([("stopped", 0, 0)] * 3, True),
        ([("stopped", 0, 9), *[("stopped", 9, 9)] * 2], False),
        ([("stopped", 0, 9), *[("stopped", 9, 9)] * 3], True),
        ([*[("stopped", 9, 9)] * 2, ("stopped", 9, 11)], False),
        ([("stopped", n, n + 1) for n in (0, 1, 2)], True),
        ([("killed", 0, 9), ("killed", 0, 8), ("killed", 0, 9)], False),
        ([("killed", 0, 9), ("killed", 0, 8), ("killed", 0, 9), ("killed", 0, 7)], True),
        ([("killed", 0, 90), *[("stopped", n, n + 9) for n in (0, 9, 18)]], False),
        ([*[("stopped", 0, 0)] * 2, ("complete", 0, 100)], False),
    ],
)
def test_requeues_without_a_new_step_come_to_an_end(scontrol, run, tmp_path, attempts, ends):
    scontrol(RUNNING)
    for _ in range(2):
        attempt(run, job="6")  # of an earlier job
    for each in attempts:
        attempt(run, *each)
    if not ends:
        require_progress([run])
        return
    with pytest.raises(UserError, match=f"{MOST_FRUITLESS} attempts in a row .* raise `time`"):
        go_on(WARNED, [run])
    assert not (tmp_path / "asked").exists()
    last = read_attempts(run.attempts)[-1]
    assert last.status == "failed"
    assert "without a new step" in last.reason


def test_a_pack_goes_on_while_one_of_its_runs_does(scontrol, run, tmp_path):
    waiting, other = RunLayout(tmp_path / "waiting"), RunLayout(tmp_path / "other")
    other.root.mkdir()
    for step in range(3):
        attempt(run)
        attempt(other, first=9 * step, last=9 * step + 9)
    require_progress([run, other, waiting])
    with pytest.raises(UserError):
        require_progress([run, waiting])
