"""Train many runs on this machine, a few at a time, through submitit's local executor."""

import json
import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit

from inr.cpus import core_count
from inr.progress import Progress, describe_errors, describe_seconds, read_progress
from inr.results import outcome
from inr.signals import signals_blocked
from inr.storage.attempts import Attempt, read_attempts, read_error
from inr.storage.paths import SweepLayout
from inr.storage.provenance import import_path
from inr.storage.sweep_index import IndexEntry
from jobs.launching.terminal import Display
from jobs.sweeps.grouping import Group, PackMode, count_of
from jobs.worker.attempt import clear_last_attempt
from jobs.worker.devices import THREAD_VARIABLES, cuda_devices
from jobs.worker.parent_watchdog import GRACE_SECONDS, ParentWatchdog
from jobs.worker.train import train_runs

_NO_TIMEOUT_MINUTES = 10 * 365 * 24 * 60  # submitit's default ends a local job after 2 minutes
_POLL_SECONDS = 0.2
_SAVED = ("stopped", "complete", "diverged")  # how an attempt ends of which nothing is lost

Failure = tuple[IndexEntry, str]


@dataclass(frozen=True)
class _Running:
    """A task that runs."""

    runs: list[IndexEntry]  # those whose end has not been told
    slot: int  # from 0; one task at a time holds it
    job: Any  # submitit.LocalJob
    started: float  # time.monotonic()


class LocalPool:
    """Runs tasks in processes of their own, never more than ``workers`` at once.

    The cores are divided among the workers. Where there are CUDA devices, each worker uses one;
    if there are more workers than devices they share them evenly. They run the snapshot ``code``.
    """

    def __init__(
        self, layout: SweepLayout, workers: int, code: Path, mode: PackMode = "auto"
    ) -> None:
        self._layout, self._workers, self._code, self._mode = layout, workers, code, mode
        self._devices: list[str | None] = [*cuda_devices()] or [None]
        # a folder for each launch: submitit names its files after process ids, which come again
        folder = layout.submitit / f"local-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self._executor = submitit.LocalExecutor(folder)
        self._executor.update_parameters(timeout_min=_NO_TIMEOUT_MINUTES)
        self._running: list[_Running] = []
        self._ended: list[IndexEntry] = []
        self._failures: list[Failure] = []

    def train(self, tasks: Sequence[Group], display: Display) -> list[Failure]:
        """Train the runs of ``tasks``. Returns those that failed, with the reason.

        When interrupted (Ctrl-C, SIGTERM) it lets all processes save what they train, then raises
        KeyboardInterrupt with a message about what is saved.
        """
        threads = max(1, core_count() // self._workers)
        with _task_environment(self._code, threads), ParentWatchdog() as watchdog:
            try:
                try:
                    self._train(deque(tasks), display, watchdog)
                finally:
                    self._stop(watchdog)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(self._describe_saved()) from None
        return self._failures

    def _train(self, waiting: deque[Group], display: Display, watchdog: ParentWatchdog) -> None:
        runs = [run for task in waiting for run in task]
        started = time.monotonic()
        while waiting or self._running:
            while waiting and len(self._running) < self._workers:
                self._start(waiting.popleft(), watchdog)
            self._collect(display, len(runs))
            display.show(*self._progress(runs, time.monotonic() - started))
            time.sleep(_POLL_SECONDS)

    def _start(self, runs: Group, watchdog: ParentWatchdog) -> None:
        slot = min(set(range(self._workers)) - {running.slot for running in self._running})
        for run in runs:
            clear_last_attempt(self._layout.run(run.name))
        root = str(self._layout.root.resolve())
        work = [(run.name, json.dumps(run.config)) for run in runs]
        device = self._devices[slot % len(self._devices)]
        tied = {"watchdog": str(watchdog.path), "cuda_device": device}
        # Ctrl-C in a terminal reaches all processes; submitit's own would end its task unsaved
        with signals_blocked():
            job = self._executor.submit(train_runs, root, work, self._mode, **tied)
        self._running.append(_Running(list(runs), slot, job, time.monotonic()))

    def _collect(self, display: Display, total: int) -> None:
        """Take away the tasks and runs that ended, and say how."""
        for running in list(self._running):
            ended = list(running.runs)
            if running.job.done():
                self._running.remove(running)
            elif len(ended) > 1:
                ended = list(filter(self._is_complete, ended))
            else:  # the last run of a task ends with it
                continue
            for run in ended:
                running.runs.remove(run)
                self._ended.append(run)
                how = self._describe_end(running, run)
                display.say(f"[{len(self._ended)}/{total}] {run.name}: {how}")

    def _last_attempt(self, run: IndexEntry) -> Attempt | None:
        return next(reversed(read_attempts(self._layout.run(run.name).attempts)), None)

    def _is_complete(self, run: IndexEntry) -> bool:
        """Whether a run is finished, though its task may go on with others."""
        report = read_progress(self._layout.run(run.name).progress)
        if report is None or report.step < report.steps:
            return False
        last = self._last_attempt(run)
        return last is not None and last.status == "complete"

    def _describe_end(self, running: _Running, run: IndexEntry) -> str:
        files = self._layout.run(run.name)
        status = outcome(files.results, run.run_id)
        if status is None:
            log = running.job.paths.stderr
            reason = f"{_reason(files.error, log, run.name)} (log: {log})"
            self._failures.append((run, reason))
            return f"FAILED: {reason}"
        report, last = read_progress(files.progress), self._last_attempt(run)
        own = last.wall_seconds if last else 0.0  # it may have waited for others of its task
        took = describe_seconds(own or time.monotonic() - running.started)
        return f"{status} in {took}  {describe_errors(report.errors) if report else ''}".rstrip()

    def _progress(
        self, runs: Sequence[IndexEntry], seconds: float
    ) -> tuple[dict[str, Progress | None], Progress, str]:
        """How far the runs that train are, and all of them together.

        Of a task whose runs have all not begun, the first one.
        """
        reports: dict[str, Progress | None] = {}
        for each in self._running:
            names = [run.name for run in each.runs]
            found = {name: read_progress(self._layout.run(name).progress) for name in names}
            begun = {name: report for name, report in found.items() if report}
            reports |= begun or dict.fromkeys(names[:1])
        done = _steps(self._ended) + sum(report.step for report in reports.values() if report)
        finished = f"{len(self._ended)} of {len(runs)} runs"
        return reports, Progress(done, _steps(runs), seconds), finished

    def _describe_saved(self) -> str:
        """What to know after an interruption: which runs had begun, and did not say they saved."""
        unsaved = []
        for run in (run for running in self._running for run in running.runs):
            last = self._last_attempt(run)
            saved = last is not None and last.status in _SAVED
            if self._layout.run(run.name).progress.exists() and not saved:
                unsaved.append(run.name)
        if not unsaved:
            return "what was trained is saved, the same command goes on"
        return (
            f"{', '.join(unsaved)} did not save in time, and will go on from an earlier "
            "checkpoint, or from the start. The same command goes on"
        )

    def _stop(self, watchdog: ParentWatchdog) -> None:
        """Let every task that still runs save and end, and wait for it."""
        watchdog.close()
        deadline = time.monotonic() + GRACE_SECONDS + 5
        told = time.monotonic() + 2
        waiting = list(self._running)
        while (waiting := [e for e in waiting if not e.job.done()]) and time.monotonic() < deadline:
            if time.monotonic() > told:
                told = deadline
                print(f"waiting for {count_of(len(waiting), 'task')} to save", file=sys.stderr)
            time.sleep(0.05)


def _steps(runs: Sequence[IndexEntry]) -> int:
    return sum(run.config["training"]["steps"] for run in runs)


def _reason(error: Path, log: Path, name: str) -> str:
    """Why a run ended without a result: the last line of its traceback, else of its task's log."""
    if not (last := read_error(error)) and log.is_file():
        text = log.read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if not line.startswith("submitit INFO")]
        own = [line for line in lines if line.startswith(f"{name}: ")]
        last = ("", *filter(None, own or lines))[-1].removeprefix(f"{name}: ")
    killed = "the process was killed, perhaps for lack of memory (fewer --workers need less)"
    return re.sub(r"^(\w+\.)*(UserError|UsageError|LockHeldError): ", "", last) or killed


@contextmanager
def _task_environment(code: Path, threads: int) -> Iterator[None]:
    """What tasks that are started meanwhile inherit.

    A Slurm job around this process is no job of theirs, and says nothing of what they share.
    """
    before = dict(os.environ)
    for name in before:
        if name.startswith("SLURM_") and name != "SLURM_CONF":
            del os.environ[name]
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    # what lies in the current directory is not imported
    os.environ |= {"PYTHONPATH": import_path(code), "PYTHONSAFEPATH": "1"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
