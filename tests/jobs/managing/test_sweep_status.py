"""The status of a sweep, as the files of its runs tell it. Without a cluster."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import pytest

from inr.errors import UserError
from inr.progress import Progress, write_progress
from inr.storage.attempts import AttemptLog
from inr.storage.lock import STALE_SECONDS, RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry
from jobs.managing import results_cache
from jobs.managing.observation import read_files
from jobs.managing.results_cache import ResultsCache
from jobs.managing.run_state import State
from jobs.managing.sweep_status import read_status, status_document
from tests.helpers.synthetic import grid, make_config, write_index, write_run, write_sweep


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    return SweepLayout(tmp_path / "night")


def seeds(count: int) -> list[Any]:
    return grid(training__seed=range(count))


def states(layout: SweepLayout) -> list[State]:
    return [run.state for run in read_status(layout).runs]


def test_a_life_as_its_files_tell_it(layout: SweepLayout) -> None:
    [entry] = write_index(layout, seeds(1))
    run = layout.run(entry.name)
    assert states(layout) == [State.NOT_SUBMITTED]

    with RunLock(run.lock):
        log = AttemptLog(run.attempts, "", 1, 0)
        log.start()
        write_progress(run.progress, Progress(50, 200, 10.0, {"psnr_value": 20.0}))
        [status] = read_status(layout).runs
        assert (status.state, status.step, status.steps) == (State.RUNNING, 50, 200)
        assert (status.steps_per_second, status.remaining_seconds) == (5.0, 30.0)
        assert (status.attempts, status.job, status.errors) == (1, "", {"psnr_value": 20.0})
        assert status.heartbeat_seconds is not None
        assert status.heartbeat_seconds < 5
        log.end("failed", "ValueError: no", [0, 50])
    [status] = read_status(layout).runs
    assert (status.state, status.reason, status.step) == (State.FAILED, "ValueError: no", 50)
    assert status.steps_per_second is None

    write_run(run.results, make_config(training__seed=0), shape=None)
    [status] = read_status(layout).runs
    assert (status.state, status.step) == (State.DONE, 200)


def test_process_that_was_killed_is_lost(layout: SweepLayout) -> None:
    [entry] = write_index(layout, seeds(1))
    run = layout.run(entry.name)
    program = (
        "import sys, os, signal, pathlib; from inr.storage.lock import RunLock\n"
        "from inr.storage.attempts import AttemptLog\n"
        "lock, log = map(pathlib.Path, sys.argv[1:])\n"
        "RunLock(lock).__enter__(); AttemptLog(log, '', 1, 0).start()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", program, run.lock, run.attempts], check=False)
    assert died.returncode == -signal.SIGKILL
    assert run.lock.exists()
    assert states(layout) == [State.LOST]


def test_heartbeat_on_another_host_counts_until_it_is_stale(layout: SweepLayout) -> None:
    [entry] = write_index(layout, seeds(1))
    run = layout.run(entry.name)
    with RunLock(run.lock):
        record = run.lock.read_text()
    run.lock.write_text(re.sub("host=.*", "host=elsewhere", record))
    now = time.time()
    os.utime(run.lock, (now, now))
    assert read_files(run, now + STALE_SECONDS - 1).alive
    assert not read_files(run, now + STALE_SECONDS + 1).alive
    assert states(layout) == [State.RUNNING]
    [status] = read_status(layout).runs
    assert status.host == "elsewhere"


def test_results_of_another_configuration_do_not_count(layout: SweepLayout) -> None:
    [entry] = write_index(layout, seeds(1))
    write_run(layout.run(entry.name).results, make_config(training__seed=7), shape=None)
    assert states(layout) == [State.NOT_SUBMITTED]


DAMAGE = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:2000]),
    "no HDF5": lambda path: path.write_bytes(b"hello"),
    "odd status": lambda path: _set(path, "status", "great"),
    "odd attempts": lambda path: _set(path, "attempts", float("inf")),
    "odd host": lambda path: _set(path, "host", [1, 2]),
}


def _set(path: Path, name: str, value: Any) -> None:
    with h5py.File(path, "a") as file:
        file.attrs[name] = value


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_results_are_named(layout: SweepLayout, damage: Any) -> None:
    write_sweep(layout.root, seeds(1))
    [path] = layout.runs.rglob("run.h5")
    damage(path)
    [status] = read_status(layout).runs
    assert status.state is State.FAILED
    assert str(path) in status.reason


def overwrite(path: Path, dataset: str) -> None:
    """Change one byte of the data of a dataset behind its checksum."""
    with h5py.File(path) as file:
        offset = file[dataset].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_damage_in_the_series_is_named(layout: SweepLayout) -> None:
    write_sweep(layout.root, seeds(2), shape=(12, 12))
    first, _ = sorted(layout.runs.rglob("run.h5"))
    overwrite(first, "series/ssim_value")
    broken, done = read_status(layout).runs
    assert (broken.state, done.state) == (State.FAILED, State.DONE)
    assert broken.reason.startswith(f"{first}: broken: ")


def test_damage_in_the_frames_is_named_when_asked(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_cache, "_MIN_AGE_SECONDS", 0.0)
    write_sweep(layout.root, seeds(2), shape=(12, 12))
    first, _ = sorted(layout.runs.rglob("run.h5"))
    overwrite(first, "frames/laplacian/target")
    assert states(layout) == [State.DONE] * 2
    broken, done = read_status(layout, ResultsCache(layout, frames=True)).runs
    assert (broken.state, done.state) == (State.FAILED, State.DONE)
    assert "frames/laplacian/target" in broken.reason
    # what was found is remembered, without reading anything again
    monkeypatch.setattr(ResultsCache, "_inspect", lambda self, stamps: 1 / 0)
    assert states(layout) == [State.FAILED, State.DONE]


def test_reader_that_fails_is_an_error(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(layout.root, seeds(1), shape=(12, 12))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="a reading process failed, and no run is to blame"):
        read_status(layout)


def test_finished_runs_are_remembered_but_never_wrongly(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(layout.root, seeds(2))
    first, second = sorted(layout.runs.rglob("run.h5"))
    monkeypatch.setattr(results_cache, "_MIN_AGE_SECONDS", 0.0)
    assert states(layout) == [State.DONE] * 2

    opened: list[Path] = []
    read = ResultsCache._inspect

    def inspect(self: ResultsCache, stamps: dict[str, Any]) -> Any:
        opened.extend(layout.run(name).results for name in stamps)
        return read(self, stamps)

    monkeypatch.setattr(ResultsCache, "_inspect", inspect)
    assert states(layout) == [State.DONE] * 2
    assert not opened
    first.unlink()
    second.rename(first)  # another run's file in its place
    kept = second.with_name("kept")
    kept.write_bytes(first.read_bytes())
    times = first.stat()
    assert State.DONE not in states(layout)
    assert opened == [first]
    # changed in place, and its times set back
    data = bytearray(kept.read_bytes())
    data[:4] = b"oops"
    first.write_bytes(data)
    os.utime(first, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert State.DONE not in states(layout)
    layout.finished.write_text("[]")
    assert State.DONE not in states(layout)


def test_young_files_are_not_remembered(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_cache, "_MIN_AGE_SECONDS", 3600.0)  # however slow this machine is
    write_sweep(layout.root, seeds(1))
    assert states(layout) == [State.DONE]
    assert not layout.finished.exists()
    assert ResultsCache(layout).read([IndexEntry("id", "nothing", 0, {})]) == [(None, "")]


def test_document_has_the_promised_fields(layout: SweepLayout) -> None:
    entries = write_index(layout, seeds(2))
    run = layout.run(entries[0].name)
    with RunLock(run.lock):
        write_progress(run.progress, Progress(50, 200, 10.0, {"psnr_value": float("nan")}))
        document = status_document(read_status(layout))
    json.dumps(document, allow_nan=False)
    assert document["schema"] == "inr-status/1"
    assert document["totals"]["runs"] == 2
    assert {state.value: 0 for state in State} | {"running": 1, "not_submitted": 1} == {
        name: count for name, count in document["totals"].items() if name != "runs"
    }
    assert document["steps_per_second"] == 5.0
    assert document["remaining_seconds"] == 30.0  # the other one is not on its way
    assert set(document["runs"][0]) == {
        "run_id", "name", "task", "state", "reason", "step", "steps", "steps_per_second",
        "remaining_seconds", "errors", "host", "job", "attempts", "heartbeat_seconds",
    }  # fmt: skip
    assert document["runs"][0]["errors"] == {"psnr_value": None}


def test_status_needs_no_torch(layout: SweepLayout) -> None:
    write_sweep(layout.root, seeds(1))
    program = (
        "import sys; from jobs.manage import main; main(sys.argv[1:])\n"
        "print({'torch', 'pandas', 'submitit', 'matplotlib'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, "status", str(layout.root)]
    assert subprocess.run(command, capture_output=True, text=True).stdout.endswith("set()\n")
