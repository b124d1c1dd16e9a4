"""Packs of runs in processes of their own, side by side or in turn: how each run ends."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from inr.storage.attempts import read_attempts
from inr.storage.lock import is_alive, read_owner
from inr.storage.paths import SweepLayout
from tests.helpers.local_launch import wait_until
from tests.helpers.packs import pack, send_when, series, tiny


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task with two cores is told."""
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")


@pytest.mark.usefixtures("two_cores")
def test_each_process_comes_to_its_own_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One cannot write; a signal to the task goes on to the other, which is saved."""
    configs = [tiny(seed=1, steps=10_000_000), tiny(seed=2)]
    layout = SweepLayout(tmp_path)
    stopped, failed = layout.run("run0"), layout.run("run1")
    failed.results.mkdir(parents=True)
    sender = send_when(lambda: stopped.progress.exists() and failed.error.exists(), signal.SIGUSR2)
    assert pack(tmp_path, configs, "processes") == ["stopped", "failed"]
    sender.join()
    (attempt,) = read_attempts(stopped.attempts)
    assert (attempt.status, attempt.reason) == ("stopped", "asked to by SIGUSR2")
    assert attempt.members == 2
    assert stopped.checkpoint.exists()
    assert read_attempts(failed.attempts)[0].status == "failed"
    assert "run1: UserError" in capfd.readouterr().err


@pytest.mark.usefixtures("two_cores")
def test_signals_that_keep_coming_kill_no_process_that_has_stopped(tmp_path: Path) -> None:
    """As Slurm's own signal and the task's do, one of them late."""
    configs = [tiny(seed=seed, steps=10_000_000) for seed in (1, 2)]
    runs = [SweepLayout(tmp_path).run(f"run{number}") for number in (0, 1)]

    def keep_telling() -> None:
        assert wait_until(lambda: all(run.progress.exists() for run in runs))
        children = [owner.pid for run in runs if (owner := read_owner(run.lock))]
        os.kill(os.getpid(), signal.SIGUSR2)
        while children:
            for child in [*children]:
                # gone, or waited for: then the number may not be used again
                stat = Path(f"/proc/{child}/stat")
                if not stat.exists() or ") Z " in stat.read_text():
                    children.remove(child)
                else:
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGUSR2)
            time.sleep(0.001)

    with ThreadPoolExecutor() as pool:
        telling = pool.submit(keep_telling)
        assert pack(tmp_path, configs, "processes") == ["stopped", "stopped"]
        telling.result()


def test_on_one_core_runs_take_turns(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In one process, and after a failure in a new one; each is charged what it used itself."""
    configs = [tiny(seed=seed, steps=200) for seed in range(4)]
    layout = SweepLayout(tmp_path)
    layout.run("run2").results.mkdir(parents=True)
    assert pack(tmp_path, configs, "processes") == ["complete", "complete", "failed", "complete"]
    attempts = [read_attempts(layout.run(f"run{n}").attempts)[0] for n in range(4)]
    assert attempts[0].pid == attempts[1].pid == attempts[2].pid != attempts[3].pid
    assert [attempt.members for attempt in attempts] == [1] * 4
    assert attempts[1].cpu_seconds < attempts[0].cpu_seconds  # which had to load everything
    assert pack(tmp_path / "alone", configs[1:2], "auto") == ["complete"]
    in_turn = series(tmp_path, "run1")
    for key, column in series(tmp_path / "alone", "run0").items():
        assert in_turn[key].tobytes() == column.tobytes(), key
    assert "run2: UserError" in capfd.readouterr().err


def test_a_run_that_is_killed_in_its_turn(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configs = [tiny(seed=1, steps=10_000_000), tiny(seed=2)]
    first = SweepLayout(tmp_path).run("run0")

    def kill() -> None:
        assert wait_until(first.progress.exists)
        owner = read_owner(first.lock)
        assert owner is not None
        os.kill(owner.pid, signal.SIGKILL)

    with ThreadPoolExecutor() as pool:
        killing = pool.submit(kill)
        assert pack(tmp_path, configs, "processes") == ["failed", "complete"]
        killing.result()
    assert "run0: killed by SIGKILL" in capfd.readouterr().err


def test_a_signal_leaves_those_that_wait_untouched(tmp_path: Path) -> None:
    configs = [tiny(seed=1, steps=10_000_000), tiny(seed=2)]
    layout = SweepLayout(tmp_path)
    sender = send_when(layout.run("run0").progress.exists, signal.SIGUSR2)
    assert pack(tmp_path, configs, "processes") == ["stopped", "stopped"]
    sender.join()
    assert layout.run("run0").checkpoint.exists()
    assert not layout.run("run1").root.exists()


TASK = """
import sys
from jobs.worker.train import train_runs
root, *configs = sys.argv[1:]
print(train_runs(root, [(f"run{i}", c) for i, c in enumerate(configs)], "processes"))
"""


@pytest.mark.usefixtures("two_cores")
def test_killed_processes(tmp_path: Path) -> None:
    """One that is killed takes nobody along; none outlives a task that is killed."""
    configs = [tiny(seed=seed, steps=10_000_000) for seed in (1, 2)]
    layout = SweepLayout(tmp_path)
    first, second = (layout.run(f"run{number}") for number in (0, 1))
    command = [sys.executable, "-c", TASK, str(tmp_path), *(c.canonical_json() for c in configs)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as task:
        assert wait_until(lambda: first.progress.exists() and second.progress.exists())
        victim, survivor = read_owner(first.lock), read_owner(second.lock)
        assert victim is not None
        assert survivor is not None
        assert len({task.pid, victim.pid, survivor.pid}) == 3
        os.kill(victim.pid, signal.SIGKILL)
        written = second.progress.stat().st_mtime_ns
        assert wait_until(lambda: second.progress.stat().st_mtime_ns > written)
        task.kill()
    assert wait_until(lambda: not is_alive(survivor, 0.0))
    assert read_attempts(second.attempts)[0].status == "stopped"  # and it was saved
