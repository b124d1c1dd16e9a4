"""What a report says about a sweep beside its results: failures, cost and provenance."""

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pandas as pd

from inr.results import ResultsError, open_run, read_attribute
from inr.storage.attempts import read_attempts
from inr.storage.paths import SweepLayout
from postprocess.dataset.run_reader import READABLE, account
from postprocess.webpage.wording import duration, number

_DIVERGED = "the loss became NaN or infinite; last measured at step {:.0f}"

Facts = list[tuple[str, str]]  # what, and its value


def find_problems(runs: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Every run that is not complete: name, status, and why."""
    return [
        (run["name"], run["status"], run["reason"] or _DIVERGED.format(run["step"]))
        for run in runs[runs["status"] != "complete"].to_dict("records")
    ]


def find_cost(layout: SweepLayout, runs: pd.DataFrame) -> Facts:
    """What all attempts at all runs used.

    CPU hours are those that the tasks were given: wall time x cores, shared by the runs of a task.
    """
    attempts = [a for name in runs["name"] for a in read_attempts(layout.run(name).attempts)]
    facts = [("runs", str(len(runs)))]
    training = runs["seconds"].dropna()
    if len(training):
        facts.append(("training of a run, median", duration(training.median())))
        facts.append(("training of all runs", duration(training.sum())))
    if not attempts:
        return facts  # results that were copied without their attempts
    counts = Counter(a.status.replace("_", " ") or "not ended" for a in attempts).most_common()
    statuses = ", ".join(f"{count} {status}" for status, count in counts)
    used = account(attempts)
    gpu_hours, efficiency = float(used["gpu_hours"]), float(used["cpu_efficiency"])
    facts += [
        ("attempts", f"{len(attempts)} ({statuses})"),
        ("CPU hours", number(sum(a.wall_seconds * a.cpus / a.members for a in attempts) / 3600)),
        ("GPU hours", number(gpu_hours) if gpu_hours else ""),
        ("CPU efficiency", f"{efficiency:.0%}" if math.isfinite(efficiency) else "not known"),
    ]
    return [(what, value) for what, value in facts if value]


def find_provenance(layout: SweepLayout, runs: pd.DataFrame) -> Facts:
    """With which code, packages and machines the runs were made."""
    made: list[dict[str, Any]] = []
    for results in runs.loc[runs["status"].isin(READABLE), "results"]:
        try:
            with open_run(layout.root / results) as file:
                says = {n: read_attribute(file, n) for n in ("code_version", "created", "versions")}
                made.append(says | {"versions": json.loads(says["versions"])})
        except ResultsError:
            continue  # changed since it was merged
    created = sorted(str(run["created"]).replace("+00:00", " UTC") for run in made)
    packages = dict.fromkeys(package for run in made for package in run["versions"])
    facts = [
        ("code version", _distinct(run["code_version"] for run in made)),
        ("runs started", " to ".join(dict.fromkeys([*created[:1], *created[-1:]]))),
        ("machines", _distinct(runs["host"])),
        ("devices", _distinct(runs["device"])),
        *((p, _distinct(run["versions"].get(p, "") for run in made)) for p in packages),
    ]
    return [(what, value) for what, value in facts if value]


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value))
