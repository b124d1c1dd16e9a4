"""What recording and checkpointing cost, as a share of training time, at the default cadence.

One configuration is trained in turn with everything recorded and with nothing recorded, several
rounds. The difference is the whole cost. Its parts are timed inside the recorded runs::

    evaluation     whole frames through the network with all derivatives, and their metrics
    recording      rows, TensorBoard scalars and pictures, run.h5
    checkpoints    checkpoint.pt, at the default interval

"Training" is the optimiser steps alone. The final record (held-out points, frames, model) is paid
once a run, whatever its length, and is given apart.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from inr.config import RunConfig
from inr.progress import Progress
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.evaluation import Evaluator
from inr.training.trainer import Trainer
from tests.benchmarks.report import DOCS, publish
from tests.helpers.tiny_run import fit

PARTS = {
    "evaluation": [(Evaluator, "on_pixels")],
    "recording": [(RunWriter, "row"), (RunWriter, "pictures")],
    "checkpoints": [(Trainer, "_save")],
    "final record": [(Trainer, "_finish")],
}


@contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """Seconds spent in each of `PARTS` inside the block."""
    spent: dict[str, float] = defaultdict(float)

    def timed(part: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                spent[part] += time.perf_counter() - started

        return call

    with ExitStack() as stack:
        for part, places in PARTS.items():
            for owner, name in places:
                replacement = timed(part, getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, replacement))
        yield spent


def train(config: RunConfig, root: Path) -> dict[str, float]:
    """Train once; seconds of training, of all, and of each part."""
    steps_taken: list[Progress] = []
    with stopwatch() as spent, RunWriter(RunLayout(root), config, config.name) as recorder:
        started = time.perf_counter()
        fit(config, recorder, device="cpu", on_progress=steps_taken.append)
        whole = time.perf_counter() - started
    return {"training": steps_taken[-1].seconds, "all": whole, **spent}


def silent(config: RunConfig) -> RunConfig:
    """The same computation, measured only at its start and its end."""
    never = {"metrics_every": config.training.steps, "images_every": config.training.steps}
    record = config.record.model_copy(update={**never, "tensorboard": False})
    return config.model_copy(update={"record": record})


def compare(config: RunConfig, rounds: int, to: str) -> None:
    """Recorded and silent runs in turn."""
    found: dict[str, list[dict[str, float]]] = {"recorded": [], "silent": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for kind, chosen in (("recorded", config), ("silent", silent(config))):
                found[kind].append(train(chosen, Path(folder) / f"{kind}{number}"))
                print(kind, found[kind][-1], file=sys.stderr)
    shares = {
        part: statistics.median(run.get(part, 0.0) / run["training"] for run in found["recorded"])
        for part in ("evaluation", "recording", "checkpoints")
    }
    loops = {k: [run["all"] - run["final record"] for run in v] for k, v in found.items()}
    pairs = zip(loops["recorded"], loops["silent"], strict=True)
    shares["all of it, as the difference to silent runs"] = statistics.median(
        a / b - 1 for a, b in pairs
    )
    rows = [{"what": part, "share of training time": f"{s:.1%}"} for part, s in shares.items()]
    final = statistics.median(run["final record"] for run in found["recorded"])
    facts = {
        "configuration": config.canonical_json(),
        "rounds": rounds,
        "training": ", ".join(f"{run['training']:.1f} s" for run in found["recorded"]),
        "final record, once a run": f"{final:.2f} s",
        "load while measuring": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
    }
    publish("Recording", rows, facts, to)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="px")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default=str(DOCS / "recording.json"), metavar="FILE")
    parser.add_argument("--weights", type=float, nargs=4, default=(1, 1, 1, 1))
    given = parser.parse_args()
    config = RunConfig.model_validate(
        {
            "data": {"size": given.size},
            "model": {"width": given.width},
            "training": {"steps": given.steps, "loss_weights": list(given.weights)},
        }
    )
    compare(config, given.rounds, given.json)


if __name__ == "__main__":
    main()
