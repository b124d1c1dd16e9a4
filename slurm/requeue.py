"""Back into the queue: a task that Slurm ends before its work is done goes on by itself.

Slurm ends a task at its time limit and to give its place to another job (preemption). By its
default settings a preempted job gets TERM when its grace begins, as a cancelled one does, and what
has ended by itself when the grace is over is not requeued. So a task asks Slurm why it was told to
stop, and requeues itself unless its user wants it to end.
"""

import os
import re
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from inr.errors import UserError
from inr.progress import read_progress
from inr.signals import signals_blocked
from inr.storage.attempts import Attempt, EndStatus, amend, read_attempts
from inr.storage.paths import RunLayout
from inr.storage.provenance import slurm_job_id
from slurm.commands import SlurmUnavailable, ask_slurm

WAIT_SECONDS = 300.0  # longer than most graces
MOST_FRUITLESS = 3  # attempts in a row without a new step, then a job is not requeued any more
# In a container there may be no scontrol. The variable whose value is the exit code that makes the
# batch script outside requeue the job; the next higher one: if it is preempted.
REQUEUE, REQUEUE_CODE = "INR_REQUEUE_CODE", 75
REQUEUE_LINES = (
    "code=$? said=",
    'job="${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"',
    f'[ "$code" -ne {REQUEUE_CODE + 1} ] || said=$(scontrol -o show job "$job") || sleep 300',
    f'if [[ "$code" -eq {REQUEUE_CODE} || "$said" =~ JobState=RUNNING.*PreemptTime=[^N] ]]; then',
    'scontrol requeue "$job"; fi',
    'exit "$code"',
)
_REQUEUED = "requeued"
_FIELD = re.compile(r"(\w+)=(\S+)")
_ENDING = ("COMPLETING", "CANCELLED", "PREEMPTED", "TIMEOUT")


def go_on(received: signal.Signals | None, runs: Sequence[RunLayout] = ()) -> bool:
    """Requeue the job of this task, unless its user wants it to end. Returns whether it goes on.

    ``received`` is the signal that told it to stop. Why the job ends is added to the attempts at
    the ``runs`` that it trains. Raises `UserError` if it should go on, and does not: Slurm refuses
    or does not answer, or `require_progress`.
    """
    by = f"asked to by {received.name if received else 'Slurm'}"
    with signals_blocked():  # Slurm sends its warnings to every process of a task
        try:
            cause = _why_it_ends(received, by)
            if not cause:
                return False
            if received != signal.SIGUSR2:
                _amend(runs, "stopped", cause)
            if not cause.startswith(_REQUEUED):
                require_progress(runs)
                _requeue()
        except SlurmUnavailable as error:
            if received in (signal.SIGUSR2, signal.SIGTERM) and REQUEUE in os.environ:
                print("the script of the job requeues it, unless its user ended it", flush=True)
                sys.exit(int(os.environ[REQUEUE]) + (received == signal.SIGTERM))
            reason = f"perhaps preempted, {by}, but not requeued: {error}"
            _amend(runs, "stopped", reason)
            print(f"{reason}. Waiting for Slurm to end this task", file=sys.stderr, flush=True)
            time.sleep(WAIT_SECONDS)  # what Slurm itself ends for others it requeues, if it may
            raise UserError(f"{error}. What was trained is saved: `retry` goes on") from None
    return True


def require_progress(runs: Iterable[RunLayout]) -> None:
    """Raise `UserError` when the last attempts of this job brought no run a new step."""
    histories = {run: _attempts_of_job(run) for run in runs}
    tried = {k: v for k, v in histories.items() if v and v[-1].status in ("", "stopped", "killed")}
    if not tried or any(_fruitless(each) < MOST_FRUITLESS for each in tried.values()):
        return
    reason = (
        f"{MOST_FRUITLESS} attempts in a row ended without a new step, so it is not tried again: "
        "raise `time`, or save more often (record.checkpoint_seconds), then `retry`"
    )
    _amend(tried, "failed", reason)
    raise UserError(reason)


def _why_it_ends(received: signal.Signals | None, by: str) -> str:
    """Why Slurm ends this task, as a reason of attempts; "" when its user wants it to end."""
    try:
        answer = ask_slurm("scontrol", "show", "job", "--oneliner", slurm_job_id())
    except SlurmUnavailable:
        if received == signal.SIGUSR2:
            return by  # nobody else sends it; whether Slurm requeues will be seen
        raise
    job = dict(_FIELD.findall(answer))
    preempted = job.get("PreemptTime", "None")
    if int(job.get("Restarts", 0)) > int(os.environ.get("SLURM_RESTART_COUNT") or 0):
        return f"{_REQUEUED}, {by}"  # by Slurm or its administrator
    if job.get("Reason") == "TimeLimit":
        return f"time limit, {by}"
    if job.get("JobState") in _ENDING:
        # cancelled after all, while it had its grace: later than it was preempted
        return f"preempted, {by}" if preempted == job.get("EndTime") else ""
    if preempted != "None":
        return f"preempted, {by}"
    return by if received == signal.SIGUSR2 else ""


def _requeue() -> None:
    try:
        ask_slurm("scontrol", "requeue", slurm_job_id())
    except SlurmUnavailable as error:
        if "pending" not in str(error).lower():  # it is on its way back
            raise
    print(f"requeued job {slurm_job_id()}", flush=True)


def _attempts_of_job(run: RunLayout) -> list[Attempt]:
    """The attempts of this job at a run. One that was killed came as far as it last said."""
    attempts = read_attempts(run.attempts)
    if attempts and not attempts[-1].status and (progress := read_progress(run.progress)):
        attempts[-1] = replace(attempts[-1], last_step=progress.step)
    return [each for each in attempts if each.job == slurm_job_id()]


def _fruitless(attempts: Iterable[Attempt]) -> int:
    """How many of the last attempts ended without a new step."""
    count = furthest = 0
    for each in attempts:
        # one that was stopped is saved; what a killed one trained may have to be trained again
        before = each.first_step if each.status == "stopped" else furthest
        # one step is made also where the signal came before it
        count = 0 if each.last_step > before + 1 else count + 1
        furthest = max(furthest, each.last_step)
    return count


def _amend(runs: Iterable[RunLayout], status: EndStatus, reason: str) -> None:
    """Add why the job ended to the last attempt at each run that goes on with it."""
    for run in runs:
        attempts = _attempts_of_job(run)
        if attempts and attempts[-1].status in ("", "stopped"):
            amend(run.attempts, attempts[-1].number, status, reason)
