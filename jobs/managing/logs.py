"""Logs: what the tasks of a run printed, and why a task ended."""

import os
import re
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from inr.storage.attempts import read_attempts
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, read_index
from jobs.managing.arguments import find_run
from slurm.job_queue import JobMap
from slurm.journal import Journal

_HEAD = 4096  # bytes at the start of a log, where a task says what it trains
_POLL_SECONDS = 0.5

# What Slurm writes to the log of a task that it ended -> the state that accounting would tell.
# It does so also where accounting is off; and only there, without cgroups, for its memory.
_LOG_STATES = (
    (re.compile(r"oom.?kill|out of memory|exceeded (job )?memory limit", re.I), "OUT_OF_MEMORY"),
    (re.compile(r"DUE TO TIME LIMIT"), "TIMEOUT"),
    (re.compile(r"DUE TO PREEMPTION"), "PREEMPTED"),
    (re.compile(r"DUE TO NODE FAILURE"), "NODE_FAIL"),
)
_SLURM = ("slurmstepd", "srun:", "slurmd")


@dataclass(frozen=True)
class ExitReason:
    """Why a task ended, from the end of its log: for tasks that could not say it themselves."""

    state: str = ""  # Slurm's word for how the task ended
    line: str = ""  # the last line that is not Slurm's


def show_logs(layout: SweepLayout, wanted: str, lines: int, follow: bool) -> int:
    """Print the last ``lines`` of each log of one run. Returns 1 when there are none yet.

    With ``follow`` it goes on with what is written to them, until Ctrl-C. Raises `UsageError` for
    no such run, or several, `UserError` if the index of the sweep is missing or broken.
    """
    run = find_run(read_index(layout), wanted)
    ends: dict[Path, int] = {}
    for path in _find_logs(layout, run):
        ends[path] = path.stat().st_size
        print(f"==> {path} <==", *tail(path, lines), sep="\n")
    if not ends:
        print(f"{run.name}: no log yet")
    if follow:
        _follow(layout, run, ends)
    return 0 if ends else 1


def _find_logs(layout: SweepLayout, run: IndexEntry) -> list[Path]:
    """Log files of a run that are not empty, oldest first, and its traceback last."""
    files = layout.run(run.name)
    jobs = {attempt.job for attempt in read_attempts(files.attempts) if attempt.job}
    places = JobMap(Journal(layout)).places(run.run_id)
    jobs |= {place.task_id for place in places if place.task_id}
    logs = [path for job in jobs for path in layout.submitit.glob(f"{job}_*log.*")]
    mark = f"{run.name} ({run.run_id})".encode()
    for out in layout.submitit.glob("local-*/*_log.out"):  # of tasks here, called otherwise
        with out.open("rb") as file:
            if mark in file.read(_HEAD):
                logs += [out, out.with_suffix(".err")]
    full = [path for path in logs if path.stat().st_size]
    full.sort(key=lambda path: (path.stat().st_mtime_ns, path.name))
    return [*full, files.error] if files.error.is_file() else full


def _follow(layout: SweepLayout, run: IndexEntry, ends: dict[Path, int]) -> None:
    """Print what is appended to the logs after ``ends``, new files included, until Ctrl-C."""
    last = next(reversed(ends), None)
    try:
        while True:
            time.sleep(_POLL_SECONDS)
            for path in _find_logs(layout, run):
                text, ends[path] = _read_from(path, ends.get(path, 0))
                if text and path != last:
                    print(f"\n==> {path} <==")
                    last = path
                print(text, end="", flush=True)
    except KeyboardInterrupt:
        print()


def _read_from(path: Path, position: int) -> tuple[str, int]:
    """What a file holds from ``position`` on, and its new end."""
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < position:  # written anew
                position = 0
            file.seek(position)
            data = file.read()
    except OSError:
        return "", 0
    return data.decode("utf-8", errors="replace"), position + len(data)


def tail(path: Path, lines: int) -> list[str]:
    """The last ``lines`` lines of a text file; none if it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
    except OSError:
        return []


def read_exit_reason(log: Path) -> ExitReason:
    """The end of a log; nothing if there is none."""
    state = line = ""
    for text in map(str.strip, reversed(tail(log, 50))):
        if not text.startswith(_SLURM):
            line = line or text
        elif not state:
            state = next((state for words, state in _LOG_STATES if words.search(text)), "")
    return ExitReason(state, line)
