"""Stop what runs of a sweep and take back what waits; nothing that was computed is lost."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from filelock import OwnerRecord

from inr.errors import UsageError, UserError
from inr.storage.attempts import read_attempts
from inr.storage.lock import host_of, is_alive, is_here, read_owner
from inr.storage.paths import SweepLayout
from jobs.managing.find_run import find_run
from jobs.managing.run_state import ACTIVE, State
from jobs.managing.sweep_status import RunStatus, SweepStatus, read_status
from slurm.commands import SlurmUnavailable, run_slurm

# What scancel says of jobs that have ended.
_ENDED = re.compile("already completing|Invalid job id|already completed|exit code")


@dataclass
class _Targets:
    """What there is to stop."""

    running: int = 0
    waiting: int = 0
    jobs: list[str] = field(default_factory=list)  # as scancel takes them
    post: list[str] = field(default_factory=list)  # jobs that merge and draw
    processes: dict[OwnerRecord, str] = field(default_factory=dict)  # of this machine -> what it is
    elsewhere: list[str] = field(default_factory=list)  # what only another machine can stop

    def describe(self) -> str:
        """All of it on one line."""
        parts = [f"{self.running} running and {self.waiting} waiting runs"]
        for what, jobs in (("Slurm", self.jobs), ("post-processing", self.post)):
            parts += [f"{what} {' '.join(jobs)}"] if jobs else []
        parts += [f"{what} {owner.pid}" for owner, what in self.processes.items()]
        return ", ".join(parts)


def cancel(layout: SweepLayout, wanted: Sequence[str], yes: bool, whole_tasks: bool = False) -> int:
    """Stop a sweep, or only the runs ``wanted``. Asks first unless ``yes``. Returns the exit code.

    A task that trains several runs is stopped only if all of them are wanted, or with
    ``whole_tasks``.

    Raises:
        UsageError: no such run, a task trains others too, or nobody is there to be asked.
        UserError: Slurm does not answer, or refuses.
    """
    status = read_status(layout)
    if not status.job_map.answers:
        raise UserError(
            f"{status.job_map.notes[0].partition('. ')[0]}: nothing can be cancelled in Slurm. "
            "Try again when it answers"
        )
    chosen = {find_run(status.entries, each).run_id for each in wanted}
    others = _others_of_their_tasks(status, chosen)
    if others and not whole_tasks:
        raise UsageError(
            f"cancel --run: the same task also trains {', '.join(run.name for run in others)}. "
            "Choose these too, or add --whole-tasks to stop them as well"
        )
    if others:
        print(f"of the same task: {', '.join(run.name for run in others)}")
    targets = _find_targets(status, chosen | {run.run_id for run in others})
    for line in targets.elsewhere:
        print(f"note: {line}")
    if not (targets.jobs or targets.post or targets.processes):
        print(f"{layout.root}: nothing runs or waits" + (" of these runs" if wanted else ""))
        return 0
    print(f"to cancel in {layout.root}: {targets.describe()}")
    if not yes and not _confirmed():
        print("nothing was cancelled")
        return 1
    _scancel([*targets.jobs, *targets.post])  # merging last
    for owner in targets.processes:
        _interrupt(owner)
    print("cancelled. What was computed stays: launch or retry goes on from the checkpoints")
    return 0


def _others_of_their_tasks(status: SweepStatus, chosen: set[str]) -> list[RunStatus]:
    """Runs that are not chosen, and that a task trains which trains one that is."""
    tasks = {run.run_id: _task_of(status, run) for run in status.in_states(ACTIVE)}
    stopped = {task for run_id, task in tasks.items() if run_id in chosen} - {None}
    return [
        run
        for run in status.in_states(ACTIVE)
        if run.run_id not in chosen and tasks[run.run_id] in stopped
    ]


def _task_of(status: SweepStatus, run: RunStatus) -> Hashable:
    """What trains a run, or will: a task of Slurm or a process; None if there is neither."""
    queued = status.job_map.waiting_or_running(run.run_id)
    if queued is not None:
        return queued[0].submission.token, queued[0].index
    owner = read_owner(status.layout.run(run.name).lock)
    return owner and (owner.hostname, owner.pid)


def _find_targets(status: SweepStatus, chosen: set[str]) -> _Targets:
    """What there is to stop of the runs ``chosen``, or of the sweep if none is chosen."""
    targets = _Targets()
    for run in status.in_states(ACTIVE):
        if chosen and run.run_id not in chosen:
            continue
        queued = status.job_map.waiting_or_running(run.run_id)
        if queued is None and not _add_process(targets, status, run, whole=not chosen):
            continue
        if queued is not None and chosen and queued[0].task_id not in targets.jobs:
            targets.jobs.append(queued[0].task_id)
        targets.running += run.state in (State.RUNNING, State.HUNG)
        targets.waiting += run.state in (State.WAITING, State.REQUEUED)
    if not chosen:  # whole jobs, not tasks, so that one just being requeued is not left
        for submission in filter(status.job_map.in_queue, status.job_map.submissions):
            jobs = targets.jobs if submission.tasks else targets.post
            jobs.append(str(submission.job_id))
    return targets


def _add_process(targets: _Targets, status: SweepStatus, run: RunStatus, whole: bool) -> bool:
    """Add the process that trains a run outside Slurm's queue. False if there is none to stop."""
    layout = status.layout
    task = read_owner(layout.run(run.name).lock)
    launcher = read_owner(layout.launch_lock)
    # with the launcher its tasks end too, and it starts no new ones
    owner, what = (launcher, "launcher") if whole and launcher else (task, "process")
    if owner is None:
        return False
    attempts = read_attempts(layout.run(run.name).attempts)
    job = attempts[-1].job if attempts else ""
    submitted = {submission.job_id for submission in status.job_map.submissions}
    if task is not None and job.partition("_")[0] in submitted:
        targets.elsewhere.append(
            f"{run.name}: Slurm job {job} on {host_of(task)} left the queue, and is about to end"
        )
        return False
    if not is_here(owner):
        targets.elsewhere.append(
            f"{run.name}: {what} {owner.pid} on {host_of(owner)} can be stopped only there: "
            f"kill -INT {owner.pid}"
        )
        return False
    targets.processes[owner] = what
    return True


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise UsageError("cancel asks first, and there is no terminal to ask on: add --yes")
    try:
        return input("cancel? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _scancel(jobs: Sequence[str]) -> None:
    """Take jobs back. Those that have ended meanwhile are no fault."""
    if not jobs:
        return
    try:
        answer = run_slurm("scancel", *jobs)
    except SlurmUnavailable as error:
        raise UserError(f"{error}. Look with status, and cancel again") from None
    said = [line for line in answer.reason.split("; ") if not _ENDED.search(line)]
    if answer.code != 0 and said:
        raise UserError(f"scancel failed: {said[-1]}")


def _interrupt(owner: OwnerRecord) -> None:
    """As Ctrl-C does: it saves its checkpoint and ends."""
    if not is_alive(owner, 0.0):  # its number may be another process's by now
        return
    try:
        # not Ctrl-C's signal: a shell switches that off for what it starts in the background
        os.kill(owner.pid, signal.SIGTERM)
    except ProcessLookupError:  # it has ended meanwhile
        return
    except PermissionError:
        raise UserError(f"process {owner.pid} belongs to another user") from None
