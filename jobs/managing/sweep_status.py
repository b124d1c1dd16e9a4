"""The state of every run of a sweep, as ``manage.py status`` shows it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from inr.files import clock_of
from inr.progress import Progress
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, read_index
from jobs.managing.exit_reason import read_exit_reason
from jobs.managing.observation import Observation, is_launching, read_files
from jobs.managing.results_cache import Finished, ResultsCache
from jobs.managing.run_state import ACTIVE, State, classify
from slurm.job_map import JobMap, observe_jobs

SCHEMA = "inr-status/1"


@dataclass(frozen=True)
class RunStatus:
    """One run as ``status`` shows it. The fields of ``--json`` are these, and stay.

    Attributes:
        run_id, name, task: the run, as in index.json.
        state: see `State`.
        reason: one line, or "".
        step, steps: how far it is.
        steps_per_second, remaining_seconds: of a running one; None when not known.
        errors: latest normalised errors of an unfinished run, by metric.
        host, job: where it runs or ran last; ``job`` as in 123_4, or "" outside Slurm.
        attempts: how many there were.
        heartbeat_seconds: age of the last sign of life of a running one.
    """

    run_id: str
    name: str
    task: int
    state: State
    reason: str = ""
    step: int = 0
    steps: int = 0
    steps_per_second: float | None = None
    remaining_seconds: float | None = None
    errors: dict[str, float] = field(default_factory=dict)
    host: str = ""
    job: str = ""
    attempts: int = 0
    heartbeat_seconds: float | None = None


@dataclass(frozen=True)
class SweepStatus:
    """All runs of a sweep at one moment.

    Attributes:
        layout: the sweep.
        entries: its runs.
        runs: their states, in the same order.
        job_map: which Slurm task trains which run.
        damaged: ids of the runs whose results file is broken.
    """

    layout: SweepLayout
    entries: list[IndexEntry]
    runs: list[RunStatus]
    job_map: JobMap
    damaged: frozenset[str]

    def counts(self) -> dict[State, int]:
        """How many runs are in each state."""
        return dict.fromkeys(State, 0) | Counter(run.state for run in self.runs)

    def steps_per_second(self) -> float | None:
        """Of all running ones together; None when nothing runs."""
        rates = [run.steps_per_second for run in self.runs if run.steps_per_second]
        return sum(rates) if rates else None

    def remaining_seconds(self) -> float | None:
        """Until all that run or wait are done, if as many run at a time; None when not known."""
        rate = self.steps_per_second()
        if not rate:
            return None
        return sum(run.steps - run.step for run in self.in_states(ACTIVE)) / rate

    def in_states(self, states: Iterable[State]) -> list[RunStatus]:
        """The runs in one of ``states``."""
        wanted = set(states)
        return [run for run in self.runs if run.state in wanted]


def read_status(layout: SweepLayout, finished: ResultsCache | None = None) -> SweepStatus:
    """Look at every run of a sweep.

    Args:
        layout: the sweep.
        finished: what is known of finished runs from looking before.

    Raises:
        UserError: the index is missing or broken, or results files cannot be read.
    """
    job_map = observe_jobs(layout)
    entries = read_index(layout)
    results = (finished or ResultsCache(layout)).read(
        [(layout.run(entry.name), entry.run_id) for entry in entries]
    )
    seen = _look(layout, job_map, entries, results)
    runs = [run_status(entry, each) for entry, each in zip(entries, seen, strict=True)]
    damaged = frozenset(
        entry.run_id
        for entry, each in zip(entries, seen, strict=True)
        if each.damage.startswith(f"{layout.run(entry.name).results}: broken")
    )
    return SweepStatus(layout, entries, runs, job_map, damaged)


def _look(
    layout: SweepLayout,
    job_map: JobMap,
    entries: list[IndexEntry],
    results: list[tuple[Finished | None, str]],
) -> list[Observation]:
    """What was observed of every run."""
    now = clock_of(layout.root)
    launching = is_launching(layout, now)
    seen = []
    for entry, (finished, damage) in zip(entries, results, strict=True):
        each = Observation(finished) if finished else read_files(layout.run(entry.name), now)
        seen.append(each)
        if not finished:
            each.damage, each.launching, each.answers = damage, launching, job_map.answers
            place, each.queued = job_map.waiting_or_running(entry.run_id) or (None, None)
            each.place = place or job_map.newest(entry.run_id)
    at_work = {each.place.task_id for each in seen if each.alive and each.place}
    for each in seen:
        each.task_trains = bool(each.queued and each.place and each.place.task_id in at_work)
    _ask_how_they_ended(layout, entries, seen, job_map)
    return seen


def _ask_how_they_ended(
    layout: SweepLayout, entries: list[IndexEntry], seen: list[Observation], job_map: JobMap
) -> None:
    """Add what accounting and logs say of runs that are neither finished nor under way."""
    over = {
        entry.run_id: each
        for entry, each in zip(entries, seen, strict=True)
        if each.place and not (each.alive or each.queued)
    }
    ends = job_map.ask_accounting(over)
    for run_id, each in over.items():
        assert each.place is not None
        each.ended = ends.get(run_id)
        each.log = read_exit_reason(layout.submitit / f"{each.place.task_id}_0_log.err")


def run_status(entry: IndexEntry, observation: Observation) -> RunStatus:
    """The state of a run, from what was observed."""
    state, reason = classify(observation)
    steps = int(entry.config["training"]["steps"])
    status = RunStatus(entry.run_id, entry.name, entry.task, state, reason, steps=steps)
    if told := observation.finished:
        return replace(
            status, step=steps, host=told.host, job=told.slurm_job_id, attempts=told.attempts
        )
    last = observation.last
    standing = observation.standing or Progress(last.last_step if last else 0, steps, 0.0)
    is_running = state in (State.RUNNING, State.HUNG)
    return replace(
        status,
        step=standing.step,
        steps_per_second=standing.rate if is_running else None,
        remaining_seconds=standing.remaining_seconds
        if is_running and observation.standing
        else None,
        errors=standing.errors,
        host=observation.host or (last.host if last else ""),
        job=observation.place.task_id if observation.place else last.job if last else "",
        attempts=len(observation.attempts),
        heartbeat_seconds=observation.heartbeat_seconds if is_running else None,
    )


def status_document(status: SweepStatus) -> dict[str, Any]:
    """What ``--json`` prints, schema ``inr-status/1``. The fields stay; others may be added.

    ``schema``, ``sweep``, ``directory``, ``time`` (ISO 8601, UTC), ``notes``, ``totals`` (``runs``
    and the number of runs in each `State`), ``steps_per_second`` and ``remaining_seconds`` of the
    sweep (None when nothing runs), and ``runs``: one object each with the fields of `RunStatus`.
    Numbers that are not finite are None.
    """
    return {
        "schema": SCHEMA,
        "sweep": status.layout.name,
        "directory": str(status.layout.root.resolve()),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "notes": status.job_map.notes,
        "totals": {"runs": len(status.runs), **status.counts()},
        "steps_per_second": status.steps_per_second(),
        "remaining_seconds": status.remaining_seconds(),
        "runs": [_finite(asdict(run)) for run in status.runs],
    }


def _finite(value: Any) -> Any:
    """JSON has no word for NaN."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
