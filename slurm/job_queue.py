"""What Slurm says of jobs, and of the runs they train: the queue, and accounting if there is any.

Slurm's word only enriches what the result files say, so callers go on without it.
"""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import Submission
from slurm.commands import SlurmUnavailable, ask_slurm
from slurm.journal import Journal, post_name

# No text of a user or a site contains these; line breaks and bars they do.
_RECORD, _FIELD = "\x1e", "\x1f"
_QUEUE_FORMAT = _RECORD + _FIELD.join(("%i", "%T", "%r", "%N", "%j", "%o", "%k"))
_ACCOUNT_FIELDS = "JobID,State,Reason,NodeList,JobName,Comment"
_NOTHING = ("None", "None assigned", "(null)", "N/A", "n/a")
_MEMORY_DAYS = 30  # how far back accounting is searched for a submission
# 12, 12_3, or 12_[0-4,6,10-20:2%5] for tasks that wait
_JOB = re.compile(r"(?P<job>\d+)(?:_(?P<task>\d+)|_\[(?P<tasks>[\d,:-]+)(?:%\d+)?\])?")
# Of a submission, in a comment and in the path of a script.
_TOKEN = re.compile(r"\binr:([0-9a-zA-Z]+)|/([0-9a-f]{12})_submission\.sh")


@dataclass(frozen=True)
class TaskState:
    """One task of an array, or a plain job. Text is "" where Slurm says nothing."""

    job_id: str  # of the whole array
    index: int  # in the array; 0 for a plain job
    state: str  # Slurm's word, such as PENDING, RUNNING, COMPLETED, FAILED, TIMEOUT, CANCELLED
    reason: str  # why it waits
    node: str  # where it runs or ran
    comment: str = ""  # accounting keeps it only with ``AccountingStoreFlags=job_comment``
    name: str = ""
    command: str = ""  # path of the script that was submitted; accounting does not say

    @property
    def token(self) -> str:
        """Of the submission that made the job, by its comment or its script; "" if neither says."""
        found = _TOKEN.search(self.comment) or _TOKEN.search(self.command)
        return next(filter(None, found.groups())) if found else ""


def queued(*options: str) -> list[TaskState]:
    """Tasks of this user that wait or run, arrays expanded. Raises `SlurmUnavailable`."""
    form = ("--me", "--array", "--noheader", "--format", _QUEUE_FORMAT)
    out = ask_slurm("squeue", *form, *options)
    tasks: list[TaskState] = []
    for record in out.split(_RECORD)[1:]:
        job, state, reason, node, name, command, comment = _fields(record, 7)
        rest = (state, reason, node, comment, name, command)
        tasks += [TaskState(*task, *rest) for task in _expand(job)]
    return tasks


def accounted(job_ids: Collection[str]) -> list[TaskState]:
    """Last known state of every task of ``job_ids``, arrays expanded.

    Empty when accounting is off or does not answer, or there is no Slurm.
    """
    if not job_ids:
        return []
    try:
        tasks = _sacct("--jobs", ",".join(sorted(job_ids)))
    except SlurmUnavailable:
        return []
    # sacct also finds tasks of arrays by a number of their own, which none of ours means
    return [task for task in tasks if task.job_id in job_ids]


def find_job(token: str) -> str | None:
    """Id of this user's newest job of submission ``token``, whatever its state; None if unknown.

    Ended jobs are found for some minutes, and longer where accounting keeps comments.
    Raises `SlurmUnavailable` when the queue cannot be asked.
    """
    found = _of(token, queued("--states=all"))
    if not found:
        since = ("--starttime", f"now-{_MEMORY_DAYS}days", "--user", str(os.getuid()))
        with suppress(SlurmUnavailable):
            found = _of(token, _sacct(*since))
    return max(found, key=int, default=None)


def _of(token: str, tasks: list[TaskState]) -> list[str]:
    # what Slurm refused is listed for a while: as failed, and on no node
    refused = ("FAILED", "")
    return [t.job_id for t in tasks if t.token == token and (t.state, t.node) != refused]


def _sacct(*options: str) -> list[TaskState]:
    form = ("--allocations", "--noheader", "--parsable2", f"--delimiter={_FIELD}")
    out = ask_slurm("sacct", *form, *options, "--format", _ACCOUNT_FIELDS)
    tasks: list[TaskState] = []
    # a line that begins with no job goes on with the comment of the one before
    for record in re.split(rf"\n(?=\d\S*{_FIELD})", out):
        job, state, reason, node, name, comment = _fields(record, 6)
        state = state.partition(" ")[0].rstrip("+")  # "CANCELLED by 1000"
        if state != "PENDING":
            reason = ""  # accounting keeps why a job once waited, not why it ended
        tasks += [TaskState(*task, state, reason, node, comment, name) for task in _expand(job)]
    return tasks


def _fields(record: str, count: int) -> list[str]:
    """The fields of a record; empty ones for what is missing."""
    fields = [field.strip() for field in record.split(_FIELD, count - 1)]
    fields = ["" if field in _NOTHING else field for field in fields]
    return fields + [""] * (count - len(fields))


def _expand(job: str) -> Iterator[tuple[str, int]]:
    """The tasks meant by a job id as Slurm writes it; none if it is not one."""
    parts = _JOB.fullmatch(job)
    if parts is None:
        return
    if parts["tasks"] is None:
        yield parts["job"], int(parts["task"] or 0)
        return
    for span in parts["tasks"].split(","):
        ends, _, step = span.partition(":")
        first, _, last = ends.partition("-")
        for index in range(int(first), int(last or first) + 1, int(step or 1)):
            yield parts["job"], index


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
    """The places of all runs of a sweep, and their tasks in the queue once that was asked for."""

    def __init__(self, journal: Journal) -> None:
        self.answers = True  # whether the queue could be asked, if there was something to ask
        self.notes: list[str] = []  # what could not be found out, one line each
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
        return [Place(self._submissions[token], i) for token, i in self._places.get(run_id, [])]

    def newest(self, run_id: str) -> tuple[Place | None, TaskState | None]:
        """Where the run waits or runs, and its task there; else where it was last submitted."""
        places = self.places(run_id)
        for place in reversed(places):
            if task := self._queue.get((place.submission.token, place.index)):
                return place, task
        return (places[-1] if places else None), None

    def in_queue(self) -> list[Submission]:
        """The submissions of which tasks wait or run, oldest first."""
        tokens = {token for token, _ in self._queue}
        return [submission for submission in self.submissions if submission.token in tokens]

    def ask_queue(self) -> list[TaskState]:
        """Find out what waits or runs of the sweep. Raises `SlurmUnavailable`."""
        owned = [(self._owner(task), task) for task in queued()]
        self._queue = {(owner.token, task.index): task for owner, task in owned if owner}
        for (token, _), task in self._queue.items():
            if not self._submissions[token].job_id:
                self._submissions[token] = replace(self._submissions[token], job_id=task.job_id)
        return list(self._queue.values())

    def ask_accounting(self, places: Sequence[Place]) -> list[TaskState | None]:
        """How the task at each place ended, as far as accounting knows."""
        jobs = {job for place in places if (job := place.submission.job_id)}
        tasks = accounted(jobs)
        if jobs and not tasks and self.answers:
            self.notes.append(
                "Slurm's accounting says nothing: how runs ended is told by their files alone"
            )
        # a cluster set up anew counts from 1 again, and its accounting may know the old one's jobs
        ends = {(task.job_id, task.index): task for task in tasks if self._owner(task)}
        return [ends.get((place.submission.job_id or "", place.index)) for place in places]

    def _owner(self, task: TaskState) -> Submission | None:
        """The submission that made a task of the queue; None if none of the sweep's did.

        The token on the job decides: a cluster set up anew counts from 1 again, and other sweeps
        have our numbers. Where a site writes over it, one with number and name of ours is ours.
        """
        if task.token:
            return self._submissions.get(task.token)
        ours = (each for each in reversed(self.submissions) if each.job_id == task.job_id)
        return next(ours, None) if task.name in self._names else None


def observe_jobs(layout: SweepLayout) -> JobMap:
    """The jobs of a sweep, and what waits or runs of them, if Slurm says so."""
    jobs = JobMap(Journal(layout))
    try:
        if jobs.submissions:
            jobs.ask_queue()
    except SlurmUnavailable as error:
        jobs.answers = False
        jobs.notes.append(f"{error}. States are told by the runs' files alone")
    return jobs
