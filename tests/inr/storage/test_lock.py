"""One writer per run: alive owners are respected, dead ones are not."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import inr.storage.lock
from inr.errors import UserError
from inr.storage.lock import STALE_SECONDS, LockHeldError, RunLock, is_alive, read_owner


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.lock"


def leave(path: Path, **changes: object) -> None:
    """A lock as another owner would have left it."""
    sample = path.with_name("sample")
    with RunLock(sample):
        lines = dict(line.partition("=")[::2] for line in sample.read_text().splitlines())
    lines |= {"token": "another"} | {key: str(value) for key, value in changes.items()}
    text = "".join(f"{key}={value}\n" if value else f"{key}\n" for key, value in lines.items())
    path.write_text(text)


HOLDER = """
import sys, time
from pathlib import Path
import inr.storage.lock
inr.storage.lock.HEARTBEAT_SECONDS, inr.storage.lock.STALE_SECONDS = map(float, sys.argv[2:4])
with inr.storage.lock.RunLock(Path(sys.argv[1])):
    print('held', flush=True)
    time.sleep(60)
"""


def hold(
    path: Path,
    *before: str,
    heartbeat: float = 10.0,
    stale: float = STALE_SECONDS,
    **options: object,
) -> subprocess.Popen[str]:
    """A process that holds the lock, started by the command ``before``."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", HOLDER, str(path), str(heartbeat), str(stale)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    assert process.stdout.readline() == "held\n"
    return process


def try_to_hold(path: Path, *before: str) -> str:
    """Try so in a process that ``before`` starts. Returns what came of it."""
    program = (
        "import sys; from pathlib import Path; from inr.storage.lock import RunLock\n"
        "with RunLock(Path(sys.argv[1])): print('held')"
    )
    done = subprocess.run(
        [*before, sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_lock_is_held_inside_and_gone_afterwards(path: Path) -> None:
    with RunLock(path):
        assert read_owner(path).pid == os.getpid()
    assert list(path.parent.iterdir()) == []


def test_living_owner_is_respected_and_named(path: Path) -> None:
    with (
        RunLock(path),
        pytest.raises(LockHeldError, match=f"process {os.getpid()} on "),
        RunLock(path),
    ):
        pass
    assert not path.exists()


def test_waiting_for_a_living_owner(path: Path) -> None:
    first = RunLock(path).__enter__()
    timer = threading.Timer(0.5, first.__exit__, (None, None, None))
    timer.start()
    with RunLock(path, wait=20.0):
        assert timer.finished.is_set()
    timer.join()


def test_owner_killed_on_this_host_is_dead_at_once(path: Path) -> None:
    with hold(path) as process:
        with pytest.raises(LockHeldError), RunLock(path):
            pass
        process.kill()
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
        with RunLock(path) as lock:  # also one that nobody has waited for
            assert lock.last_life is not None
            assert abs(lock.last_life - time.time()) < 30
    assert not path.exists()


def test_number_of_a_dead_process_used_again_does_not_count(path: Path) -> None:
    leave(path, start=1)
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
        assert read_owner(path).hostname == "elsewhere"
    else:
        with RunLock(path, wait=5.0) as lock:
            assert lock.last_life == pytest.approx(heard, abs=1)


@pytest.mark.parametrize("content", ["", "half a li", '{"host": "of an earlier version"}'])
def test_unreadable_lock_counts_by_its_age(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(LockHeldError), RunLock(path, wait=3.0):
        pass
    assert is_alive(read_owner(path), silence=1.0)
    os.utime(path, (1, 1))
    with RunLock(path, wait=5.0):
        pass


@pytest.mark.parametrize("attempt", range(10))
def test_only_one_of_many_takes_over(
    path: Path, attempt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inr.storage.lock, "HEARTBEAT_SECONDS", 0.1)  # look as often
    leave(path, start=1)
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
    for name in ("run.lock", ".run.lock.takeover", ".run.lock.takeover.takeover"):
        leave(path.with_name(name), start=1)
    with RunLock(path) as lock:
        assert read_owner(path).pid == os.getpid()
        assert lock.last_life is not None
    assert not list(path.parent.iterdir())


def test_what_one_left_that_died_in_taking_over_is_removed(path: Path) -> None:
    leave(path.with_name(".run.lock.takeover"), start=1)
    with RunLock(path):
        pass
    assert not list(path.parent.iterdir())


def test_one_that_is_taking_over_is_respected(path: Path) -> None:
    leave(path, start=1)
    with RunLock(path.with_name(".run.lock.takeover")):
        with pytest.raises(LockHeldError), RunLock(path):
            pass
        assert path.exists()


NAMESPACE = ("unshare", "--pid", "--mount-proc", "--fork")
NO_PROC = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make namespaces")
@pytest.mark.parametrize("owner", [(), NAMESPACE, NO_PROC], ids=["plain", "namespace", "no /proc"])
@pytest.mark.parametrize("other", [(), NAMESPACE, NO_PROC], ids=["plain", "namespace", "no /proc"])
def test_living_owner_is_respected_whatever_is_known_of_processes(
    path: Path, owner: tuple[str, ...], other: tuple[str, ...]
) -> None:
    """In containers, and without /proc, as on macOS."""
    with hold(path, *owner, start_new_session=True) as process:
        assert "in use by process" in try_to_hold(path, *other)
        os.killpg(process.pid, signal.SIGKILL)
    if owner != NAMESPACE and other != NAMESPACE:  # else the age of the heartbeat decides
        assert try_to_hold(path, *other) == "held"
    os.utime(path, (1, 1)) if path.exists() else None
    assert try_to_hold(path, *other) == "held"


def test_heartbeat_touches_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inr.storage.lock, "HEARTBEAT_SECONDS", 0.05)
    with RunLock(path):
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert time.time() - path.stat().st_mtime < 30


@pytest.mark.parametrize("by", ["replaced", "removed"])
def test_lost_lock_ends_the_process(path: Path, by: str) -> None:
    with hold(path, heartbeat=0.05) as process:
        if by == "removed":
            path.unlink()
        else:
            leave(path.with_name("theirs"))
            path.with_name("theirs").replace(path)
        _, said = process.communicate(timeout=30)
    assert f"{path}: lost" in said
    assert process.returncode == 1


def test_file_that_cannot_be_read_is_not_lost_before_the_lease_is_over(path: Path) -> None:
    with hold(path, heartbeat=0.05, stale=3.0) as process:
        path.with_name("theirs").touch()
        path.with_name("theirs").replace(path)
        time.sleep(1.0)
        assert process.poll() is None
        _, said = process.communicate(timeout=30)
    assert "lost" in said
    assert process.returncode == 1


def test_a_file_with_another_number_is_still_ours(path: Path) -> None:
    """As some file systems give it after they were mounted anew."""
    with hold(path, heartbeat=0.05, stale=1.0) as process:
        path.with_name("copy").write_bytes(path.read_bytes())
        path.with_name("copy").replace(path)
        time.sleep(3.0)
        assert process.poll() is None
        assert time.time() - path.stat().st_mtime < 1.0
        process.kill()


def test_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"run\.lock: the lock cannot be written"):
        RunLock(tmp_path / "file" / "run.lock").__enter__()
