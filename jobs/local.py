"""Train many runs on this machine, a few at a time, through submitit's local executor."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit

from inr.attempts import read_attempts
from inr.index import IndexEntry
from inr.layout import SweepLayout
from jobs.attempt import forget_last_attempt
from jobs.children import THREAD_VARIABLES
from jobs.devices import core_count, cuda_devices
from jobs.display import Display, Total
from jobs.lifeline import Lifeline
from jobs.options import PackMode
from jobs.outcome import outcome
from jobs.pack_task import run_pack
from jobs.packs import Group
from jobs.progress_file import Standing, describe_errors, describe_seconds, read_progress
from jobs.snapshot import import_path
from jobs.stopping import is_ignored
from jobs.task import run_task

_NO_TIMEOUT_MINUTES = 10 * 365 * 24 * 60  # submitit's default ends a local job after 2 minutes
_LOOK_SECONDS = 0.2
_STOP_SECONDS = 10.0

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
    if there are more workers than devices they share them evenly.

    Args:
        layout: the sweep.
        workers: most processes at a time.
        code: the snapshot that the tasks run.
        mode: how a task trains several runs, see `jobs.packs`.
    """

    def __init__(
        self, layout: SweepLayout, workers: int, code: Path, mode: PackMode = "auto"
    ) -> None:
        self._layout = layout
        self._workers = workers
        self._code = code
        self._mode = mode
        self._devices = cuda_devices()
        # a folder for each launch: submitit names its files after process ids, which come again
        self._folder = layout.submitit / f"local-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        # -P: a task must not import what happens to lie in the current directory
        self._executor = submitit.LocalExecutor(
            self._folder, python=f"{shlex.quote(sys.executable)} -P"
        )
        self._executor.update_parameters(timeout_min=_NO_TIMEOUT_MINUTES)
        self._running: list[_Running] = []
        self._ended: list[IndexEntry] = []
        self._failures: list[Failure] = []

    def train(self, tasks: Sequence[Group], display: Display) -> list[Failure]:
        """Train the runs of ``tasks``. Returns those that failed, with the reason.

        When interrupted (Ctrl-C, SIGTERM) it ends all processes it started, then raises
        KeyboardInterrupt.
        """
        waiting = deque(tasks)
        runs = [run for task in tasks for run in task]
        started = time.monotonic()
        threads = max(1, core_count() // self._workers)
        environment = dict.fromkeys(THREAD_VARIABLES, str(threads))
        environment["PYTHONPATH"] = import_path(self._code)
        with _changed_environment(environment), _sigterm_as_interrupt(), Lifeline() as lifeline:
            try:
                while waiting or self._running:
                    while waiting and len(self._running) < self._workers:
                        self._start(waiting.popleft(), lifeline)
                    self._collect(display, len(runs))
                    display.show(*self._standing(runs, time.monotonic() - started))
                    time.sleep(_LOOK_SECONDS)
            finally:
                self._stop(lifeline)
        return self._failures

    def _start(self, runs: Group, lifeline: Lifeline) -> None:
        taken = {running.slot for running in self._running}
        slot = next(slot for slot in range(self._workers) if slot not in taken)
        device = self._devices[slot % len(self._devices)] if self._devices else None
        for run in runs:
            forget_last_attempt(self._layout.run(run.name))
        work = [(run.name, json.dumps(run.config)) for run in runs]
        root = str(self._layout.root.resolve())
        tied: dict[str, Any] = {"lifeline": str(lifeline.path), "cuda_device": device}
        with _stderr_to(self._folder / "controllers.err"):
            if len(work) == 1:
                job: Any = self._executor.submit(run_task, root, *work[0], **tied)
            else:
                job = self._executor.submit(run_pack, root, work, self._mode, **tied)
        self._running.append(_Running(list(runs), slot, job, time.monotonic()))

    def _collect(self, display: Display, total: int) -> None:
        """Take away the tasks and runs that ended, and say how."""
        for running in list(self._running):
            over = running.job.done()
            if over:
                self._running.remove(running)
            # the last run of a task ends with it
            ended = [] if len(running.runs) == 1 else filter(self._is_complete, running.runs)
            for run in list(running.runs if over else ended):
                running.runs.remove(run)
                self._ended.append(run)
                how = self._describe_end(running, run)
                display.say(f"[{len(self._ended)}/{total}] {run.name}: {how}")

    def _is_complete(self, run: IndexEntry) -> bool:
        """Whether a run is finished, though its task may go on with others."""
        files = self._layout.run(run.name)
        report = read_progress(files.progress)
        if report is None or report.step < report.steps:
            return False
        attempts = read_attempts(files.attempts)
        return bool(attempts) and attempts[-1].status == "complete"

    def _describe_end(self, running: _Running, run: IndexEntry) -> str:
        files = self._layout.run(run.name)
        status = outcome(files, run.run_id)
        if status is None:
            log = running.job.paths.stderr
            reason = f"{_reason(files.error, log, run.name)} (log: {log})"
            self._failures.append((run, reason))
            return f"FAILED: {reason}"
        report = read_progress(files.progress)
        attempts = read_attempts(files.attempts)  # the run may have waited for others of its task
        own = attempts[-1].wall_seconds if attempts else 0.0
        took = describe_seconds(own or time.monotonic() - running.started)
        return f"{status} in {took}  {describe_errors(report) if report else ''}".rstrip()

    def _standing(
        self, runs: Sequence[IndexEntry], seconds: float
    ) -> tuple[dict[str, Standing | None], Total]:
        """How far the runs that train are, and all of them together.

        Of a task whose runs have all not begun, the first one.
        """
        reports: dict[str, Standing | None] = {}
        for each in self._running:
            names = [run.name for run in each.runs]
            found = {name: read_progress(self._layout.run(name).progress) for name in names}
            begun = {name: report for name, report in found.items() if report}
            reports |= begun or dict.fromkeys(names[:1])
        done = _steps(self._ended) + sum(report.step for report in reports.values() if report)
        return reports, Total(len(runs), len(self._ended), Standing(done, _steps(runs), seconds))

    def _stop(self, lifeline: Lifeline) -> None:
        """End every task that still runs, and wait for it."""
        lifeline.cut()
        deadline = time.monotonic() + _STOP_SECONDS
        while self._running and time.monotonic() < deadline:
            self._running = [each for each in self._running if not each.job.done()]
            time.sleep(0.05)


def _steps(runs: Sequence[IndexEntry]) -> int:
    return sum(run.config["training"]["steps"] for run in runs)


def _reason(error: Path, log: Path, name: str) -> str:
    """Why a run ended without a result: the last line of its traceback, else of its task's log."""
    for path in (error, log):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        lines = [line.strip() for line in text.splitlines() if not line.startswith("submitit INFO")]
        if any(lines):
            own = [line for line in lines if line.startswith(f"{name}: ")]
            last = next(line for line in reversed(own or lines) if line).removeprefix(f"{name}: ")
            return re.sub(r"^(\w+\.)*(UserError|UsageError|LockHeldError): ", "", last)
    return "the process was killed, perhaps for lack of memory (fewer --workers need less)"


@contextmanager
def _changed_environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let `kill`, and without nohup a closed terminal, end the launch as Ctrl-C does."""
    signals = [each for each in (signal.SIGTERM, signal.SIGHUP) if not is_ignored(each)]
    before = [signal.signal(each, signal.default_int_handler) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Let processes started meanwhile write their stderr to a file.

    submitit's controllers inherit it, and would print a traceback each on Ctrl-C.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
