"""Merging against reading every run into a pandas frame and concatenating, interleaved.

Three ways, each in a process of its own, one after the other, several rounds::

    merge          this product: read in parallel, write merged.h5 and summary.csv to disk
    pandas, all    one process: per run a frame of its series, and a row of its attributes and
                   held-out values; both concatenated. Holds in memory what merge writes.
    pandas, series the same without attributes and held-out values. Less than merge does.

The pandas ways write nothing. Memory is the sum of the resident memory of the process and its
children (pages that they share count several times), sampled every 50 ms.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import pandas as pd

from inr.config import RunConfig
from inr.results import read_attributes, read_heldout, read_series
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import read_index
from postprocess.dataset import merged_sweep
from postprocess.worker_pool import usable_cores
from tests.benchmarks.report import DOCS, publish
from tests.helpers.synthetic import make_config, write_index, write_run

WAYS = ("merge", "pandas, all", "pandas, series")
_SAMPLE_SECONDS = 0.05
_PAGE = os.sysconf("SC_PAGE_SIZE")


def generate(root: Path, runs: int, points: int) -> None:
    """Write a sweep of ``runs`` runs without frames, ``points`` rows of series each."""
    layout = SweepLayout(root)
    configs = [
        make_config(training__steps=points - 1, record__metrics_every=1, training__seed=seed)
        for seed in range(runs)
    ]
    entries = write_index(layout, configs)
    paths = [layout.run(entry.name).results for entry in entries]
    with ProcessPoolExecutor(usable_cores()) as pool:
        for _ in pool.map(_write, paths, configs, [e.name for e in entries], chunksize=32):
            pass


def _write(path: Path, config: RunConfig, name: str) -> None:
    write_run(path, config, name=name, shape=None)


def read_with_pandas(root: Path, everything: bool) -> int:
    """The straightforward script; returns the number of rows."""
    frames, rows = [], []
    layout = SweepLayout(root)
    for number, entry in enumerate(read_index(layout)):
        with h5py.File(layout.run(entry.name).results, "r") as file:
            frames.append(pd.DataFrame({"run": number, **read_series(file)}))
            if everything:
                rows.append(read_attributes(file) | read_heldout(file))
    table = pd.concat(frames, ignore_index=True)
    return len(table) + 0 * len(pd.DataFrame(rows))


def work(root: Path, way: str) -> None:
    """One way, in this process."""
    if way == "merge":
        merged_sweep.merge(SweepLayout(root), reuse=False)
    else:
        read_with_pandas(root, everything=way == "pandas, all")


@dataclass(frozen=True)
class Cost:
    """What one way took, start of its processes included."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def measure(root: Path, way: str) -> Cost:
    """One way in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.merge", "--work", way, "--data", str(root)]
    started, used = time.perf_counter(), _cpu_seconds()
    process = subprocess.Popen(command, cwd=Path(__file__).resolve().parents[2])
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        time.sleep(_SAMPLE_SECONDS)
    if process.returncode:
        raise SystemExit(f"{way} failed")
    return Cost(time.perf_counter() - started, _cpu_seconds() - used, peak / 1024)


def _cpu_seconds() -> float:
    """Of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _memory(pid: int) -> float:
    """Resident memory of a process and its descendants, KiB."""
    total = 0.0
    with suppress(OSError):
        total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1024
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        total += sum(_memory(int(child)) for child in children)
    return total


def compare(root: Path, runs: int, points: int, rounds: int, to: str) -> None:
    """All ways, ``rounds`` times in turn, on the same files."""
    found: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            cost = measure(root, way)
            found[way].append(cost)
            print(f"{way}: {cost}", file=sys.stderr)
    base = _median(found["merge"], "seconds")
    rows = [
        {
            "way": way,
            "seconds (median)": f"{_median(found[way], 'seconds'):.1f}",
            "seconds (each)": ", ".join(f"{cost.seconds:.1f}" for cost in found[way]),
            "CPU seconds (median)": f"{_median(found[way], 'cpu_seconds'):.1f}",
            "peak memory (MiB)": f"{max(cost.peak_mib for cost in found[way]):.0f}",
            "time / merge": f"{_median(found[way], 'seconds') / base:.1f}",
        }
        for way in WAYS
    ]
    size = SweepLayout(root).merged.stat().st_size / 2**20
    facts = {
        "runs": runs,
        "points a run": points,
        "metrics": 14,
        "merged.h5": f"{size:.0f} MiB",
        "load while measuring": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
    }
    publish("Merging a sweep", rows, facts, to)


def _median(costs: list[Cost], what: str) -> float:
    return statistics.median(getattr(cost, what) for cost in costs)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default=str(DOCS / "merge.json"), metavar="FILE")
    parser.add_argument("--data", type=Path, help="keep the generated sweep here, and use it again")
    parser.add_argument("--work", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.data, given.work)
        return
    place = given.data or Path(tempfile.mkdtemp()) / "sweep"
    try:
        if not (place / "index.json").exists():
            generate(place, given.runs, given.points)
        compare(place, given.runs, given.points, given.rounds, given.json)
    finally:
        if not given.data:
            shutil.rmtree(place.parent)


if __name__ == "__main__":
    main()
