"""Run by `test_faults.py` in a process with `faults.c` preloaded: single calls that fail."""

import ctypes
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import inr.files
import inr.storage.lock
from inr.errors import UserError
from inr.files import append_line, clock_of, replace_atomically, write_bytes, write_text
from inr.network.trained_network import load
from inr.progress import Progress, read_progress, write_progress
from inr.results import UnreadableError, open_run, outcome, read_series
from inr.storage.attempts import AttemptLog, read_attempts
from inr.storage.lock import LockHeldError, RunLock, read_owner
from inr.storage.paths import RunLayout, SweepLayout
from inr.storage.run_writer import RunWriter
from inr.storage.sweep_index import read_index
from inr.training.checkpoint import read_checkpoint
from slurm.journal import list_submissions
from tests.helpers.faults.plan import DIRECTORIES, EXCHANGES, FLUSHES, LINKS, LOCKS, READS, WRITES
from tests.helpers.tiny_run import fit, quiet, run, series_of
from tests.inr.training.test_fit import StopAfter

Fail = Callable[..., None]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inr.files, "_WAITS", (0.001, 0.001, 0.001))


@pytest.fixture
def fail(tmp_path: Path):
    """Let calls fail: kind, errno, and which."""
    library = ctypes.CDLL(None)

    def plan(
        kind: int, error: int, first: int = 0, count: int = -1, below: Path = tmp_path
    ) -> None:
        numbers = ctypes.c_long(first), ctypes.c_long(count)
        library.faults_plan(os.fsencode(below), kind, *numbers, error)

    yield plan
    for kind in range(7):
        plan(kind, 0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    return run(quiet(), tmp_path_factory.mktemp("trained"))


def stopped(directory: Path) -> RunLayout:
    layout = RunLayout(directory)
    with RunWriter(layout, quiet(), "stopped") as recorder:
        fit(quiet(), recorder, device="cpu", should_stop=StopAfter(12))
    return layout


@pytest.mark.parametrize("error", sorted(inr.files.PASSING_ERRORS))
@pytest.mark.parametrize("kind", [READS, WRITES, FLUSHES, DIRECTORIES])
def test_passing_errors_are_waited_out(kind: int, error: int, tmp_path: Path, fail: Fail) -> None:
    path = tmp_path / "a.txt"
    fail(kind, error, 1 if kind == WRITES else 0, 2)
    write_text(path, "whole")
    fail(kind, error, 0, 2)
    append_line(path, " and more")
    fail(kind, 0)
    assert path.read_text().splitlines()[0] == "whole"
    assert path.read_text().endswith(" and more\n")


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EPERM])
def test_file_systems_without_fsync_of_directories(error: int, tmp_path: Path, fail: Fail) -> None:
    fail(DIRECTORIES, error)
    write_text(tmp_path / "a.txt", "whole")
    with replace_atomically(tmp_path / "b.txt") as temporary:
        temporary.write_text("whole")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kind", [WRITES, FLUSHES])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_what_does_not_pass_is_said_and_the_old_content_stays(
    error: int, kind: int, tmp_path: Path, fail: Fail
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    fail(kind, error)
    with pytest.raises(UserError, match=os.strerror(error)):
        write_bytes(path, b"new")
    with pytest.raises(UserError, match=os.strerror(error)), replace_atomically(path) as temporary:
        temporary.write_text("new")
    fail(kind, 0)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_clock_of_a_full_disk_is_our_own(tmp_path: Path, fail: Fail) -> None:
    fail(WRITES, errno.ENOSPC)
    assert abs(clock_of(tmp_path) - time.time()) < 5


def test_progress_is_worth_no_failure(tmp_path: Path, fail: Fail) -> None:
    path, progress = tmp_path / "progress.json", Progress(1, 2, 3.0)
    write_progress(path, progress)
    for kind, error in ((READS, errno.ESTALE), (WRITES, errno.ENOSPC)):
        fail(kind, error)
        write_progress(path, Progress(2, 2, 3.0))
        fail(kind, 0)
        assert read_progress(path) == progress


def test_finished_run_is_never_taken_for_an_unfinished_one(trained: RunLayout, fail: Fail) -> None:
    run_id = quiet().run_id
    fail(READS, errno.ESTALE, 10**9, 0, trained.root)
    assert outcome(trained.results, run_id) == "complete"
    calls = ctypes.CDLL(None).faults_seen(READS)
    for first in range(calls):
        for error in (errno.ESTALE, errno.EIO, errno.ETIMEDOUT):
            fail(READS, error, first, 2, trained.root)
            assert outcome(trained.results, run_id) == "complete"
        for error in (errno.ESTALE, errno.EACCES):
            fail(READS, error, first, -1, trained.root)
            with pytest.raises(UnreadableError, match=f"cannot be read: {os.strerror(error)}"):
                outcome(trained.results, run_id)


@pytest.mark.parametrize("name", ["checkpoint.pt", "run.h5"])
@pytest.mark.parametrize("error", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_what_cannot_be_read_is_not_replaced(
    name: str, error: int, tmp_path: Path, fail: Fail
) -> None:
    layout = stopped(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    fail(READS, error, below=tmp_path / name)
    with pytest.raises(UserError, match=f"{name}: cannot be read: {os.strerror(error)}"):
        run(quiet(), tmp_path)
    fail(READS, 0)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    fail(READS, errno.ESTALE, 0, 2, tmp_path / name)
    seen: list[int] = []
    run(quiet(), tmp_path, on_progress=lambda progress: seen.append(progress.step))
    assert seen[0] == 13
    assert read_checkpoint(layout.checkpoint, quiet().run_id) is None


def test_network_that_cannot_be_read_is_not_called_another_kind(
    trained: RunLayout, fail: Fail
) -> None:
    fail(READS, errno.EIO, below=trained.model)
    with pytest.raises(UserError, match="cannot be read: Input/output error"):
        load(trained.model)


def test_attempts_that_cannot_be_read_are_not_numbered_anew(tmp_path: Path, fail: Fail) -> None:
    path = tmp_path / "attempts.jsonl"
    AttemptLog(path, "", 1, 0).start()
    fail(READS, errno.ESTALE)
    with pytest.raises(OSError, match="Stale file handle"):
        AttemptLog(path, "", 1, 0)
    assert read_attempts(path) == []
    fail(READS, errno.ESTALE, 0, 2)
    AttemptLog(path, "", 1, 0).start()
    fail(READS, 0)
    assert [each.number for each in read_attempts(path)] == [1, 2]


def test_line_that_a_full_disk_cut_off_spoils_no_other(tmp_path: Path, fail: Fail) -> None:
    path = tmp_path / "attempts.jsonl"
    AttemptLog(path, "", 1, 0).start()
    with path.open("a") as file:
        file.write('{"event": "end", "numb')
    AttemptLog(path, "", 1, 0).start()
    assert [each.number for each in read_attempts(path)] == [1, 2]


def test_submissions_that_cannot_be_read_are_not_forgotten(tmp_path: Path, fail: Fail) -> None:
    layout = SweepLayout(tmp_path)
    write_text(layout.submission("0a1b"), '{"schema": "inr-submission/1"}')
    fail(READS, errno.EACCES, below=layout.submission("0a1b"))
    with pytest.raises(UserError, match="cannot be read: Permission denied"):
        list_submissions(layout)
    layout.index.write_text("{}")
    fail(READS, errno.EIO, below=layout.index)
    with pytest.raises(UserError, match="cannot be read: Input/output error"):
        read_index(layout)


def test_hdf5_where_nothing_can_be_locked(trained: RunLayout, fail: Fail) -> None:
    fail(LOCKS, errno.ENOLCK, below=trained.root)
    with open_run(trained.results) as file:
        assert len(read_series(file)["step"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_events_are_worth_no_failure(tmp_path: Path, fail: Fail, capfd) -> None:
    config = quiet()
    record = config.record.model_copy(update={"tensorboard": True})
    logged = config.model_copy(update={"record": record})
    layout = RunLayout(tmp_path / "run")
    make = inr.storage.run_writer.open_events

    def broken(directory: Path, step: int) -> object:
        events = make(directory, step)
        (path,) = layout.root.glob("events*")
        fail(WRITES, errno.ENOSPC, below=path)
        return events

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inr.storage.run_writer, "open_events", broken)
        whole = series_of(run(logged, layout.root))
    assert np.array_equal(whole["loss"], series_of(run(config, tmp_path / "quiet"))["loss"])
    assert "TensorBoard cannot write events: No space left" in capfd.readouterr().out


@pytest.mark.parametrize("missing", [EXCHANGES, LINKS])
def test_lock_of_the_dead_is_taken_over_where_names_cannot_be_exchanged(
    missing: int, tmp_path: Path, fail: Fail
) -> None:
    """As on NFS, Lustre, BeeGFS and CephFS."""
    path = tmp_path / "run.lock"
    fail(missing, errno.EINVAL if missing == EXCHANGES else errno.EPERM)
    program = (
        "import os, sys; from pathlib import Path; from inr.storage.lock import RunLock\n"
        "lock = RunLock(Path(sys.argv[1])); lock.take(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert path.exists()
    with RunLock(path) as lock:
        assert read_owner(path).pid == os.getpid()
        assert lock.last_life is not None
        with pytest.raises(LockHeldError), RunLock(path):
            pass
    assert not list(tmp_path.iterdir())


HOLDER = """
import ctypes, os, sys, time
from pathlib import Path
import inr.storage.lock
inr.storage.lock.HEARTBEAT_SECONDS, inr.storage.lock.STALE_SECONDS = 0.05, float(sys.argv[4])
with inr.storage.lock.RunLock(Path(sys.argv[1])):
    first, count = ctypes.c_long(0), ctypes.c_long(int(sys.argv[3]))
    ctypes.CDLL(None).faults_plan(sys.argv[1].encode(), 0, first, count, int(sys.argv[2]))
    time.sleep(3.0)
    print("went on")
"""


@pytest.mark.parametrize("error", [errno.ESTALE, errno.EIO, errno.EACCES, errno.ETIMEDOUT])
def test_heartbeats_that_fail_kill_nobody_before_the_lease_is_over(
    error: int, tmp_path: Path
) -> None:
    def holder(name: str, count: int, stale: float) -> subprocess.Popen[str]:
        arguments = [str(tmp_path / name), str(error), str(count), str(stale)]
        command = [sys.executable, "-c", HOLDER, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    passing, lasting = holder("a.lock", 20, 90.0), holder("b.lock", -1, 1.0)
    assert passing.communicate() == ("went on\n", "")
    _, said = lasting.communicate()
    assert "b.lock: lost (refresh-failed), ending" in said
    assert lasting.returncode == 1
