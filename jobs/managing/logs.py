"""The logs of one run: what its tasks printed, and the traceback of its last failure."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from inr.storage.attempts import read_attempts
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, read_index
from jobs.managing.exit_reason import tail
from jobs.managing.find_run import find_run
from slurm.job_map import JobMap
from slurm.journal import Journal

_HEAD = 4096  # bytes at the start of a log, where a task says what it trains
_LOOK_SECONDS = 0.5


def show_logs(layout: SweepLayout, wanted: str, lines: int, follow: bool) -> int:
    """Print the last lines of the logs of one run. Returns 1 when there are none yet.

    Args:
        layout: the sweep.
        wanted: the run: a name, a unique part of one, or a task number.
        lines: how many of each file.
        follow: go on with what is written to them, until Ctrl-C.

    Raises:
        UsageError: no such run, or several.
        UserError: the index of the sweep is missing or broken.
    """
    run = find_run(read_index(layout), wanted)
    paths = find_logs(layout, run)
    for path in paths:
        print(f"==> {path} <==")
        for line in tail(path, lines):
            print(line)
    if not paths:
        print(f"{run.name}: no log yet")
    if follow:
        _follow(layout, run, paths)
    return 0 if paths else 1


def find_logs(layout: SweepLayout, run: IndexEntry) -> list[Path]:
    """Log files of a run that are not empty, oldest first, and its traceback last."""
    files = layout.run(run.name)
    jobs = {attempt.job for attempt in read_attempts(files.attempts) if attempt.job}
    jobs |= _submitted_as(layout, run)
    logs = [path for job in jobs for path in layout.submitit.glob(f"{job}_*log.*")]
    logs += _local_logs(layout, run)
    full = [path for path in logs if path.stat().st_size]
    full.sort(key=lambda path: (path.stat().st_mtime_ns, path.name))
    return [*full, files.error] if files.error.is_file() else full


def _submitted_as(layout: SweepLayout, run: IndexEntry) -> set[str]:
    """Slurm's names of the tasks that the run was given to."""
    places = JobMap(Journal(layout)).places(run.run_id)
    return {place.task_id for place in places if place.task_id}


def _local_logs(layout: SweepLayout, run: IndexEntry) -> Iterator[Path]:
    """Logs of this machine's tasks that say they train the run; the files are called otherwise."""
    mark = f"{run.name} ({run.run_id})".encode()
    for out in layout.submitit.glob("local-*/*_log.out"):
        with out.open("rb") as file:
            found = mark in file.read(_HEAD)
        if found:
            yield out
            yield out.with_suffix(".err")


def _follow(layout: SweepLayout, run: IndexEntry, shown: Sequence[Path]) -> None:
    """Print what is appended to the logs, new files included, until Ctrl-C."""
    ends = {path: path.stat().st_size for path in shown}
    last = shown[-1] if shown else None
    try:
        while True:
            time.sleep(_LOOK_SECONDS)
            for path in find_logs(layout, run):
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
