"""How long a launch on this machine's CPUs takes, from steps that are timed as it is now."""

import heapq
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

from inr.config import RunConfig
from inr.cpus import core_count
from inr.errors import UserError
from inr.progress import describe_seconds
from inr.storage.provenance import ROOT
from jobs.launching.cost_model import Costs, expected_seconds
from jobs.launching.preflight import run_smoke_test
from jobs.sweeps.grouping import PackMode, count_of
from slurm.profile import Profile

_SECONDS = 1.5  # of timing, for all shapes
_MOST_PROCESSES = 8  # that time at once: enough to see how runs slow each other down


def describe_duration(tasks: Sequence[Sequence[RunConfig]], workers: int, mode: PackMode) -> str:
    """How long so many tasks at once train, as a part of a sentence. Takes seconds, trains nothing.

    Some processes, as many as will train, time the same steps at the same time.
    """
    runs = [run for task in tasks for run in task]
    cores = max(1, core_count() // workers)  # of a task
    fused = mode == "fused"  # the runs of a task take as long as one after the other
    together = 1 if fused else min(cores, max(map(len, tasks)))  # runs of a task
    units = tasks if fused else [[run] for run in runs]
    slots = min(workers * together, len(units))
    try:
        costs = _time(runs, min(slots, _MOST_PROCESSES), cores // together)
    except UserError:
        costs = [{}]
    if not all(costs):
        return "no estimate of the time"
    ends = [0.0] * slots
    for unit in units:
        seconds = sum(expected_seconds(run, each) for run in unit for each in costs) / len(costs)
        heapq.heapreplace(ends, ends[0] + seconds)
    at_once = f"{count_of(len(units), 'task' if fused else 'run')}, {slots} at a time"
    time = describe_seconds(max(ends))
    return f"about {time} of training on this machine, as busy as it is now ({at_once})"


def _time(runs: Iterable[RunConfig], processes: int, threads: int) -> list[Costs]:
    """What each of so many processes measures."""
    # of a shape the run with most points, of which steps of fewer take a part
    largest = {
        str(n): run
        for n, run in enumerate(sorted(runs, key=attrgetter("step_points"), reverse=True))
    }
    profile = Profile(time=5, gpus=0, cpus=threads)
    with ThreadPoolExecutor(processes) as pool:
        timed = [
            pool.submit(run_smoke_test, largest, ROOT, profile, _SECONDS) for _ in range(processes)
        ]
        return [each.result()[0] for each in timed]
