"""What a report says about a sweep beside its results: failures, cost and provenance."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from inr.results import ResultsError, open_run, read_attribute
from inr.storage.attempts import Attempt, read_attempts
from inr.storage.paths import SweepLayout
from postprocess.dataset.run_reader import READABLE, account
from postprocess.webpage.wording import duration, number

_SECONDS_PER_HOUR = 3600.0
_DIVERGED = "the loss became NaN or infinite; last measured at step {:.0f}"

Facts = list[tuple[str, str]]  # what, and its value


@dataclass(frozen=True)
class Problem:
    """A run without (finite) results."""

    name: str
    status: str
    reason: str


@dataclass(frozen=True)
class Provenance:
    """Where the results come from."""

    facts: Facts
    sweep_file: str  # text of sweep.yaml, or ""


def find_problems(runs: pd.DataFrame) -> list[Problem]:
    """Every run that is not complete, and why."""
    return [
        Problem(run["name"], run["status"], run["reason"] or _DIVERGED.format(run["step"]))
        for run in runs[runs["status"] != "complete"].to_dict("records")
    ]


def cost(layout: SweepLayout, runs: pd.DataFrame) -> Facts:
    """What all attempts at all runs used.

    CPU hours are those that the tasks were given: wall time x cores. Runs that were trained as
    one task share them.
    """
    attempts = [a for name in runs["name"] for a in read_attempts(layout.run(name).attempts)]
    facts = [("runs", str(len(runs)))]
    training = runs["seconds"].dropna()
    if len(training):
        facts.append(("training of a run, median", duration(training.median())))
        facts.append(("training of all runs", duration(training.sum())))
    if not attempts:
        return facts  # results that were copied without their attempts
    used = account(attempts)
    facts.append(("attempts", f"{len(attempts)} ({_counts(a.status for a in attempts)})"))
    facts.append(("CPU hours", number(_cpu_hours(attempts))))
    if used["gpu_hours"]:
        facts.append(("GPU hours", number(float(used["gpu_hours"]))))
    facts.append(("CPU efficiency", _percent(float(used["cpu_efficiency"]))))
    return facts


def _cpu_hours(attempts: Sequence[Attempt]) -> float:
    return sum(a.wall_seconds * a.cpus / a.members for a in attempts) / _SECONDS_PER_HOUR


def _counts(statuses: Iterable[str]) -> str:
    counts = Counter(status.replace("_", " ") or "not ended" for status in statuses)
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())


def _percent(share: float) -> str:
    return f"{share:.0%}" if math.isfinite(share) else "not known"


def provenance(layout: SweepLayout, runs: pd.DataFrame) -> Provenance:
    """With which code, packages and machines the runs were made, and what was asked for."""
    made: list[dict[str, Any]] = []
    for results in runs.loc[runs["status"].isin(READABLE), "results"]:
        try:
            with open_run(layout.root / results) as file:
                made.append({n: read_attribute(file, n) for n in ("code_version", "created")})
                made[-1]["versions"] = json.loads(read_attribute(file, "versions"))
        except ResultsError:
            continue  # changed since it was merged
    created = sorted(str(run["created"]).replace("+00:00", " UTC") for run in made)
    facts = [
        ("code version", _distinct(run["code_version"] for run in made)),
        ("runs started", " to ".join(dict.fromkeys([*created[:1], *created[-1:]]))),
        ("machines", _distinct(runs["host"])),
        ("devices", _distinct(runs["device"])),
    ]
    facts += [
        (package, _distinct(run["versions"].get(package, "") for run in made))
        for package in dict.fromkeys(name for run in made for name in run["versions"])
    ]
    try:
        sweep_file = layout.specification.read_text(encoding="utf-8", errors="replace")
    except OSError:
        sweep_file = ""
    return Provenance([(what, value) for what, value in facts if value], sweep_file)


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value))
