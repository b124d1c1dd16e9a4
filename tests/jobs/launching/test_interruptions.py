"""Interruptions of training on this machine: what is saved, and that nothing lives on."""

import os
import signal
import time
from pathlib import Path

import pytest

from inr.storage.attempts import read_attempts
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import read_index
from tests.helpers.local_launch import SMALL, in_background, launch, wait_until


def processes_of(path: Path) -> list[int]:
    """Processes whose command line names ``path``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(path).encode() in command:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("how", ["launcher", "terminal", "killed"])
def test_nothing_lives_on_after_an_interruption(tmp_path, how):
    specification = {"base": {**SMALL, "training": {"steps": 10_000_000}}, "seeds": 2}
    process = launch(tmp_path, specification, "--workers", "1")
    if how == "terminal":  # while the task is still loading
        assert wait_until(lambda: len(processes_of(tmp_path)) == 3)
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches the whole process group
    else:  # while it trains
        assert wait_until(lambda: any((tmp_path / "out" / "runs").rglob("progress.json")))
        # the launcher, one controller, its task
        assert len(processes_of(tmp_path)) == 3
        process.send_signal(signal.SIGINT if how == "launcher" else signal.SIGKILL)
    process.wait(timeout=30)
    assert wait_until(lambda: not processes_of(tmp_path))
    error = process.communicate()[1]
    assert process.returncode == (-signal.SIGKILL if how == "killed" else 130)
    said = "interrupted: what was trained is saved, the same command goes on"
    # a busy machine may say before that it waits
    assert error.splitlines()[-1:] == ([] if how == "killed" else [said])


ENDLESS = {
    "base": {
        **SMALL,
        "training": {"steps": 10_000_000},
        "record": {"tensorboard": False, "metrics_every": 1, "checkpoint_seconds": 3600},
    }
}


def pause_task(tmp_path: Path) -> int:
    """Stop the task where it is, as a step that takes long would. Returns its process id."""
    (attempts,) = (tmp_path / "out" / "runs").rglob("attempts.jsonl")
    pid = read_attempts(attempts)[-1].pid
    os.kill(pid, signal.SIGSTOP)
    return pid


@pytest.mark.parametrize(
    "how", ["terminal", signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2]
)
def test_an_interrupted_task_is_given_the_time_to_save(tmp_path, how):
    process = launch(tmp_path, ENDLESS)
    assert wait_until(lambda: any((tmp_path / "out" / "runs").rglob("progress.json")))
    pid = pause_task(tmp_path)
    if how == "terminal":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(how)
    time.sleep(2.5)  # submitit would have killed it after one
    os.kill(pid, signal.SIGCONT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: what was trained is saved, the same command goes on" in error
    (attempts,) = (tmp_path / "out" / "runs").rglob("attempts.jsonl")
    assert [attempt.status for attempt in read_attempts(attempts)] == ["stopped"]
    assert any((tmp_path / "out" / "runs").rglob("checkpoint.pt"))


def test_nothing_is_called_saved_that_is_not(tmp_path):
    process = launch(tmp_path, ENDLESS)
    assert wait_until(lambda: any((tmp_path / "out" / "runs").rglob("progress.json")))
    pid = pause_task(tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline() == "waiting for 1 task to save\n"
    process.send_signal(signal.SIGINT)  # waits no longer
    process.wait(timeout=60)
    os.kill(pid, signal.SIGCONT)
    _, error = process.communicate(timeout=60)
    (run,) = read_index(SweepLayout(tmp_path / "out"))
    assert process.returncode == 130
    assert f"interrupted: {run.name} did not save in time" in error
    assert "is saved" not in error
    assert wait_until(lambda: not processes_of(tmp_path))


def test_signals_of_the_terminal_do_not_reach_the_background(tmp_path):
    specification = {"base": {**SMALL, "training": {"steps": 2000}}}
    process = launch(tmp_path, specification, prepare=in_background)
    assert wait_until(lambda: any((tmp_path / "out" / "runs").rglob("progress.json")))
    for each in (signal.SIGINT, signal.SIGHUP):
        os.killpg(process.pid, each)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, out + error
    assert out.count(": complete in ") == 1


def test_what_a_killed_launcher_in_the_background_trained_is_saved(tmp_path):
    specification = {"base": {**SMALL, "training": {"steps": 10_000_000}}}
    process = launch(tmp_path, specification, prepare=in_background)
    assert wait_until(lambda: any((tmp_path / "out" / "runs").rglob("progress.json")))
    process.kill()
    process.communicate()
    assert wait_until(lambda: not processes_of(tmp_path))
    (attempts,) = (tmp_path / "out" / "runs").rglob("attempts.jsonl")
    assert [attempt.status for attempt in read_attempts(attempts)] == ["stopped"]
