"""States of runs: the rules as a table, and the last words of logs. Without a cluster."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inr.progress import Progress
from inr.storage.attempts import Attempt
from inr.storage.sweep_index import Submission
from jobs.managing.logs import ExitReason, read_exit_reason
from jobs.managing.observation import Observation
from jobs.managing.results_cache import Finished
from jobs.managing.run_state import (
    ACTIVE,
    FINISHED,
    HUNG_SECONDS,
    START_SECONDS,
    UNFINISHED,
    State,
    classify,
)
from slurm.job_queue import Place, TaskState

PLACE = Place(Submission("abc", "2026-01-01T10:00:00+00:00", "default", 5, "7"), 3)


def attempt(status: str = "", reason: str = "", *, job: str = "7_3", hour: int = 11) -> Attempt:
    started = f"2026-01-01T{hour:02}:00:00+00:00"
    return Attempt(1, started, "n1", 42, job, 1, 0, status, reason)  # type: ignore[arg-type]


def task(state: str, reason: str = "") -> TaskState:
    return TaskState("7", 3, state, reason, "n1", "inr:abc")


def seen(*attempts: Attempt, **more: Any) -> Observation:
    """A run that was submitted as 7_3 and tried so often."""
    return Observation(attempts=attempts, **({"place": PLACE} | more))


def local(*attempts: Attempt, **more: Any) -> Observation:
    return seen(*attempts, place=None, **more)


SLOW = Progress(step=100, steps=1000, seconds=200.0)  # 2 s a step
DONE = Finished("id", "complete", 1, "n1", "7_3")
KILLED = attempt()
EARLIER = attempt("failed", "boom", job="5_3", hour=9)

CASES: dict[str, tuple[Observation, State, str]] = {
    # what the files say is true, whatever Slurm says
    "done": (seen(finished=DONE, queued=task("RUNNING")), State.DONE, ""),
    "diverged": (seen(finished=replace(DONE, status="diverged")), State.DIVERGED, ""),
    "running": (seen(KILLED, alive=True, silent_seconds=5.0), State.RUNNING, ""),
    "running, Slurm gone": (seen(KILLED, alive=True, answers=False), State.RUNNING, ""),
    # hung or slow
    "slow, not hung": (
        seen(KILLED, alive=True, progress=SLOW, silent_seconds=1900.0), State.RUNNING, ""),
    "hung": (
        seen(KILLED, alive=True, progress=SLOW, silent_seconds=2100.0),
        State.HUNG, "no step for 35:00"),
    "fast and hung": (
        seen(KILLED, alive=True, progress=replace(SLOW, seconds=1.0),
             silent_seconds=HUNG_SECONDS + 1), State.HUNG, "no step for 10:01"),
    "still starting": (
        seen(KILLED, alive=True, silent_seconds=START_SECONDS - 1), State.RUNNING, ""),
    "never starts": (
        seen(KILLED, alive=True, silent_seconds=START_SECONDS + 1),
        State.HUNG, "not one step in 30:01"),
    "heartbeat stopped": (
        seen(KILLED, queued=task("RUNNING"), heartbeat_seconds=HUNG_SECONDS + 1),
        State.HUNG, "no heartbeat for 10:01, though Slurm says RUNNING"),
    "an old lock and a new start": (
        seen(KILLED, queued=task("RUNNING"), heartbeat_seconds=30.0), State.RUNNING, "starting"),
    # in the queue
    "waiting": (seen(queued=task("PENDING", "Priority")), State.WAITING, "Priority"),
    # damage is named, whatever else is known
    "damaged, resubmitted as it was": (
        seen(EARLIER, damage="run.h5: broken: x"), State.FAILED, "run.h5: broken: x"),
    "damaged after it ended well": (
        seen(attempt("complete"), damage="run.h5: broken: x"), State.FAILED, "run.h5: broken: x"),
    "damaged while it was stopped": (
        seen(attempt("stopped", "asked to by SIGTERM"), damage="run.h5: broken: x"),
        State.CANCELLED, "stopped, asked to by SIGTERM; run.h5: broken: x"),
    "held": (
        seen(queued=task("PENDING", "launch failed requeued held")), State.WAITING,
        "launch failed requeued held: let it go on with `scontrol release 7`"),
    "held after it ran": (
        seen(KILLED, queued=task("PENDING", "JobHoldMaxRequeue")), State.WAITING,
        "JobHoldMaxRequeue: let it go on with `scontrol release 7`"),
    "suspended": (seen(queued=task("SUSPENDED")), State.WAITING, "SUSPENDED"),
    "starting": (seen(queued=task("CONFIGURING")), State.RUNNING, "starting"),
    "ending": (seen(queued=task("COMPLETING")), State.RUNNING, "ending"),
    "failed, and its task goes on with other runs": (
        seen(attempt("failed", "ValueError: no"), queued=task("RUNNING")),
        State.FAILED, "ValueError: no"),
    "failed in an earlier task, and starts again": (
        seen(EARLIER, queued=task("RUNNING")), State.RUNNING, "starting"),
    "waits for its turn in its task": (
        seen(EARLIER, queued=task("RUNNING"), task_trains=True),
        State.WAITING, "its task trains other runs first"),
    "failed in its turn, and its task goes on": (
        seen(attempt("failed", "ValueError: no"), queued=task("RUNNING"), task_trains=True),
        State.FAILED, "ValueError: no"),
    "requeued": (
        seen(attempt("stopped", "asked to by SIGUSR2"), queued=task("PENDING", "BeginTime")),
        State.REQUEUED, "asked to by SIGUSR2; BeginTime"),
    "requeued after its node failed": (
        seen(KILLED, queued=task("PENDING", "Resources")),
        State.REQUEUED, "its node failed, or it was killed; Resources"),
    "waits for a retry": (seen(EARLIER, queued=task("PENDING", "Priority")),
                          State.WAITING, "Priority"),
    # ended, and said why
    "failed": (seen(attempt("failed", "ValueError: no"), ended=task("FAILED")),
               State.FAILED, "ValueError: no"),
    "disk full": (seen(attempt("disk_full", "no space")), State.FAILED, "disk full: no space"),
    "out of memory, told by torch": (
        local(attempt("out_of_memory", "CUDA out of memory")),
        State.OUT_OF_MEMORY, "CUDA out of memory"),
    "results vanished": (
        seen(attempt("complete")), State.FAILED, "it finished, but its run.h5 is not there"),
    "results damaged": (
        seen(attempt("complete"), damage="run.h5: broken"), State.FAILED, "run.h5: broken"),
    "error of old": (local(error="ValueError: no"), State.FAILED, "ValueError: no"),
    # stopped
    "cancelled": (
        seen(attempt("stopped", "asked to by SIGTERM"), ended=task("CANCELLED")),
        State.CANCELLED, "cancelled in Slurm"),
    "cancelled, no accounting": (
        seen(attempt("stopped", "asked to by SIGTERM")),
        State.CANCELLED, "stopped, asked to by SIGTERM"),
    "interrupted here": (
        local(attempt("stopped", "asked to by SIGINT", job="")),
        State.CANCELLED, "stopped, asked to by SIGINT"),
    "time limit, not requeued": (
        seen(attempt("stopped", "asked to by SIGUSR2"), ended=task("TIMEOUT")),
        State.TIMED_OUT, "the time limit was reached"),
    "requeueing was refused": (
        seen(attempt("stopped", "asked to by SIGUSR2"), ended=task("FAILED")),
        State.PREEMPTED, "stopped, asked to by SIGUSR2"),
    "preempted, not requeued": (
        seen(attempt("stopped", "preempted, asked to by SIGTERM"), ended=task("COMPLETED")),
        State.PREEMPTED, "stopped, preempted, asked to by SIGTERM"),
    "preempted, to Slurm a time limit": (
        seen(attempt("stopped", "preempted, asked to by SIGTERM"), ended=task("TIMEOUT")),
        State.PREEMPTED, "stopped, preempted, asked to by SIGTERM"),
    "preempted and on its way": (
        seen(attempt("stopped", "preempted, asked to by SIGTERM"),
             queued=task("PENDING", "BeginTime")),
        State.REQUEUED, "preempted, asked to by SIGTERM; BeginTime"),
    "cancelled after it was preempted": (
        seen(attempt("stopped", "preempted, asked to by SIGTERM"), ended=task("CANCELLED")),
        State.CANCELLED, "cancelled in Slurm"),
    "perhaps preempted, but cancelled": (
        seen(attempt("stopped", "perhaps preempted, asked to by SIGTERM, but not requeued: x"),
             ended=task("CANCELLED")), State.CANCELLED, "cancelled in Slurm"),
    "no progress": (
        seen(attempt("failed", "3 attempts in a row ended without a new step"),
             ended=task("FAILED")),
        State.FAILED, "3 attempts in a row ended without a new step"),
    # killed without a word
    "killed: memory": (seen(KILLED, ended=task("OUT_OF_MEMORY")),
                       State.OUT_OF_MEMORY, "Slurm ended it: it used more memory than asked for"),
    "killed: memory, told by the log": (
        seen(KILLED, ended=task("FAILED"), log=ExitReason("OUT_OF_MEMORY")),
        State.OUT_OF_MEMORY, "Slurm ended it: it used more memory than asked for"),
    "killed: time, no accounting": (
        seen(KILLED, log=ExitReason("TIMEOUT")), State.TIMED_OUT, "the time limit was reached"),
    "accounting is newer than the log": (
        seen(KILLED, ended=task("NODE_FAIL"), log=ExitReason("PREEMPTED")),
        State.LOST, "its node failed"),
    "killed: preempted": (
        seen(KILLED, ended=task("PREEMPTED")),
        State.PREEMPTED, "Slurm gave its place to another job, and did not requeue it"),
    "killed by somebody": (
        seen(KILLED, ended=task("FAILED")),
        State.FAILED, "its process was killed, or ended without a word"),
    "lost": (seen(KILLED), State.LOST, "killed without a word on n1, or the node failed"),
    "lost here": (
        local(attempt(job="")), State.LOST, "killed without a word on n1, or the node failed"),
    "killed here after a submission that was cancelled": (
        seen(attempt(job="", hour=12), ended=task("CANCELLED")),
        State.LOST, "killed without a word on n1, or the node failed"),
    # never started
    "cancelled before it started": (
        seen(EARLIER, ended=task("CANCELLED")), State.CANCELLED, "cancelled in Slurm"),
    "setup failed": (
        seen(ended=task("FAILED"), log=ExitReason(line="setup failed: module load x")),
        State.FAILED, "setup failed: module load x"),
    "vanished from the queue": (seen(), State.LOST, "job 7_3 left the queue without starting it"),
    "submitted, Slurm gone": (
        seen(answers=False), State.WAITING, "submitted as job 7_3; Slurm does not answer"),
    "never reached Slurm": (
        seen(place=replace(PLACE, submission=replace(PLACE.submission, job_id=None))),
        State.NOT_SUBMITTED, "the launcher was stopped while submitting it"),
    "not submitted": (local(), State.NOT_SUBMITTED, ""),
    "being launched": (local(launching=True), State.WAITING, "a launch is under way"),
}  # fmt: skip


@pytest.mark.parametrize(("observation", "state", "reason"), CASES.values(), ids=CASES.keys())
def test_state_and_reason(observation: Observation, state: State, reason: str) -> None:
    assert classify(observation) == (state, reason)


def test_every_state_is_tested_and_has_its_kind() -> None:
    observed = set(State) - {State.DROPPED}  # the index says so, whatever is seen
    assert {state for _, state, _ in CASES.values()} == observed
    assert sorted([*FINISHED, *ACTIVE, *UNFINISHED]) == sorted(observed)


LOGS = {
    "empty": ("", ExitReason()),
    "setup failed": (
        "module: not found\nsetup failed: module load x\nsrun: error: n1: task 0: Exited\n",
        ExitReason("", "setup failed: module load x"),
    ),
    "memory, cgroups": (
        "slurmstepd: error: Detected 1 oom_kill event in StepId=2.0. Some of it was killed.\n",
        ExitReason("OUT_OF_MEMORY"),
    ),
    "memory, no cgroups": (
        "slurmstepd-n1: error: StepId=2.0 exceeded memory limit (2 > 1), being killed\n"
        "slurmstepd-n1: error: *** STEP 2.0 ON n1 CANCELLED AT 2026-11-23T06:48:10 ***\n",
        ExitReason("OUT_OF_MEMORY"),
    ),
    "the last counts": (
        "slurmstepd: error: *** JOB 1 ON n1 CANCELLED AT x DUE TO PREEMPTION ***\nhello\n"
        "slurmstepd: error: *** JOB 1 ON n1 CANCELLED AT x DUE TO TIME LIMIT ***\n",
        ExitReason("TIMEOUT", "hello"),
    ),
    "words of the program are not Slurm's": (
        "MyError: out of memory\n",
        ExitReason("", "MyError: out of memory"),
    ),
}


@pytest.mark.parametrize(("text", "words"), LOGS.values(), ids=LOGS.keys())
def test_exit_reason(tmp_path: Path, text: str, words: ExitReason) -> None:
    (tmp_path / "log.err").write_text(text)
    assert read_exit_reason(tmp_path / "log.err") == words
    assert read_exit_reason(tmp_path / "missing.err") == ExitReason()
