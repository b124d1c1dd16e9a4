"""What the files of a run, and Slurm, tell about it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from inr.progress import Progress, read_progress
from inr.storage.attempts import Attempt, read_attempts
from inr.storage.lock import host_of, is_alive, is_here, read_owner
from inr.storage.paths import RunLayout, SweepLayout
from jobs.managing.exit_reason import ExitReason, tail
from jobs.managing.results_cache import Finished
from slurm.job_map import Place
from slurm.job_queue import TaskState


@dataclass
class Observation:
    """All that is known of one run.

    Attributes:
        finished: what its results file says, when it is finished.
        damage: what is wrong with the results file, or "".
        alive: whether the process that holds the run's lock lives.
        heartbeat_seconds: age of the lock's last sign of life; None without a lock.
        host: where the holder of the lock runs, or "".
        standing: how far the last attempt came.
        silent_seconds: time since the last progress, or since the attempt's start; None without.
        attempts: all attempts, oldest first.
        error: last line of the traceback that the last attempt left, or "".
        place: where it was last submitted.
        queued: its task in the queue.
        ended: what accounting says of its newest task.
        log: the end of the log of its newest task.
        answers: whether the queue could be asked.
        launching: whether a launcher is at work on the sweep.
        task_trains: whether its newest task trains another run of its pack.
    """

    finished: Finished | None = None
    damage: str = ""
    alive: bool = False
    heartbeat_seconds: float | None = None
    host: str = ""
    standing: Progress | None = None
    silent_seconds: float | None = None
    attempts: tuple[Attempt, ...] = ()
    error: str = ""
    place: Place | None = None
    queued: TaskState | None = None
    ended: TaskState | None = None
    log: ExitReason = field(default_factory=ExitReason)
    answers: bool = True
    launching: bool = False
    task_trains: bool = False

    @property
    def last(self) -> Attempt | None:
        """The last attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def newest_task_started(self) -> bool:
        """Whether the last attempt belongs to the newest task, or came after it."""
        if self.place is None or self.last is None:
            return self.last is not None
        return (
            self.last.job == self.place.task_id or self.last.started > self.place.submission.created
        )


def read_files(run: RunLayout, now: float) -> Observation:
    """What the files of an unfinished run tell at ``now``, the clock of their file system."""
    try:
        files = {entry.name: entry for entry in os.scandir(run.root)}
    except OSError:
        return Observation()

    def age(path: Path) -> float | None:
        """Seconds since the file was written; None when it is not, or no longer, there."""
        try:
            return max(0.0, now - files[path.name].stat().st_mtime)
        except (KeyError, OSError):
            return None

    heartbeat = age(run.lock)
    owner = None if heartbeat is None else read_owner(run.lock)
    attempts = tuple(read_attempts(run.attempts)) if run.attempts.name in files else ()
    # progress.json is removed when an attempt starts; until it is there again its start counts
    silent = age(run.progress)
    return Observation(
        alive=heartbeat is not None and is_alive(owner, heartbeat),
        heartbeat_seconds=heartbeat,
        host=host_of(owner) if owner else "",
        standing=read_progress(run.progress) if run.progress.name in files else None,
        silent_seconds=age(run.attempts) if silent is None else silent,
        attempts=attempts,
        error=_last_line(run.error) if run.error.name in files else "",
    )


def is_launching(layout: SweepLayout, now: float) -> bool:
    """Whether another launcher is at work on the sweep at ``now``, the clock of its file system."""
    try:
        silence = now - layout.launch_lock.stat().st_mtime
    except OSError:
        return False
    owner = read_owner(layout.launch_lock)
    this_process = owner is not None and is_here(owner) and owner.pid == os.getpid()
    return not this_process and is_alive(owner, silence)


def _last_line(path: Path) -> str:
    return next((line.strip() for line in reversed(tail(path, 20)) if line.strip()), "")
