"""One writer per run: alive owners are respected, dead ones are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import inr.lock
from inr.errors import UserError
from inr.lock import STALE_SECONDS, LockHeldError, RunLock, is_alive, read_owner


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.lock"


def leave(path: Path, **changes: object) -> None:
    """A lock as another owner would have left it."""
    owner = replace(RunLock(path).owner, **changes)
    path.write_text(json.dumps(asdict(owner)))


def test_lock_is_held_inside_and_gone_afterwards(path: Path) -> None:
    with RunLock(path, job="12_3") as lock:
        assert read_owner(path) == lock.owner
        assert lock.owner.job == "12_3"
    assert list(path.parent.iterdir()) == []


def test_living_owner_is_respected_and_named(path: Path) -> None:
    with (
        RunLock(path, job="7"),
        pytest.raises(LockHeldError, match=f"process {os.getpid()} on .*Slurm job 7"),
        RunLock(path),
    ):
        pass
    assert not path.exists()


def test_waiting_for_a_living_owner(path: Path) -> None:
    first = RunLock(path).__enter__()
    timer = threading.Timer(0.5, first.__exit__, (None, None, None))
    timer.start()
    with RunLock(path, wait=20.0) as second:
        assert read_owner(path) == second.owner
    timer.join()


def test_owner_killed_on_this_host_is_dead_at_once(path: Path) -> None:
    holder = (
        "import sys, time; from pathlib import Path; from inr.lock import RunLock\n"
        "with RunLock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(path)], stdout=subprocess.PIPE, text=True
    )
    with process, process.stdout:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LockHeldError), RunLock(path):
            pass
        process.kill()
    with RunLock(path, wait=5.0) as lock:
        assert lock.last_life is not None
        assert abs(lock.last_life - time.time()) < 30


def test_number_of_a_dead_process_used_again_does_not_count(path: Path) -> None:
    leave(path, started=1)
    with RunLock(path, wait=5.0):
        pass


@pytest.mark.parametrize("silence", [0.0, STALE_SECONDS - 30, STALE_SECONDS + 5])
def test_owner_on_another_host_lives_by_its_heartbeat(path: Path, silence: float) -> None:
    leave(path, host="elsewhere")
    heard = time.time() - silence
    os.utime(path, (heard, heard))
    if silence < STALE_SECONDS:
        with pytest.raises(LockHeldError, match="on elsewhere"), RunLock(path):
            pass
        assert read_owner(path).host == "elsewhere"
    else:
        with RunLock(path, wait=5.0) as lock:
            assert lock.last_life == pytest.approx(heard, abs=1)


def test_unreadable_lock_counts_by_its_age(path: Path) -> None:
    path.write_text("half a li")
    assert is_alive(read_owner(path), silence=1.0)
    os.utime(path, (1, 1))
    with RunLock(path, wait=5.0):
        pass


@pytest.mark.parametrize("attempt", range(10))
def test_only_one_of_many_takes_over(
    path: Path, attempt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inr.lock, "HEARTBEAT_SECONDS", 0.1)  # look as often
    leave(path, started=1)
    held, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal held, most
        with RunLock(path, wait=60.0):
            with guard:
                held += 1
                most = max(most, held)
            time.sleep(0.02)
            with guard:
                held -= 1

    interval = sys.getswitchinterval()
    threads = [threading.Thread(target=work) for _ in range(8)]
    sys.setswitchinterval(1e-5)  # let them get into each other's way
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert most == 1
    assert not list(path.parent.iterdir())


def test_one_that_died_in_taking_over_is_taken_over_too(path: Path) -> None:
    leave(path, started=1, token="first")
    leave(path.with_name(".run.lock.after-first"), started=1, token="second")
    leave(path.with_name(".run.lock.after-first.after-second"), started=1, token="third")
    with RunLock(path) as lock:
        assert read_owner(path) == lock.owner
        assert lock.last_life is not None
    assert not list(path.parent.iterdir())


def test_one_that_is_taking_over_is_respected(path: Path) -> None:
    leave(path, started=1, token="first")
    leave(path.with_name(".run.lock.after-first"))  # alive
    with pytest.raises(LockHeldError), RunLock(path):
        pass


def test_heartbeat_touches_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inr.lock, "HEARTBEAT_SECONDS", 0.05)
    with RunLock(path):
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert time.time() - path.stat().st_mtime < 30


def test_lost_lock_ends_the_process(path: Path) -> None:
    holder = (
        "import sys, time; from pathlib import Path; import inr.lock\n"
        "inr.lock.HEARTBEAT_SECONDS = 0.05\n"
        "with inr.lock.RunLock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        leave(path)
        _, said = process.communicate(timeout=30)
    assert "lost to another process" in said
    assert process.returncode == 1


def test_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"run\.lock: the lock cannot be written"):
        RunLock(tmp_path / "file" / "run.lock").__enter__()
