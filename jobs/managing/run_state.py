"""The state of a run, judged from its files and from what Slurm says.

The files come first: a results file that is complete is done, whatever Slurm says; a lock whose
owner lives is running. Slurm tells the waiting from the lost, and why a task ended that could not
say so itself.

A run is hung when its process lives, or Slurm says so, and either no step was reported for longer
than `HUNG_SECONDS` and than `HUNG_STEPS` steps take at its pace so far, or its heartbeat stopped.
Before its first report it has `START_SECONDS`.
"""

from __future__ import annotations

from enum import StrEnum

from inr.progress import describe_seconds
from jobs.managing.observation import Observation

HUNG_SECONDS = 600.0
HUNG_STEPS = 1000
START_SECONDS = 1800.0  # to load torch, to make targets, to compile


class State(StrEnum):
    """Where a run stands."""

    DONE = "done"
    DIVERGED = "diverged"  # finished, but the loss became NaN or infinite
    RUNNING = "running"
    HUNG = "hung"
    WAITING = "waiting"
    REQUEUED = "requeued"  # was stopped, waits in the queue and goes on by itself
    PREEMPTED = "preempted"  # was stopped, and is not in the queue
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"  # ended without a word
    NOT_SUBMITTED = "not_submitted"

    @property
    def words(self) -> str:
        """As people read it."""
        return self.value.replace("_", " ")


FINISHED = (State.DONE, State.DIVERGED)
ACTIVE = (State.RUNNING, State.HUNG, State.WAITING, State.REQUEUED)
# What has to be started again to be finished.
UNFINISHED = tuple(state for state in State if state not in (*FINISHED, *ACTIVE))


def classify(observation: Observation) -> tuple[State, str]:
    """The state of a run, and why."""
    state, reason = _classify(observation)
    if state in UNFINISHED and observation.damage not in reason:
        reason = f"{reason}; {observation.damage}"
    return state, reason


def _classify(observation: Observation) -> tuple[State, str]:
    """The state, and the reason that goes with it."""
    if observation.finished:
        return (State.DONE if observation.finished.status == "complete" else State.DIVERGED), ""
    if observation.alive:
        reason = _hung(observation)
        return (State.HUNG, reason) if reason else (State.RUNNING, "")
    if observation.queued:
        return _classify_queued(observation)
    return _classify_still(observation)


def _classify_still(observation: Observation) -> tuple[State, str]:
    """A run that is not finished, shows no life, and is not in the queue."""
    if observation.damage and not observation.newest_task_started:
        return State.FAILED, observation.damage
    if observation.place and not observation.newest_task_started:
        return _classify_unstarted(observation)
    if observation.last:
        return _classify_attempt(observation)
    if observation.error:
        return State.FAILED, observation.error
    if observation.launching:
        return State.WAITING, "a launch is under way"
    return State.NOT_SUBMITTED, ""


def _hung(observation: Observation) -> str:
    """Why a living run must be called hung; "" if it must not."""
    silent, standing = observation.silent_seconds, observation.standing
    if silent is None:
        return ""
    if standing is None or standing.step == 0:
        return f"not one step in {describe_seconds(silent)}" if silent > START_SECONDS else ""
    allowed = max(HUNG_SECONDS, HUNG_STEPS * standing.seconds / standing.step)
    return f"no step for {describe_seconds(silent)}" if silent > allowed else ""


def _classify_queued(observation: Observation) -> tuple[State, str]:
    """A task in the queue whose process is not seen."""
    task, last = observation.queued, observation.last
    assert task is not None
    if task.state in ("RUNNING", "CONFIGURING", "COMPLETING", "STAGE_OUT"):
        if (observation.heartbeat_seconds or 0.0) > HUNG_SECONDS:
            age = describe_seconds(observation.heartbeat_seconds)
            return State.HUNG, f"no heartbeat for {age}, though Slurm says {task.state}"
        if last is not None and last.status in _OWN_FAILURES and _of_newest_task(observation):
            return _classify_attempt(observation)  # its task goes on with other runs
        if observation.task_trains and not observation.newest_task_started:
            return State.WAITING, "its task trains other runs first"
        return State.RUNNING, "ending" if task.state == "COMPLETING" else "starting"
    why = task.reason or task.state
    if any(word in why.lower() for word in ("held", "hold")):  # it would wait for ever
        return State.WAITING, f"{why}: let it go on with `scontrol release {task.job_id}`"
    if last is not None and _of_newest_task(observation):
        before = last.reason or "its node failed, or it was killed"
        return State.REQUEUED, f"{before}; {why}"
    return State.WAITING, why


def _of_newest_task(observation: Observation) -> bool:
    """Whether the last attempt is that of the task that the run was last given to."""
    place, last = observation.place, observation.last
    return place is not None and last is not None and last.job == place.task_id


# How an attempt ends that fails by itself.
_OWN_FAILURES = ("failed", "disk_full", "out_of_memory")

# Slurm's word for the end of a task -> state and reason.
_WORDS = {
    "OUT_OF_MEMORY": (State.OUT_OF_MEMORY, "Slurm ended it: it used more memory than asked for"),
    "TIMEOUT": (State.TIMED_OUT, "the time limit was reached"),
    "DEADLINE": (State.TIMED_OUT, "the deadline was reached"),
    "PREEMPTED": (State.PREEMPTED, "Slurm gave its place to another job, and did not requeue it"),
    "CANCELLED": (State.CANCELLED, "cancelled in Slurm"),
    "NODE_FAIL": (State.LOST, "its node failed"),
    "BOOT_FAIL": (State.LOST, "its node did not boot"),
    "FAILED": (State.FAILED, "its process was killed, or ended without a word"),
}


def _classify_unstarted(observation: Observation) -> tuple[State, str]:
    """A task that left the queue before its attempt began."""
    assert observation.place is not None
    job, said = observation.place.task_id, observation.log.line
    state, reason = _state_by_slurm(observation) or (None, "")
    if state is State.FAILED:
        return State.FAILED, said or "ended before training started"
    if state is not None:
        return state, reason
    if not observation.answers:
        return State.WAITING, f"submitted{f' as job {job}' if job else ''}; Slurm does not answer"
    if not job:
        return State.NOT_SUBMITTED, "the launcher was stopped while submitting it"
    return State.LOST, f"job {job} left the queue without starting it{said and f': {said}'}"


def _classify_attempt(observation: Observation) -> tuple[State, str]:
    """A run whose last attempt ended, in whatever way."""
    last = observation.last
    assert last is not None
    word = None
    if _of_newest_task(observation):
        word = _state_by_slurm(observation)
    match last.status:
        case "failed":
            return State.FAILED, last.reason or observation.error
        case "disk_full":
            return State.FAILED, f"disk full: {last.reason}"
        case "out_of_memory":
            return State.OUT_OF_MEMORY, last.reason
        case "complete" | "diverged":
            return State.FAILED, observation.damage or "it finished, but its run.h5 is not there"
        case "stopped" if "preempted" in last.reason and word and word[0] is State.TIMED_OUT:
            return State.PREEMPTED, f"stopped, {last.reason}"  # to Slurm a grace is a time limit
        case "stopped" if word is None or word[0] is State.FAILED:
            preempted = "USR2" in last.reason or "preempted" in last.reason
            return (State.PREEMPTED if preempted else State.CANCELLED), f"stopped, {last.reason}"
    return word or (State.LOST, f"killed without a word on {last.host}, or the node failed")


def _state_by_slurm(observation: Observation) -> tuple[State, str] | None:
    """What accounting, or else Slurm's lines in the log, make of a task that has ended."""
    state = observation.ended.state if observation.ended else ""
    log = observation.log.state
    # without cgroups, accounting does not know that it was the memory
    if log and (not state or (log == "OUT_OF_MEMORY" and state in ("FAILED", "CANCELLED"))):
        state = log
    return _WORDS.get(state)
