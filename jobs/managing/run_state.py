"""The state of a run, judged from its files and from what Slurm says.

The files come first: a results file that is complete is done, whatever Slurm says; a lock whose
owner lives is running. Slurm tells the waiting from the lost, and why a task ended that could not
say so itself.

A run is hung when its process lives, or Slurm says so, and either no step was reported for longer
than `HUNG_SECONDS` and than `HUNG_STEPS` steps take at its pace so far, or its heartbeat stopped.
Before its first report it has `START_SECONDS`.
"""

from enum import StrEnum

from inr.progress import describe_seconds
from inr.storage.attempts import Attempt
from jobs.managing.observation import Observation
from slurm.job_queue import TaskState

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
    DROPPED = "dropped"  # taken out of the sweep

    @property
    def words(self) -> str:
        """As people read it."""
        return self.value.replace("_", " ")


FINISHED = (State.DONE, State.DIVERGED)
ACTIVE = (State.RUNNING, State.HUNG, State.WAITING, State.REQUEUED)
# What has to be started again to be finished.
UNFINISHED = tuple(s for s in State if s not in (*FINISHED, *ACTIVE, State.DROPPED))

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


def classify(seen: Observation) -> tuple[State, str]:
    """The state of a run, and why."""
    if seen.finished:
        return (State.DONE if seen.finished.status == "complete" else State.DIVERGED), ""
    if seen.alive:
        hung = _hung(seen)
        return (State.HUNG if hung else State.RUNNING), hung
    state, reason = _classify_queued(seen, seen.queued) if seen.queued else _classify_still(seen)
    if state in UNFINISHED and seen.damage not in reason:
        reason = f"{reason}; {seen.damage}"
    return state, reason


def _classify_still(seen: Observation) -> tuple[State, str]:
    """A run that is not finished, shows no life, and is not in the queue."""
    if seen.damage and not seen.newest_task_started:
        return State.FAILED, seen.damage
    if seen.place and not seen.newest_task_started:
        return _classify_unstarted(seen, seen.place.task_id)
    if seen.last:
        return _classify_attempt(seen, seen.last)
    if seen.error:
        return State.FAILED, seen.error
    if seen.launching:
        return State.WAITING, "a launch is under way"
    return State.NOT_SUBMITTED, ""


def _hung(seen: Observation) -> str:
    """Why a living run must be called hung; "" if it must not."""
    silent, progress = seen.silent_seconds, seen.progress
    if silent is None:
        return ""
    if progress is None or progress.step == 0:
        return f"not one step in {describe_seconds(silent)}" if silent > START_SECONDS else ""
    allowed = max(HUNG_SECONDS, HUNG_STEPS * progress.seconds / progress.step)
    return f"no step for {describe_seconds(silent)}" if silent > allowed else ""


def _classify_queued(seen: Observation, task: TaskState) -> tuple[State, str]:
    """A task in the queue whose process is not seen."""
    last = seen.last if seen.of_newest_task else None
    if task.state in ("RUNNING", "CONFIGURING", "COMPLETING", "STAGE_OUT"):
        if (seen.heartbeat_seconds or 0.0) > HUNG_SECONDS:
            age = describe_seconds(seen.heartbeat_seconds)
            return State.HUNG, f"no heartbeat for {age}, though Slurm says {task.state}"
        if last and last.status in ("failed", "disk_full", "out_of_memory"):
            return _classify_attempt(seen, last)  # its task goes on with other runs
        if seen.task_trains and not seen.newest_task_started:
            return State.WAITING, "its task trains other runs first"
        return State.RUNNING, "ending" if task.state == "COMPLETING" else "starting"
    why = task.reason or task.state
    if any(word in why.lower() for word in ("held", "hold")):  # it would wait for ever
        return State.WAITING, f"{why}: let it go on with `scontrol release {task.job_id}`"
    if last:
        return State.REQUEUED, f"{last.reason or 'its node failed, or it was killed'}; {why}"
    return State.WAITING, why


def _classify_unstarted(seen: Observation, job: str) -> tuple[State, str]:
    """A task that left the queue before its attempt began."""
    said = seen.log.line
    told = _state_by_slurm(seen)
    if told and told[0] is State.FAILED:
        return State.FAILED, said or "ended before training started"
    if told:
        return told
    if not seen.answers:
        return State.WAITING, f"submitted{f' as job {job}' if job else ''}; Slurm does not answer"
    if not job:
        return State.NOT_SUBMITTED, "the launcher was stopped while submitting it"
    return State.LOST, f"job {job} left the queue without starting it{said and f': {said}'}"


def _classify_attempt(seen: Observation, last: Attempt) -> tuple[State, str]:
    """A run whose last attempt ended, in whatever way."""
    word = _state_by_slurm(seen) if seen.of_newest_task else None
    match last.status:
        case "failed":
            return State.FAILED, last.reason or seen.error
        case "disk_full":
            return State.FAILED, f"disk full: {last.reason}"
        case "out_of_memory":
            return State.OUT_OF_MEMORY, last.reason
        case "complete" | "diverged":
            return State.FAILED, seen.damage or "it finished, but its run.h5 is not there"
        case "stopped" if "preempted" in last.reason and word and word[0] is State.TIMED_OUT:
            return State.PREEMPTED, f"stopped, {last.reason}"  # to Slurm a grace is a time limit
        case "stopped" if word is None or word[0] is State.FAILED:
            preempted = "USR2" in last.reason or "preempted" in last.reason
            return (State.PREEMPTED if preempted else State.CANCELLED), f"stopped, {last.reason}"
    return word or (State.LOST, f"killed without a word on {last.host}, or the node failed")


def _state_by_slurm(seen: Observation) -> tuple[State, str] | None:
    """What accounting, or else Slurm's lines in the log, make of a task that has ended."""
    state = seen.ended.state if seen.ended else ""
    log = seen.log.state
    # without cgroups, accounting does not know that it was the memory
    if log and (not state or (log == "OUT_OF_MEMORY" and state in ("FAILED", "CANCELLED"))):
        state = log
    return _WORDS.get(state)
