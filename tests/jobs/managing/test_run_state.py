"""States of runs: the rules as a table, and what is read from files. Without a cluster."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
from rich.console import Console

from inr.errors import UserError
from inr.progress import Progress, write_progress
from inr.storage.attempts import Attempt, AttemptLog
from inr.storage.lock import STALE_SECONDS, RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import Submission
from jobs.managing import results_cache as finished
from jobs.managing.exit_reason import ExitReason, read_exit_reason
from jobs.managing.observation import Observation, read_files
from jobs.managing.results_cache import Finished, ResultsCache
from jobs.managing.run_state import (
    ACTIVE,
    FINISHED,
    HUNG_SECONDS,
    START_SECONDS,
    UNFINISHED,
    State,
    classify,
)
from jobs.managing.status_table import render
from jobs.managing.sweep_status import read_status, status_document
from slurm.job_map import Place
from slurm.job_queue import TaskState
from tests.helpers.synthetic import grid, make_config, write_index, write_run, write_sweep

PLACE = Place(Submission("abc", "2026-01-01T10:00:00+00:00", "default", 5, "7"), 3)


def attempt(status: str = "", reason: str = "", *, job: str = "7_3", hour: int = 11) -> Attempt:
    started = f"2026-01-01T{hour:02}:00:00+00:00"
    return Attempt(1, started, "n1", 42, job, 1, 0, status, reason)  # type: ignore[arg-type]


def task(state: str, reason: str = "") -> TaskState:
    return TaskState("7", 3, state, reason, "n1", "inr:abc")


def seen(*attempts: Attempt, **more: Any) -> Observation:
    """A run that was submitted as 7_3 and tried so often."""
    return Observation(attempts=attempts, **({"place": PLACE} | more))


def local(*attempts: Attempt, **more: Any) -> Observation:
    return seen(*attempts, place=None, **more)


SLOW = Progress(step=100, steps=1000, seconds=200.0)  # 2 s a step
DONE = Finished("id", "complete", 1, "n1", "7_3")
KILLED = attempt()
EARLIER = attempt("failed", "boom", job="5_3", hour=9)

CASES: dict[str, tuple[Observation, State, str]] = {
    # what the files say is true, whatever Slurm says
    "done": (seen(finished=DONE, queued=task("RUNNING")), State.DONE, ""),
    "diverged": (seen(finished=replace(DONE, status="diverged")), State.DIVERGED, ""),
    "running": (seen(KILLED, alive=True, silent_seconds=5.0), State.RUNNING, ""),
    "running, Slurm gone": (seen(KILLED, alive=True, answers=False), State.RUNNING, ""),
    # hung or slow
    "slow, not hung": (
        seen(KILLED, alive=True, standing=SLOW, silent_seconds=1900.0), State.RUNNING, ""),
    "hung": (
        seen(KILLED, alive=True, standing=SLOW, silent_seconds=2100.0),
        State.HUNG, "no step for 35:00"),
    "fast and hung": (
        seen(KILLED, alive=True, standing=replace(SLOW, seconds=1.0),
             silent_seconds=HUNG_SECONDS + 1), State.HUNG, "no step for 10:01"),
    "still starting": (
        seen(KILLED, alive=True, silent_seconds=START_SECONDS - 1), State.RUNNING, ""),
    "never starts": (
        seen(KILLED, alive=True, silent_seconds=START_SECONDS + 1),
        State.HUNG, "not one step in 30:01"),
    "heartbeat stopped": (
        seen(KILLED, queued=task("RUNNING"), heartbeat_seconds=HUNG_SECONDS + 1),
        State.HUNG, "no heartbeat for 10:01, though Slurm says RUNNING"),
    "an old lock and a new start": (
        seen(KILLED, queued=task("RUNNING"), heartbeat_seconds=30.0), State.RUNNING, "starting"),
    # in the queue
    "waiting": (seen(queued=task("PENDING", "Priority")), State.WAITING, "Priority"),
    # damage is named, whatever else is known
    "damaged, resubmitted as it was": (
        seen(EARLIER, damage="run.h5: broken: x"), State.FAILED, "run.h5: broken: x"),
    "damaged after it ended well": (
        seen(attempt("complete"), damage="run.h5: broken: x"), State.FAILED, "run.h5: broken: x"),
    "damaged while it was stopped": (
        seen(attempt("stopped", "asked to by SIGTERM"), damage="run.h5: broken: x"),
        State.CANCELLED, "stopped, asked to by SIGTERM; run.h5: broken: x"),
    "held": (
        seen(queued=task("PENDING", "launch failed requeued held")), State.WAITING,
        "launch failed requeued held: let it go on with `scontrol release 7`"),
    "held after it ran": (
        seen(KILLED, queued=task("PENDING", "JobHoldMaxRequeue")), State.WAITING,
        "JobHoldMaxRequeue: let it go on with `scontrol release 7`"),
    "suspended": (seen(queued=task("SUSPENDED")), State.WAITING, "SUSPENDED"),
    "starting": (seen(queued=task("CONFIGURING")), State.RUNNING, "starting"),
    "ending": (seen(queued=task("COMPLETING")), State.RUNNING, "ending"),
    "failed, and its task goes on with other runs": (
        seen(attempt("failed", "ValueError: no"), queued=task("RUNNING")),
        State.FAILED, "ValueError: no"),
    "failed in an earlier task, and starts again": (
        seen(EARLIER, queued=task("RUNNING")), State.RUNNING, "starting"),
    "waits for its turn in its task": (
        seen(EARLIER, queued=task("RUNNING"), task_trains=True),
        State.WAITING, "its task trains other runs first"),
    "failed in its turn, and its task goes on": (
        seen(attempt("failed", "ValueError: no"), queued=task("RUNNING"), task_trains=True),
        State.FAILED, "ValueError: no"),
    "requeued": (
        seen(attempt("stopped", "asked to by SIGUSR2"), queued=task("PENDING", "BeginTime")),
        State.REQUEUED, "asked to by SIGUSR2; BeginTime"),
    "requeued after its node failed": (
        seen(KILLED, queued=task("PENDING", "Resources")),
        State.REQUEUED, "its node failed, or it was killed; Resources"),
    "waits for a retry": (seen(EARLIER, queued=task("PENDING", "Priority")),
                          State.WAITING, "Priority"),
    # ended, and said why
    "failed": (seen(attempt("failed", "ValueError: no"), ended=task("FAILED")),
               State.FAILED, "ValueError: no"),
    "disk full": (seen(attempt("disk_full", "no space")), State.FAILED, "disk full: no space"),
    "out of memory, told by torch": (
        local(attempt("out_of_memory", "CUDA out of memory")),
        State.OUT_OF_MEMORY, "CUDA out of memory"),
    "results vanished": (
        seen(attempt("complete")), State.FAILED, "it finished, but its run.h5 is not there"),
    "results damaged": (
        seen(attempt("complete"), damage="run.h5: broken"), State.FAILED, "run.h5: broken"),
    "error of old": (local(error="ValueError: no"), State.FAILED, "ValueError: no"),
    # stopped
    "cancelled": (
        seen(attempt("stopped", "asked to by SIGTERM"), ended=task("CANCELLED")),
        State.CANCELLED, "cancelled in Slurm"),
    "cancelled, no accounting": (
        seen(attempt("stopped", "asked to by SIGTERM")),
        State.CANCELLED, "stopped, asked to by SIGTERM"),
    "interrupted here": (
        local(attempt("stopped", "asked to by SIGINT", job="")),
        State.CANCELLED, "stopped, asked to by SIGINT"),
    "time limit, not requeued": (
        seen(attempt("stopped", "asked to by SIGUSR2"), ended=task("TIMEOUT")),
        State.TIMED_OUT, "the time limit was reached"),
    "requeueing was refused": (
        seen(attempt("stopped", "asked to by SIGUSR2"), ended=task("FAILED")),
        State.PREEMPTED, "stopped, asked to by SIGUSR2"),
    "preempted, not requeued": (
        seen(attempt("stopped", "preempted, asked to by SIGTERM"), ended=task("COMPLETED")),
        State.PREEMPTED, "stopped, preempted, asked to by SIGTERM"),
    "preempted, to Slurm a time limit": (
        seen(attempt("stopped", "preempted, asked to by SIGTERM"), ended=task("TIMEOUT")),
        State.PREEMPTED, "stopped, preempted, asked to by SIGTERM"),
    "preempted and on its way": (
        seen(attempt("stopped", "preempted, asked to by SIGTERM"),
             queued=task("PENDING", "BeginTime")),
        State.REQUEUED, "preempted, asked to by SIGTERM; BeginTime"),
    "cancelled after it was preempted": (
        seen(attempt("stopped", "preempted, asked to by SIGTERM"), ended=task("CANCELLED")),
        State.CANCELLED, "cancelled in Slurm"),
    "perhaps preempted, but cancelled": (
        seen(attempt("stopped", "perhaps preempted, asked to by SIGTERM, but not requeued: x"),
             ended=task("CANCELLED")), State.CANCELLED, "cancelled in Slurm"),
    "no progress": (
        seen(attempt("failed", "3 attempts in a row ended without a new step"),
             ended=task("FAILED")),
        State.FAILED, "3 attempts in a row ended without a new step"),
    # killed without a word
    "killed: memory": (seen(KILLED, ended=task("OUT_OF_MEMORY")),
                       State.OUT_OF_MEMORY, "Slurm ended it: it used more memory than asked for"),
    "killed: memory, told by the log": (
        seen(KILLED, ended=task("FAILED"), log=ExitReason("OUT_OF_MEMORY")),
        State.OUT_OF_MEMORY, "Slurm ended it: it used more memory than asked for"),
    "killed: time, no accounting": (
        seen(KILLED, log=ExitReason("TIMEOUT")), State.TIMED_OUT, "the time limit was reached"),
    "accounting is newer than the log": (
        seen(KILLED, ended=task("NODE_FAIL"), log=ExitReason("PREEMPTED")),
        State.LOST, "its node failed"),
    "killed: preempted": (
        seen(KILLED, ended=task("PREEMPTED")),
        State.PREEMPTED, "Slurm gave its place to another job, and did not requeue it"),
    "killed by somebody": (
        seen(KILLED, ended=task("FAILED")),
        State.FAILED, "its process was killed, or ended without a word"),
    "lost": (seen(KILLED), State.LOST, "killed without a word on n1, or the node failed"),
    "lost here": (
        local(attempt(job="")), State.LOST, "killed without a word on n1, or the node failed"),
    "killed here after a submission that was cancelled": (
        seen(attempt(job="", hour=12), ended=task("CANCELLED")),
        State.LOST, "killed without a word on n1, or the node failed"),
    # never started
    "cancelled before it started": (
        seen(EARLIER, ended=task("CANCELLED")), State.CANCELLED, "cancelled in Slurm"),
    "setup failed": (
        seen(ended=task("FAILED"), log=ExitReason(line="setup failed: module load x")),
        State.FAILED, "setup failed: module load x"),
    "vanished from the queue": (seen(), State.LOST, "job 7_3 left the queue without starting it"),
    "submitted, Slurm gone": (
        seen(answers=False), State.WAITING, "submitted as job 7_3; Slurm does not answer"),
    "never reached Slurm": (
        seen(place=replace(PLACE, submission=replace(PLACE.submission, job_id=None))),
        State.NOT_SUBMITTED, "the launcher was stopped while submitting it"),
    "not submitted": (local(), State.NOT_SUBMITTED, ""),
    "being launched": (local(launching=True), State.WAITING, "a launch is under way"),
}  # fmt: skip


@pytest.mark.parametrize(("observation", "state", "reason"), CASES.values(), ids=CASES.keys())
def test_judgement(observation: Observation, state: State, reason: str) -> None:
    assert classify(observation) == (state, reason)


def test_every_state_is_tested_and_has_its_kind() -> None:
    assert {state for _, state, _ in CASES.values()} == set(State)
    assert sorted([*FINISHED, *ACTIVE, *UNFINISHED]) == sorted(State)


LOGS = {
    "empty": ("", ExitReason()),
    "setup failed": (
        "module: not found\nsetup failed: module load x\nsrun: error: n1: task 0: Exited\n",
        ExitReason("", "setup failed: module load x"),
    ),
    "memory, cgroups": (
        "slurmstepd: error: Detected 1 oom_kill event in StepId=2.0. Some of it was killed.\n",
        ExitReason("OUT_OF_MEMORY"),
    ),
    "memory, no cgroups": (
        "slurmstepd-n1: error: StepId=2.0 exceeded memory limit (2 > 1), being killed\n"
        "slurmstepd-n1: error: *** STEP 2.0 ON n1 CANCELLED AT 2026-11-23T06:48:10 ***\n",
        ExitReason("OUT_OF_MEMORY"),
    ),
    "the last counts": (
        "slurmstepd: error: *** JOB 1 ON n1 CANCELLED AT x DUE TO PREEMPTION ***\nhello\n"
        "slurmstepd: error: *** JOB 1 ON n1 CANCELLED AT x DUE TO TIME LIMIT ***\n",
        ExitReason("TIMEOUT", "hello"),
    ),
    "words of the program are not Slurm's": (
        "MyError: out of memory\n",
        ExitReason("", "MyError: out of memory"),
    ),
}


@pytest.mark.parametrize(("text", "words"), LOGS.values(), ids=LOGS.keys())
def test_last_words(tmp_path: Path, text: str, words: ExitReason) -> None:
    (tmp_path / "log.err").write_text(text)
    assert read_exit_reason(tmp_path / "log.err") == words
    assert read_exit_reason(tmp_path / "missing.err") == ExitReason()


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
    assert read_files(run, now).host == "elsewhere"


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
    monkeypatch.setattr(finished, "_SETTLE_SECONDS", 0.0)
    write_sweep(layout.root, seeds(2), shape=(12, 12))
    first, _ = sorted(layout.runs.rglob("run.h5"))
    overwrite(first, "frames/laplacian/target")
    assert states(layout) == [State.DONE] * 2
    broken, done = read_status(layout, ResultsCache(layout, frames=True)).runs
    assert (broken.state, done.state) == (State.FAILED, State.DONE)
    assert "frames/laplacian/target" in broken.reason
    # what was found stays known, without reading anything again
    monkeypatch.setattr(ResultsCache, "_inspect", lambda self, runs, stamps: [1 / 0 for _ in runs])
    assert states(layout) == [State.FAILED, State.DONE]


def test_reader_that_fails_is_an_error(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(layout.root, seeds(1), shape=(12, 12))
    monkeypatch.setattr(finished, "ROOT", layout.root)
    with pytest.raises(UserError, match="could not be read, see above"):
        read_status(layout)


def test_finished_runs_are_remembered_but_never_wrongly(
    layout: SweepLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(layout.root, seeds(2))
    first, second = sorted(layout.runs.rglob("run.h5"))
    monkeypatch.setattr(finished, "_SETTLE_SECONDS", 0.0)
    assert states(layout) == [State.DONE] * 2

    opened: list[Path] = []
    read = ResultsCache._inspect
    monkeypatch.setattr(ResultsCache, "_inspect", lambda self, runs, stamps: (
        opened.extend(run.results for run in runs), read(self, runs, stamps))[1])  # fmt: skip
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
    monkeypatch.setattr(finished, "_SETTLE_SECONDS", 3600.0)  # however slow this machine is
    write_sweep(layout.root, seeds(1))
    assert states(layout) == [State.DONE]
    assert not layout.finished.exists()
    assert ResultsCache(layout).read([(layout.run("nothing"), "id")]) == [(None, "")]


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


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("all_runs", [False, True], ids=["short", "all"])
def test_tables_cut_nothing_off(layout: SweepLayout, width: int, all_runs: bool) -> None:
    entries = write_index(layout, seeds(30))
    for entry in entries[:25]:
        run = layout.run(entry.name)
        run.root.mkdir(parents=True)
        log = AttemptLog(run.attempts, "", 1, 0)
        log.start()
        log.end("failed", f"ValueError: [red] {'why ' * 20}end", [])
    run = layout.run(entries[-1].name)
    with RunLock(run.lock):
        errors = {"psnr_value": 27.1, "nmse_value": 1e-3, "nmse_time_derivative": 2e-2}
        write_progress(run.progress, Progress(123456, 200000, 1000.0, errors))
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(render(read_status(layout), all_runs))
    text = console.export_text()
    assert "…" not in text or "… and 5 more" in text
    flat = "".join(text.split())
    shown = entries if all_runs else [*entries[:20], entries[-1]]
    assert all(entry.name in flat for entry in shown)
    for words in ("failed25", "running1", "notsubmitted4", "123456/", "[red]", "whyend"):
        assert words in flat
    assert all_runs or all(words in flat for words in ("123/s", "27.1dB", "dt2.0e-02"))


def test_status_needs_no_torch(layout: SweepLayout) -> None:
    write_sweep(layout.root, seeds(1))
    program = (
        "import sys; from jobs.manage import main; main(sys.argv[1:])\n"
        "print({'torch', 'pandas', 'submitit', 'matplotlib'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, "status", str(layout.root)]
    assert subprocess.run(command, capture_output=True, text=True).stdout.endswith("set()\n")
