"""What Slurm says of jobs: the queue (squeue), and accounting (sacct) where there is any.

Slurm's word only enriches what the result files say, so callers go on without it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from slurm.commands import SlurmUnavailable, ask_slurm

# No text of a user or a site contains these; line breaks and bars they do.
_RECORD, _FIELD = "\x1e", "\x1f"
_QUEUE_FIELDS = ("%i", "%T", "%r", "%N", "%j", "%o", "%k")
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
    """Tasks of this user that wait or run, arrays expanded; others too with ``options`` of squeue.

    Raises `SlurmUnavailable`.
    """
    format_ = _RECORD + _FIELD.join(_QUEUE_FIELDS)
    out = ask_slurm("squeue", "--me", "--array", "--noheader", *options, "--format", format_)
    tasks = []
    for record in out.split(_RECORD)[1:]:
        job, state, reason, node, name, command, comment = _fields(record, 7)
        for job_id, index in _expand(job):
            tasks.append(TaskState(job_id, index, state, reason, node, comment, name, command))
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
    tasks = []
    # a line that begins with no job goes on with the comment of the one before
    for record in re.split(rf"\n(?=\d\S*{_FIELD})", out):
        job, state, reason, node, name, comment = _fields(record, 6)
        state = state.partition(" ")[0].rstrip("+")  # "CANCELLED by 1000"
        if state != "PENDING":
            reason = ""  # accounting keeps why a job once waited, not why it ended
        for job_id, index in _expand(job):
            tasks.append(TaskState(job_id, index, state, reason, node, comment, name))
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
