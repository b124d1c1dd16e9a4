"""What is known of runs: what their files tell, and Slurm."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import OwnerRecord

from inr.files import clock_of
from inr.progress import Progress, read_progress
from inr.storage.attempts import Attempt, read_attempts, read_error
from inr.storage.lock import is_alive, is_here, read_owner
from inr.storage.paths import RunLayout, SweepLayout
from inr.storage.sweep_index import IndexEntry
from jobs.managing.logs import ExitReason, read_exit_reason
from jobs.managing.results_cache import Finished
from slurm.job_queue import JobMap, Place, TaskState


@dataclass
class Observation:
    """All that is known of one run; of a finished one, what its results file says."""

    finished: Finished | None = None  # what its results file says, when it is finished
    damage: str = ""  # what is wrong with the results file
    place: Place | None = None  # where it was last submitted
    queued: TaskState | None = None  # its task in the queue
    answers: bool = True  # whether the queue could be asked
    launching: bool = False  # whether a launcher is at work on the sweep
    owner: OwnerRecord | None = None  # the process that holds the run's lock, or held it last
    alive: bool = False  # whether that lives
    heartbeat_seconds: float | None = None  # age of the lock's last sign of life
    progress: Progress | None = None  # how far the last attempt came
    silent_seconds: float | None = None  # since the last progress, or else the attempt's start
    attempts: Sequence[Attempt] = ()  # oldest first
    error: str = ""  # last line of the traceback that the last attempt left
    task_trains: bool = False  # whether its newest task trains another run of its pack
    ended: TaskState | None = None  # what accounting says of its newest task
    log: ExitReason = field(default_factory=ExitReason)  # the end of its newest task's log

    @property
    def last(self) -> Attempt | None:
        """The last attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def of_newest_task(self) -> bool:
        """Whether the last attempt is that of the task that the run was last given to."""
        place, last = self.place, self.last
        return place is not None and last is not None and last.job == place.task_id

    @property
    def newest_task_started(self) -> bool:
        """Whether the last attempt belongs to the newest task, or came after it."""
        place, last = self.place, self.last
        if place is None or last is None:
            return last is not None
        return self.of_newest_task or last.started > place.submission.created


def observe(
    layout: SweepLayout,
    job_map: JobMap,
    entries: Sequence[IndexEntry],
    results: Sequence[tuple[Finished | None, str]],
) -> dict[str, Observation]:
    """What is known of the runs ``entries``, whose files say ``results``; by name."""
    now = clock_of(layout.root)
    launching = _is_launching(layout, now)
    seen: dict[str, Observation] = {}
    for entry, (finished, damage) in zip(entries, results, strict=True):
        each = Observation(finished) if finished else read_files(layout.run(entry.name), now)
        seen[entry.name] = each
        if not finished:
            each.damage, each.launching, each.answers = damage, launching, job_map.answers
            each.place, each.queued = job_map.newest(entry.run_id)
    at_work = {each.place.task_id for each in seen.values() if each.place and each.alive}
    ended: list[Observation] = []
    for each in seen.values():
        if each.place and each.queued:
            each.task_trains = each.place.task_id in at_work
        elif each.place and not each.alive:
            ended.append(each)
            each.log = read_exit_reason(layout.submitit / f"{each.place.task_id}_0_log.err")
    places = [each.place for each in ended if each.place]
    for each, task in zip(ended, job_map.ask_accounting(places), strict=True):
        each.ended = task
    return seen


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
    # progress.json is removed when an attempt starts; until it is there again its start counts
    silent = age(run.progress)
    return Observation(
        owner=owner,
        alive=heartbeat is not None and is_alive(owner, heartbeat),
        heartbeat_seconds=heartbeat,
        progress=read_progress(run.progress) if run.progress.name in files else None,
        silent_seconds=age(run.attempts) if silent is None else silent,
        attempts=read_attempts(run.attempts) if run.attempts.name in files else (),
        error=read_error(run.error) if run.error.name in files else "",
    )


def _is_launching(layout: SweepLayout, now: float) -> bool:
    """Whether another launcher is at work on the sweep at ``now``, the clock of its file system."""
    try:
        silence = now - layout.launch_lock.stat().st_mtime
    except OSError:
        return False
    owner = read_owner(layout.launch_lock)
    this_process = owner is not None and is_here(owner) and owner.pid == os.getpid()
    return not this_process and is_alive(owner, silence)
