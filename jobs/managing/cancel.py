"""Stop what runs of a sweep and take back what waits; nothing that was computed is lost."""

import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

from filelock import OwnerRecord

from inr.errors import UsageError, UserError
from inr.storage.lock import host_of, is_alive, is_here, read_owner
from inr.storage.paths import SweepLayout
from jobs.managing.arguments import confirmed, find_run
from jobs.managing.observation import Observation
from jobs.managing.run_state import ACTIVE, State
from jobs.managing.sweep_status import RunStatus, SweepStatus, read_status
from slurm.commands import SlurmUnavailable, reason_of, run_slurm
from slurm.job_queue import Place

# What scancel says of jobs that have ended.
_ENDED = re.compile("already completing|Invalid job id|already completed|exit code")


@dataclass
class _Targets:
    """What there is to stop."""

    runs: list[RunStatus] = field(default_factory=list)
    jobs: dict[str, None] = field(default_factory=dict)  # as scancel takes them, in order
    post: list[str] = field(default_factory=list)  # jobs that merge and draw
    processes: dict[OwnerRecord, str] = field(default_factory=dict)  # of this machine -> what it is

    def describe(self) -> str:
        """All of it on one line."""
        waiting = sum(run.state in (State.WAITING, State.REQUEUED) for run in self.runs)
        parts = [f"{len(self.runs) - waiting} running and {waiting} waiting runs"]
        for what, jobs in (("Slurm", self.jobs), ("post-processing", self.post)):
            parts += [f"{what} {' '.join(jobs)}"] if jobs else []
        parts += [f"{what} {owner.pid}" for owner, what in self.processes.items()]
        return ", ".join(parts)


def cancel(layout: SweepLayout, wanted: Sequence[str], yes: bool, whole_tasks: bool = False) -> int:
    """Stop a sweep, or only the runs ``wanted``. Asks first unless ``yes``. Returns the exit code.

    A task that trains several runs is stopped only if all of them are wanted, or with
    ``whole_tasks``. Raises `UsageError` if there is no such run, a task trains others too, or
    nobody is there to be asked, `UserError` if Slurm does not answer, or refuses.
    """
    status = read_status(layout)
    if not status.job_map.answers:
        raise UserError(
            f"{status.job_map.notes[0].partition('. ')[0]}: nothing can be cancelled in Slurm. "
            "Try again when it answers"
        )
    targets = _find_targets(status, _choose(status, wanted, whole_tasks), whole=not wanted)
    if not (targets.jobs or targets.post or targets.processes):
        print(f"{layout.root}: nothing runs or waits" + (" of these runs" if wanted else ""))
        return 0
    print(f"to cancel in {layout.root}: {targets.describe()}")
    if not yes and not confirmed("cancel"):
        print("nothing was cancelled")
        return 1
    _scancel([*targets.jobs, *targets.post])  # merging last
    for owner in targets.processes:
        _interrupt(owner)
    print("cancelled. What was computed stays: launch or retry goes on from the checkpoints")
    return 0


def _choose(status: SweepStatus, wanted: Sequence[str], whole_tasks: bool) -> list[RunStatus]:
    """The runs ``wanted`` that are under way, and those that the same tasks train; else all."""
    active = status.in_states(ACTIVE)
    if not wanted:
        return active
    entries = list(status.entries.values())
    chosen = {find_run(entries, each).run_id for each in wanted}
    tasks = {run.run_id: _task_of(status.observations[run.name]) for run in active}
    stopped = {tasks.get(run_id) for run_id in chosen} - {None}
    others = [run for run in active if run.run_id not in chosen and tasks[run.run_id] in stopped]
    names = ", ".join(run.name for run in others)
    if others and not whole_tasks:
        raise UsageError(
            f"cancel --run: the same task also trains {names}. "
            "Choose these too, or add --whole-tasks to stop them as well"
        )
    if others:
        print(f"of the same task: {names}")
    return [run for run in active if run.run_id in chosen or run in others]


def _task_of(seen: Observation) -> Place | OwnerRecord | None:
    """What trains a run, or will: a task of Slurm or a process."""
    if seen.queued:
        return seen.place
    return seen.owner and seen.owner._replace(token=None)  # of one of its locks


def _find_targets(status: SweepStatus, runs: Sequence[RunStatus], whole: bool) -> _Targets:
    """What there is to stop of ``runs``, or of the ``whole`` sweep."""
    targets = _Targets()
    # with the launcher its tasks end too, and it starts no new ones
    launcher = read_owner(status.layout.launch_lock) if whole else None
    what = "launcher" if launcher else "process"
    for run in runs:
        task = _task_of(status.observations[run.name])
        if isinstance(task, Place):
            targets.jobs[task.task_id] = None
        elif not (owner := launcher or task) or _out_of_reach(status, run, owner, what):
            continue
        else:
            targets.processes[owner] = what
        targets.runs.append(run)
    if whole:  # whole jobs, not tasks, so that one just being requeued is not left
        submissions = status.job_map.in_queue()
        targets.jobs = {str(each.job_id): None for each in submissions if each.tasks}
        targets.post = [str(each.job_id) for each in submissions if not each.tasks]
    return targets


def _out_of_reach(status: SweepStatus, run: RunStatus, owner: OwnerRecord, what: str) -> bool:
    """Whether the process ``owner`` of a run cannot be stopped from here. Says why."""
    seen = status.observations[run.name]
    job = seen.last.job if seen.last else ""
    submitted = {submission.job_id for submission in status.job_map.submissions}
    if seen.owner and job.partition("_")[0] in submitted:
        note = f"Slurm job {job} on {host_of(seen.owner)} left the queue, and is about to end"
    elif is_here(owner):
        return False
    else:
        where = f"{what} {owner.pid} on {host_of(owner)}"
        note = f"{where} can be stopped only there: kill -INT {owner.pid}"
    print(f"note: {run.name}: {note}")
    return True


def _scancel(jobs: Sequence[str]) -> None:
    """Take jobs back. Those that have ended meanwhile are no fault."""
    if not jobs:
        return
    try:
        answer = run_slurm("scancel", *jobs)
    except SlurmUnavailable as error:
        raise UserError(f"{error}. Look with status, and cancel again") from None
    said = [line for line in reason_of(answer).split("; ") if not _ENDED.search(line)]
    if answer.returncode != 0 and said:
        raise UserError(f"scancel failed: {said[-1]}")


def _interrupt(owner: OwnerRecord) -> None:
    """As Ctrl-C does: it saves its checkpoint and ends."""
    try:
        if is_alive(owner, 0.0):  # its number may be another process's by now
            # not Ctrl-C's signal: a shell switches that off for what it starts in the background
            os.kill(owner.pid, signal.SIGTERM)
    except ProcessLookupError:  # it has ended meanwhile
        pass
    except PermissionError:
        raise UserError(f"process {owner.pid} belongs to another user") from None
