"""The state of every run of a sweep, as ``manage.py status`` shows it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from inr.files import clock_of
from inr.index import IndexEntry, read_index
from inr.layout import SweepLayout
from jobs.evidence import Evidence, is_launching, read_files
from jobs.finished import Finished, FinishedRuns
from jobs.judgement import ACTIVE, State, judge
from jobs.last_words import read_last_words
from jobs.placement import Placements
from jobs.slurm_queue import TaskState

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
        placements: which Slurm task trains which run.
        damaged: ids of the runs whose results file is broken.
    """

    layout: SweepLayout
    entries: list[IndexEntry]
    runs: list[RunStatus]
    placements: Placements
    damaged: frozenset[str]

    def counts(self) -> dict[State, int]:
        """How many runs are in each state."""
        counts = dict.fromkeys(State, 0)
        for run in self.runs:
            counts[run.state] += 1
        return counts

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


def read_status(layout: SweepLayout, finished: FinishedRuns | None = None) -> SweepStatus:
    """Look at every run of a sweep.

    Args:
        layout: the sweep.
        finished: what is known of finished runs from looking before.

    Raises:
        UserError: the index is missing or broken, or results files cannot be read.
    """
    placements = Placements(layout)
    look = _Look(layout, placements)
    entries = read_index(layout)
    results = (finished or FinishedRuns(layout)).read(
        [(layout.run(entry.name), entry.run_id) for entry in entries]
    )
    seen = [look(entry, *result) for entry, result in zip(entries, results, strict=True)]
    seen = _with_company(seen)
    seen = _ask_how_they_ended(layout, entries, seen, placements)
    runs = [run_status(entry, each) for entry, each in zip(entries, seen, strict=True)]
    damaged = frozenset(
        entry.run_id
        for entry, each in zip(entries, seen, strict=True)
        if each.damage.startswith(f"{layout.run(entry.name).results}: broken")
    )
    return SweepStatus(layout, entries, runs, placements, damaged)


class _Look:
    """Gathers the evidence on one run after the other."""

    def __init__(self, layout: SweepLayout, placements: Placements) -> None:
        self._layout = layout
        self._placements = placements
        self._now = clock_of(layout.root)
        self._launching = is_launching(layout, self._now)

    def __call__(self, entry: IndexEntry, finished: Finished | None, damage: str) -> Evidence:
        files = self._layout.run(entry.name)
        if finished:
            return Evidence(finished=finished)
        place, task = self._placements.waiting_or_running(entry.run_id) or (None, None)
        return replace(
            read_files(files, self._now),
            damage=damage,
            place=place or self._placements.newest(entry.run_id),
            queued=task,
            answers=self._placements.answers,
            launching=self._launching,
        )


def _with_company(seen: list[Evidence]) -> list[Evidence]:
    """Add whether the tasks of runs that wait train others."""
    at_work = {each.place.task_id for each in seen if each.alive and each.place}
    return [
        replace(each, task_trains=True)
        if each.queued and each.place and each.place.task_id in at_work
        else each
        for each in seen
    ]


def _ask_how_they_ended(
    layout: SweepLayout, entries: list[IndexEntry], seen: list[Evidence], placements: Placements
) -> list[Evidence]:
    """Add what accounting and logs say of runs that are neither finished nor under way."""
    over = [each.place and not (each.finished or each.alive or each.queued) for each in seen]
    if not any(over):
        return seen
    placements.ask_accounting(e.run_id for e, ended in zip(entries, over, strict=True) if ended)
    return [
        _with_end(layout, each, placements.ended(each.place)) if ended and each.place else each
        for each, ended in zip(seen, over, strict=True)
    ]


def _with_end(layout: SweepLayout, evidence: Evidence, ended: TaskState | None) -> Evidence:
    assert evidence.place is not None
    log = layout.submitit / f"{evidence.place.task_id}_0_log.err"
    return replace(evidence, ended=ended, log=read_last_words(log))


def run_status(entry: IndexEntry, evidence: Evidence) -> RunStatus:
    """What the evidence makes of a run."""
    state, reason = judge(evidence)
    steps = int(entry.config["training"]["steps"])
    status = RunStatus(entry.run_id, entry.name, entry.task, state, reason, steps=steps)
    if evidence.finished:
        told = evidence.finished
        return replace(
            status, step=steps, host=told.host, job=told.slurm_job_id, attempts=told.attempts
        )
    last = evidence.last
    status = replace(
        status,
        step=last.last_step if last else 0,
        host=evidence.host or (last.host if last else ""),
        job=evidence.place.task_id if evidence.place else last.job if last else "",
        attempts=len(evidence.attempts),
    )
    if evidence.standing:
        status = replace(status, step=evidence.standing.step, errors=evidence.standing.errors)
    return _with_pace(status, evidence) if state in (State.RUNNING, State.HUNG) else status


def _with_pace(status: RunStatus, evidence: Evidence) -> RunStatus:
    """Add what is known of a running one only."""
    standing = evidence.standing
    return replace(
        status,
        steps_per_second=standing.rate if standing else None,
        remaining_seconds=standing.remaining_seconds if standing else None,
        heartbeat_seconds=evidence.heartbeat_seconds,
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
        "notes": status.placements.notes,
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
