"""Which Slurm task trains which run, and what Slurm says of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import Submission
from slurm.commands import SlurmUnavailable
from slurm.job_queue import TaskState, accounted, queued
from slurm.journal import Journal, submission_of


@dataclass(frozen=True)
class Place:
    """A run's place in a submission.

    Attributes:
        submission: the job.
        index: the array's task, 0 in a plain job.
    """

    submission: Submission
    index: int

    @property
    def task_id(self) -> str:
        """As Slurm writes it: ``123_4``, or ``123`` for a plain job; "" while it is not known."""
        job = self.submission.job_id or ""
        return f"{job}_{self.index}" if job and self.submission.tasks > 1 else job


class JobMap:
    """The places of all runs of a sweep. Asks for the queue at once, for accounting when needed.

    Attributes:
        answers: whether the queue could be asked; True when there was nothing to ask.
        notes: what could not be found out, one line each.
        submissions: every job that was submitted, oldest first, with ids found in the queue.

    Raises:
        UserError: the index is missing or broken.
    """

    def __init__(self, layout: SweepLayout) -> None:
        self.answers = True
        self.notes: list[str] = []
        self._sweep = layout.name
        journal = Journal(layout)
        self._queue = {
            (owner.token, task.index): task
            for task in (self._ask_queue() if journal.submissions else [])
            if (owner := submission_of(task, journal.submissions, layout.name))
        }
        ids = {token: task.job_id for (token, _), task in self._queue.items()}
        self.submissions = [
            replace(each, job_id=each.job_id or ids.get(each.token)) for each in journal.submissions
        ]
        self._ended: dict[tuple[str, int], TaskState] = {}
        self._places: dict[str, list[Place]] = {}
        for submission in self.submissions:
            for index, run_ids in enumerate(journal.tasks(submission)):
                for run_id in run_ids:
                    self._places.setdefault(run_id, []).append(Place(submission, index))

    def newest(self, run_id: str) -> Place | None:
        """Where the run was last submitted."""
        places = self._places.get(run_id)
        return places[-1] if places else None

    def waiting_or_running(self, run_id: str) -> tuple[Place, TaskState] | None:
        """The run's task that is in the queue, the newest if there are several."""
        for place in reversed(self._places.get(run_id, [])):
            task = self._queue.get((place.submission.token, place.index))
            if task is not None:
                return place, task
        return None

    def in_queue(self, submission: Submission) -> list[TaskState]:
        """Tasks of a submission that wait or run."""
        return [task for (token, _), task in self._queue.items() if token == submission.token]

    def ask_accounting(self, run_ids: Iterable[str]) -> None:
        """Find out how the newest tasks of ``run_ids`` ended."""
        places = [self.newest(run_id) for run_id in run_ids]
        jobs = {place.submission.job_id for place in places if place is not None}
        tasks = accounted({job for job in jobs if job})
        # a cluster set up anew counts from 1 again, and its accounting may know the old one's jobs
        ours = [task for task in tasks if submission_of(task, self.submissions, self._sweep)]
        if any(jobs) and not tasks and self.answers:
            self.notes.append(
                "Slurm's accounting says nothing: how runs ended is told by their files alone"
            )
        self._ended = {(task.job_id, task.index): task for task in ours}

    def ended(self, place: Place) -> TaskState | None:
        """What accounting said of a task; None if it was not asked or does not know."""
        return self._ended.get((place.submission.job_id or "", place.index))

    def _ask_queue(self) -> list[TaskState]:
        try:
            return queued()
        except SlurmUnavailable as error:
            self.answers = False
            self.notes.append(f"{error}. States are told by the runs' files alone")
            return []
