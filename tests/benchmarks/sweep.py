"""Runs per hour of a sweep: one process a run with nested autograd, against this product.

The sweep is the quickstart's, with two seeds: 16 runs of whole frames. Contestants take turns::

    peer           `tests.benchmarks.peer`, one process a run, one after the other, all cores;
                   metrics in every step, as in the published study
    ours           `jobs/launch.py --local`, one process a core
    ours, packs    the same with `--pack K --pack-mode auto`

Every time is wall-clock time from the first command to the end of the last, start-up, metrics and
files included; figures and videos are not part of it. Before anything is timed, peer and product
are checked to compute the same errors on the same batches.

A second table compares the ways to train K runs of one shape on this machine: fused along the model
axis in one process, or K processes at once; in steps of all K runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml

from inr.config import RunConfig
from inr.index import read_index
from inr.layout import RunLayout, SweepLayout
from inr.member import Member
from inr.pack import Pack
from inr.recorder import Recorder
from inr.results import is_complete
from jobs.pack_trial import fused_seconds_per_step, process_seconds_per_step
from jobs.sweep import load_sweep
from tests.benchmarks.peer import make_module, nested_fields, squared_errors
from tests.benchmarks.report import DOCS, publish

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = (32, 64, 128, 256)
PACKS = (2, 4, 8)


def sweep_document(steps: int) -> dict[str, object]:
    """The quickstart with whole frames, ``steps`` steps and two seeds."""
    path = ROOT / "jobs" / "sweeps" / "quickstart.yaml"
    document: dict[str, object] = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["base"]["training"] |= {"batch": "frame", "steps": steps}
    document["base"]["record"] = {}  # the default cadence
    document["seeds"] = 2
    return document


def run_peer(configs: list[RunConfig], folder: Path) -> float:
    """Train all runs with the peer; seconds."""
    started = time.perf_counter()
    for number, config in enumerate(configs):
        subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.peer", folder / str(number)],
            cwd=ROOT,
            input=config.canonical_json(),
            text=True,
            check=True,
        )
    return time.perf_counter() - started


def run_ours(file: Path, folder: Path, *options: str) -> float:
    """Train all runs with the launcher; seconds."""
    command = [sys.executable, "jobs/launch.py", "--local", "--sweep", str(file), "--no-post"]
    started = time.perf_counter()
    subprocess.run(
        [*command, "--output", str(folder), *options],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    layout = SweepLayout(folder)
    unfinished = [e.name for e in read_index(layout) if not is_complete(layout.run(e.name).results)]
    if unfinished:
        raise SystemExit(f"not complete: {unfinished}")
    return seconds


def check(config: RunConfig) -> None:
    """Peer and product find the same errors while the product trains."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(RunLayout(Path(folder)), config, "check")
        member = Member(config, recorder, torch.device("cpu"))
        pack = Pack([member])
        for step in range(10):
            found = pack.gradients([member])
            module = make_module(config.model, member.network)
            points, targets = member.batches(step)
            wanted = squared_errors(nested_fields(module, points), targets)
            errors = [each.item() for each in wanted.values()]
            np.testing.assert_allclose(found.errors.numpy(), errors, rtol=2e-3)
            member.update(found.gradients, found.errors)


def compare(steps: int, rounds: int, pack: int, to: str) -> None:
    """All contestants in turn."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        file = folder / "sweep.yaml"
        file.write_text(yaml.safe_dump(sweep_document(steps)), encoding="utf-8")
        configs, _ = load_sweep(file).expand()
        check(configs[0])
        contestants: dict[str, Callable[[Path], float]] = {
            "peer": lambda out: run_peer(configs, out),
            "ours": lambda out: run_ours(file, out),
            f"ours, packs of {pack}": lambda out: run_ours(file, out, "--pack", str(pack)),
        }
        found: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(rounds):
            for name, contestant in contestants.items():
                seconds = contestant(folder / f"{name}{number}".replace(", ", "_"))
                found[name].append(seconds)
                print(f"{name}: {seconds:.1f} s", file=sys.stderr)
    base = statistics.median(found["peer"])
    rows = [
        {
            "way": name,
            "seconds (median)": f"{statistics.median(each):.1f}",
            "seconds (each)": ", ".join(f"{seconds:.1f}" for seconds in each),
            "runs per hour": f"{len(configs) * 3600 / statistics.median(each):.0f}",
            "times the peer": f"{base / statistics.median(each):.1f}",
        }
        for name, each in found.items()
    ]
    facts = {
        "runs": len(configs),
        "steps a run": steps,
        "configuration of the first": configs[0].canonical_json(),
        "load while measuring": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
    }
    publish("A sweep of 16 runs", rows, facts, to)


def crossover(points: int, to: str) -> None:
    """Fused against processes, by width and number of runs."""
    rows = []
    for width in WIDTHS:
        config = RunConfig.model_validate(
            {
                "data": {"size": 64},
                "model": {"width": width, "depth": 3},
                "training": {"batch": points, "loss_weights": [1, 1, 1, 1]},
            }
        )
        for runs in PACKS:
            fused = fused_seconds_per_step(config, runs)
            processes = process_seconds_per_step(config, runs)
            rows.append(
                {
                    "width": width,
                    "runs": runs,
                    "fused, ms a step of all": f"{1000 * fused:.1f}",
                    "processes, ms a step of all": f"{1000 * processes:.1f}",
                    "processes / fused": f"{processes / fused:.2f}",
                }
            )
            print(rows[-1], file=sys.stderr)
    facts = {
        "points a step": points,
        "load while measuring": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
    }
    publish("Fused against processes", rows, facts, to)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600, help="of a run")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--pack", type=int, default=4)
    parser.add_argument("--points", type=int, default=1024, help="a step, in the second table")
    parser.add_argument("--output", type=Path, default=DOCS)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    crossover(given.points, str(given.output / "crossover.json"))
    compare(given.steps, given.rounds, given.pack, str(given.output / "sweep.json"))


if __name__ == "__main__":
    main()
