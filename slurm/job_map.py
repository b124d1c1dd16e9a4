"""Which Slurm task trains which run, and what Slurm says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import Submission
from slurm.commands import SlurmUnavailable
from slurm.job_queue import TaskState, accounted, queued
from slurm.journal import Journal, post_name


@dataclass(frozen=True)
class Place:
    """A run's place in a submission."""

    submission: Submission
    index: int  # of the array's task, 0 in a plain job

    @property
    def task_id(self) -> str:
        """As Slurm writes it: ``123_4``, or ``123`` for a plain job; "" while it is not known."""
        job = self.submission.job_id or ""
        return f"{job}_{self.index}" if job and self.submission.tasks > 1 else job


class JobMap:
    """The places of all runs of a sweep, and their tasks in the queue once that was asked for.

    Attributes:
        answers: whether the queue could be asked; True when there was nothing to ask.
        notes: what could not be found out, one line each.
    """

    def __init__(self, journal: Journal) -> None:
        self.answers = True
        self.notes: list[str] = []
        self._names = [name.strip() for name in (journal.sweep, post_name(journal.sweep))]
        self._submissions = {each.token: each for each in journal.submissions}
        self._places: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for submission in journal.submissions:
            for index, run_ids in enumerate(journal.tasks(submission)):
                for run_id in run_ids:
                    self._places[run_id].append((submission.token, index))
        self._queue: dict[tuple[str, int], TaskState] = {}

    @property
    def submissions(self) -> list[Submission]:
        """Every job that was submitted, oldest first, with ids found in the queue."""
        return list(self._submissions.values())

    def places(self, run_id: str) -> list[Place]:
        """Where the run was submitted, oldest first."""
        return [
            Place(self._submissions[token], index) for token, index in self._places.get(run_id, [])
        ]

    def newest(self, run_id: str) -> Place | None:
        """Where the run was last submitted."""
        return next(reversed(self.places(run_id)), None)

    def waiting_or_running(self, run_id: str) -> tuple[Place, TaskState] | None:
        """The run's task that is in the queue, the newest if there are several."""
        for place in reversed(self.places(run_id)):
            task = self._queue.get((place.submission.token, place.index))
            if task is not None:
                return place, task
        return None

    def in_queue(self, submission: Submission) -> list[TaskState]:
        """Tasks of a submission that wait or run."""
        return [task for (token, _), task in self._queue.items() if token == submission.token]

    def ask_queue(self) -> list[TaskState]:
        """Find out what waits or runs of the sweep. Raises `SlurmUnavailable`."""
        owned = [(self._owner(task), task) for task in queued()]
        self._queue = {(owner.token, task.index): task for owner, task in owned if owner}
        for (token, _), task in self._queue.items():
            if not self._submissions[token].job_id:
                self._submissions[token] = replace(self._submissions[token], job_id=task.job_id)
        return list(self._queue.values())

    def ask_accounting(self, run_ids: Iterable[str]) -> dict[str, TaskState]:
        """How the newest tasks of ``run_ids`` ended, as far as accounting knows."""
        places = {run_id: place for run_id in run_ids if (place := self.newest(run_id))}
        jobs = {job for place in places.values() if (job := place.submission.job_id)}
        tasks = accounted(jobs)
        if jobs and not tasks and self.answers:
            self.notes.append(
                "Slurm's accounting says nothing: how runs ended is told by their files alone"
            )
        # a cluster set up anew counts from 1 again, and its accounting may know the old one's jobs
        ends = {(task.job_id, task.index): task for task in tasks if self._owner(task)}
        found = {key: (at.submission.job_id or "", at.index) for key, at in places.items()}
        return {run_id: ends[at] for run_id, at in found.items() if at in ends}

    def _owner(self, task: TaskState) -> Submission | None:
        """The submission that made a task of the queue; None if none of the sweep's did.

        The token on the job decides, in its comment or in the path of its script. Where a site
        writes over both, a job that has the number and the name of one of ours is ours.
        """
        if task.token:  # a cluster set up anew counts from 1 again: other sweeps have our numbers
            return self._submissions.get(task.token)
        ours = (each for each in reversed(self.submissions) if each.job_id == task.job_id)
        return next(ours, None) if task.name in self._names else None


def observe_jobs(layout: SweepLayout) -> JobMap:
    """The jobs of a sweep, and what waits or runs of them, if Slurm says so.

    Raises `UserError` if the index is missing or broken.
    """
    jobs = JobMap(Journal(layout))
    try:
        if jobs.submissions:
            jobs.ask_queue()
    except SlurmUnavailable as error:
        jobs.answers = False
        jobs.notes.append(f"{error}. States are told by the runs' files alone")
    return jobs
