"""What Slurm says of jobs: the queue (squeue), and accounting (sacct) where there is any.

Slurm's word only enriches what the result files say, so callers go on without it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from inr.errors import UserError

_TIMEOUT_SECONDS = 30
_SEPARATOR = "\x1f"  # squeue's fields; no comment contains it
_QUEUE_FIELDS = ("%F", "%K", "%T", "%r", "%N", "%k")
_ACCOUNT_FIELDS = "JobID,State,Reason,NodeList,Comment"  # the comment last: it may contain '|'
_NOTHING = ("None", "None assigned", "(null)", "N/A")
_MEMORY_DAYS = 30  # how far back accounting is searched for a comment
# 12, 12_3, or 12_[0-4,6,10-20:2%5] for tasks that wait
_JOB = re.compile(r"(?P<job>\d+)(?:_(?P<task>\d+)|_\[(?P<tasks>[\d,:-]+)(?:%\d+)?\])?")


@dataclass(frozen=True)
class TaskState:
    """One task of an array, or a plain job.

    Attributes:
        job_id: of the whole array.
        index: position in the array; 0 for a plain job.
        state: Slurm's word, such as PENDING, RUNNING, COMPLETED, FAILED, OUT_OF_MEMORY, TIMEOUT,
            PREEMPTED, NODE_FAIL, CANCELLED.
        reason: why it waits, or "".
        node: where it runs or ran, or "".
        comment: what the submitter wrote on the job, or "". Accounting keeps it only with
            ``AccountingStoreFlags=job_comment``.
    """

    job_id: str
    index: int
    state: str
    reason: str
    node: str
    comment: str


class SlurmUnavailable(UserError):  # noqa: N818 - it names a state of the world
    """There is no Slurm here, or it does not answer."""


def queued(job_ids: Collection[str] | None = None) -> list[TaskState]:
    """Tasks of this user that wait or run, arrays expanded; of ``job_ids`` only, if given.

    Raises `SlurmUnavailable`.
    """
    return [task for task in _squeue() if job_ids is None or task.job_id in job_ids]


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


def find_by_comment(comment: str) -> str | None:
    """Id of this user's newest job with that comment, waiting, running or ended; None if unknown.

    Ended jobs are found for some minutes, and longer where accounting keeps comments.
    Raises `SlurmUnavailable` when the queue cannot be asked.
    """
    found = [task.job_id for task in _squeue("--states=all") if task.comment == comment]
    if not found:
        try:
            since = ("--starttime", f"now-{_MEMORY_DAYS}days", "--user", str(os.getuid()))
            found = [task.job_id for task in _sacct(*since) if task.comment == comment]
        except SlurmUnavailable:
            return None
    return max(found, key=int, default=None)


def _squeue(*options: str) -> list[TaskState]:
    format_ = _SEPARATOR.join(_QUEUE_FIELDS)
    lines = _ask("squeue", "--me", "--array", "--noheader", *options, "--format", format_)
    tasks = []
    for line in lines:
        fields = [_text(field) for field in line.split(_SEPARATOR)]
        if len(fields) == len(_QUEUE_FIELDS):  # a comment over two lines belongs to others' jobs
            job, index, state, reason, node, comment = fields
            tasks.append(TaskState(job, int(index or 0), state, reason, node, comment))
    return tasks


def _sacct(*options: str) -> list[TaskState]:
    lines = _ask(
        "sacct", "--allocations", "--noheader", "--parsable2", *options, "--format", _ACCOUNT_FIELDS
    )
    tasks = []
    for line in lines:
        job, state, *rest = line.split("|", 4)
        state = state.partition(" ")[0]  # "CANCELLED by 1000"
        reason, node, comment = map(_text, rest)
        if state != "PENDING":
            reason = ""  # accounting keeps why a job once waited, not why it ended
        for job_id, index in _expand(job):
            tasks.append(TaskState(job_id, index, state, reason, node, comment))
    return tasks


def _expand(job: str) -> Iterator[tuple[str, int]]:
    """The tasks meant by a job id as sacct writes it; none if it is not one."""
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


def _text(value: str) -> str:
    return "" if value in _NOTHING else value


def _ask(program: str, *arguments: str) -> list[str]:
    """Lines of the answer. Raises `SlurmUnavailable`."""
    command = shutil.which(program)
    if command is None:
        raise SlurmUnavailable(f"no {program} here: this machine has no Slurm")
    # the user's own defaults for these programs would hide jobs
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SQUEUE_", "SACCT_"))}
    environment["SLURM_BITSTR_LEN"] = "0"  # otherwise long lists of array tasks are cut off
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command
            [command, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SlurmUnavailable(
            f"{program} gave no answer within {_TIMEOUT_SECONDS} seconds"
        ) from None
    if answer.returncode != 0:
        said = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise SlurmUnavailable(f"{program} failed: {said[-1].removeprefix(f'{program}: ')}")
    return answer.stdout.splitlines()
