"""The state of every run of a sweep, as ``manage.py status`` shows it."""

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from inr.storage.lock import host_of
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, read_index
from jobs.managing.observation import Observation, observe
from jobs.managing.results_cache import ResultsCache
from jobs.managing.run_state import ACTIVE, State, classify
from slurm.job_queue import JobMap, observe_jobs

SCHEMA = "inr-status/1"


@dataclass(frozen=True)
class RunStatus:
    """One run as ``status`` shows it. The fields of ``--json`` are these, and stay."""

    run_id: str
    name: str
    task: int  # as in index.json
    state: State
    reason: str = ""  # one line
    step: int = 0
    steps: int = 0
    steps_per_second: float | None = None  # of a running one, as the next
    remaining_seconds: float | None = None
    errors: dict[str, float] = field(default_factory=dict)  # latest of an unfinished run, by metric
    host: str = ""  # where it runs or ran last
    job: str = ""  # as in 123_4; "" outside Slurm
    attempts: int = 0
    heartbeat_seconds: float | None = None  # age of the last sign of life of a running one


@dataclass(frozen=True)
class SweepStatus:
    """All runs of a sweep at one moment."""

    layout: SweepLayout
    entries: dict[str, IndexEntry]  # its runs, by name
    observations: dict[str, Observation]  # by name
    runs: list[RunStatus]  # their states, in the order of the sweep
    job_map: JobMap  # which Slurm task trains which run

    def counts(self) -> dict[State, int]:
        """How many runs are in each state."""
        return dict.fromkeys(State, 0) | Counter(run.state for run in self.runs)

    def steps_per_second(self) -> float | None:
        """Of all running ones together; None when nothing runs."""
        return sum(run.steps_per_second or 0.0 for run in self.runs) or None

    def remaining_seconds(self) -> float | None:
        """Until all that run or wait are done, if as many run at a time; None when not known."""
        rate = self.steps_per_second()
        return rate and sum(run.steps - run.step for run in self.in_states(ACTIVE)) / rate

    def in_states(self, states: Collection[State]) -> list[RunStatus]:
        """The runs in one of ``states``."""
        return [run for run in self.runs if run.state in states]


def read_status(layout: SweepLayout, results: ResultsCache | None = None) -> SweepStatus:
    """The state of every run of a sweep; ``results`` remembers results files read before.

    Raises `UserError` if the index is missing or broken, or results files cannot be read.
    """
    job_map = observe_jobs(layout)
    entries = read_index(layout)
    seen = observe(layout, job_map, entries, (results or ResultsCache(layout)).read(entries))
    runs = [_run_status(entry, seen[entry.name]) for entry in entries]
    return SweepStatus(layout, {entry.name: entry for entry in entries}, seen, runs, job_map)


def _run_status(entry: IndexEntry, seen: Observation) -> RunStatus:
    """The state of a run, from what was observed."""
    state, reason = (State.DROPPED, f"on {entry.dropped}") if entry.dropped else classify(seen)
    steps = int(entry.config["training"]["steps"])
    run = RunStatus(entry.run_id, entry.name, entry.task, state, reason, steps, steps)
    if done := seen.finished:
        return replace(run, host=done.host, job=done.slurm_job_id, attempts=done.attempts)
    last, progress = seen.last, seen.progress
    is_running = state in (State.RUNNING, State.HUNG)
    running = progress if is_running else None
    return replace(
        run,
        step=progress.step if progress else last.last_step if last else 0,
        steps_per_second=running.rate if running else None,
        remaining_seconds=running.remaining_seconds if running else None,
        errors=progress.errors if progress else {},
        host=host_of(seen.owner) if seen.owner else last.host if last else "",
        job=seen.place.task_id if seen.place else last.job if last else "",
        attempts=len(seen.attempts),
        heartbeat_seconds=seen.heartbeat_seconds if is_running else None,
    )


def status_document(status: SweepStatus) -> dict[str, Any]:
    """What ``--json`` prints, schema ``inr-status/1``. The fields stay; others may be added.

    ``schema``, ``sweep``, ``directory``, ``time`` (ISO 8601, UTC), ``notes``, ``totals`` (``runs``
    and the number of runs in each `State`), ``steps_per_second`` and ``remaining_seconds`` of the
    sweep (None when nothing runs), and ``runs``: one object each with the fields of `RunStatus`.
    Numbers that are not finite are None.
    """
    runs = json.dumps([asdict(run) for run in status.runs])
    return {
        "schema": SCHEMA,
        "sweep": status.layout.name,
        "directory": str(status.layout.root.resolve()),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "notes": status.job_map.notes,
        "totals": {"runs": len(status.runs), **status.counts()},
        "steps_per_second": status.steps_per_second(),
        "remaining_seconds": status.remaining_seconds(),
        "runs": json.loads(runs, parse_constant=lambda name: None),  # JSON has no NaN
    }
