"""Runs per hour of a sweep: one process a run with nested autograd, against this product.

The sweep has 16 runs: two activations, rates, loss weightings and seeds. Contestants take turns::

    peer           `tests.benchmarks.peer`, one process a run, one after the other, all cores;
                   metrics of a frame in every step, as in the published study
    ours           `jobs/launch.py --local`, one process a run, one a core at a time; metrics of
                   all frames at the sweep's own cadence
    ours, packs    the same with `--pack K`, in each mode; as many tasks at a time as cores

twice: with batches of random points, and with whole frames, where the peer
has the predictions that it measures already. The peer trains some of the runs, evenly chosen, and
its time is scaled to all: they differ in nothing that takes time but the activation.

Every time is wall-clock time from the first command to the end of the last, start-up, metrics and
files included; figures and videos are not part of it. Before anything is timed, peer and product
are checked to compute the same errors on the same batches.

A third table compares the ways to train K runs of one shape on this machine: fused along the model
axis in one process, or in a process a core, which takes its runs in turn; in steps of all K runs.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inr.config import RunConfig
from inr.cpus import core_count
from inr.results import outcome
from inr.storage.paths import RunLayout, SweepLayout
from inr.storage.run_writer import RunWriter
from inr.storage.sweep_index import read_index
from inr.training.step import gradients
from inr.training.trainer import Run, Trainer
from jobs.sweeps.grouping import PACK_MODES, PackMode
from jobs.sweeps.sweep_file import load_sweep
from jobs.sweeps.yaml_file import write
from tests.benchmarks.pack_steps import fused_seconds_per_step, process_seconds_per_step
from tests.benchmarks.peer import make_module, nested_fields, squared_errors
from tests.benchmarks.report import DOCS, publish
from tests.helpers.reference import split

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = (32, 64, 128, 256)
PACKS = (2, 4, 8)
TABLES = ("sweep", "sweep_frames", "crossover")


@dataclass(frozen=True)
class Timing:
    """What a contestant took for all runs."""

    seconds: float
    measuring: float | None = None  # of them, where it is known


def sweep_document(batch: str | int | None, steps: int | None) -> dict[str, object]:
    """The sweep, with other batches or steps if given."""
    document: dict[str, Any] = {
        "description": "sine against elu at two learning rates and two loss weightings",
        "base": {
            "data.size": 64,
            "model": {"width": 128, "depth": 3},
            "training": {"steps": 2400, "batch": 1024, "schedule": "cosine"},
            "record": {"metrics_every": 120, "images_every": 600},
        },
        "grid": {
            "training.loss_weights": [[1, 0.1, 0.01, 0.1], [1, 1, 1, 1]],
            "model.activation": ["sine", "elu"],
            "training.learning_rate": [3e-4, 1e-4],
        },
        "seeds": 2,
    }
    given = {"batch": batch, "steps": steps}
    document["base"]["training"] |= {k: v for k, v in given.items() if v is not None}
    return document


def run_peer(configs: list[RunConfig], runs: int, folder: Path) -> Timing:
    """Train ``runs`` of the runs with the peer, scaled to all."""
    chosen = np.unique(np.linspace(0, len(configs) - 1, runs).round().astype(int))
    scale = len(configs) / len(chosen)
    started = time.perf_counter()
    for number, config in ((number, configs[number]) for number in chosen):
        subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.peer", folder / str(number)],
            cwd=ROOT,
            input=config.canonical_json(),
            text=True,
            check=True,
        )
    seconds = time.perf_counter() - started
    files = [np.load(folder / str(number) / "metrics.npz") for number in chosen]
    measuring = sum(float(file["measuring_seconds"]) for file in files)
    return Timing(seconds * scale, measuring * scale)


def run_ours(file: Path, folder: Path, options: Sequence[str] = ()) -> Timing:
    """Train all runs with the launcher."""
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
    unfinished = [e.name for e in read_index(layout) if not outcome(layout.run(e.name).results)]
    if unfinished:
        raise SystemExit(f"not complete: {unfinished}")
    return Timing(seconds)


def check(config: RunConfig) -> None:
    """Peer and product find the same errors while the product trains."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = RunWriter(RunLayout(Path(folder)), config, "check")
        member = Trainer(Run(config, recorder), torch.device("cpu"))
        for step in range(10):
            found = gradients([member])
            module = make_module(config.model, member.network)
            points, targets = split(member.batches(step))
            wanted = squared_errors(nested_fields(module, points), targets)
            errors = [each.item() for each in wanted.values()]
            np.testing.assert_allclose(found.errors.numpy(), errors, rtol=2e-3)
            member.update(found.gradients, found.errors)


def compare(
    document: dict[str, object],
    peers: int,
    rounds: int,
    pack: int,
    modes: Sequence[PackMode],
    to: str,
) -> None:
    """All contestants in turn, with the sweep of ``document``."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        file = folder / "sweep.yaml"
        file.write_text(write(document), encoding="utf-8")
        configs = load_sweep(file).configs
        check(configs[0])
        contestants: dict[str, Callable[[Path], Timing]] = {
            "peer": lambda out: run_peer(configs, peers, out),
            "ours": lambda out: run_ours(file, out),
        }
        for mode in modes:
            options = ("--pack", str(pack), "--pack-mode", mode, "--workers", str(core_count()))
            contestants[f"ours, packs of {pack}, {mode}"] = partial(run_ours, file, options=options)
        found: dict[str, list[Timing]] = {name: [] for name in contestants}
        for number in range(rounds):
            for name, contestant in contestants.items():
                timing = contestant(folder / f"{name}{number}".replace(", ", "_"))
                found[name].append(timing)
                print(f"{name}: {timing}", file=sys.stderr)
    base = statistics.median(timing.seconds for timing in found["peer"])
    rows = []
    for name, each in found.items():
        seconds = statistics.median(timing.seconds for timing in each)
        measuring = [timing.measuring for timing in each if timing.measuring is not None]
        rows.append(
            {
                "way": name,
                "seconds (median)": f"{seconds:.0f}",
                "of them measuring": f"{statistics.median(measuring):.0f}" if measuring else "",
                "runs per hour": f"{len(configs) * 3600 / seconds:.0f}",
                "times the peer": f"{base / seconds:.1f}",
            }
        )
    training = configs[0].training
    facts = {
        "runs": f"{len(configs)}, of which the peer trained {peers}, scaled to all",
        "steps a run": training.steps,
        "points a step": training.batch,
        "rounds": rounds,
        "configuration of the first": configs[0].canonical_json(),
        "load while measuring": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
    }
    publish("A sweep of 16 runs", rows, facts, to)


def crossover(points: int, to: str) -> None:
    """Fused against processes, by width and number of runs.

    With more runs than cores, processes train theirs in turn: it is the time of a step of all.
    """
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
    parser.add_argument("--only", choices=TABLES, action="append", help="default: all of them")
    parser.add_argument("--steps", type=int, help="of a run; default: 2,400")
    parser.add_argument("--frame-steps", type=int, default=600, help="of a run of whole frames")
    parser.add_argument("--peers", type=int, default=4, help="runs that the peer trains")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--pack", type=int, default=8)
    parser.add_argument("--pack-mode", choices=PACK_MODES, action="append", help="default: all")
    parser.add_argument("--points", type=int, default=1024, help="a step, in the last table")
    parser.add_argument("--output", type=Path, default=DOCS)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    documents = {
        "sweep": sweep_document(None, given.steps),
        "sweep_frames": sweep_document("frame", given.frame_steps),
    }
    for name in given.only or TABLES:
        file = str(given.output / f"{name}.json")
        if name == "crossover":
            crossover(given.points, file)
        else:
            modes = given.pack_mode or PACK_MODES
            compare(documents[name], given.peers, given.rounds, given.pack, modes, file)


if __name__ == "__main__":
    main()
