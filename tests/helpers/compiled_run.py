"""Trains a small run with a compiled step for some steps: CACHE STEPS RUN...

Prints how it ended in each directory. A process of its own: type checks, which tests add to every
function, cannot be compiled.
"""

import sys
from pathlib import Path

from inr.config import RunConfig
from inr.signals import StopRequest
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.compilation import share_cache
from tests.helpers.tiny_run import fit

CONFIG = {
    "data": {"size": 12, "frames": 2},
    "model": {"width": 8, "depth": 1},
    "training": {
        "steps": 20,
        "batch": 30,
        "loss_weights": [1, 1, 1, 1],
        "compile": "on",
        "precision": "float64",  # as `tests.helpers.compiled_step`
    },
    "record": {"metrics_every": 5, "tensorboard": False},
}


def main() -> None:
    """Train until the end, until so many steps are made, or until a signal comes."""
    cache, steps, *runs = sys.argv[1:]
    share_cache(Path(cache))
    config = RunConfig.model_validate(CONFIG)
    for run in runs:
        left = iter([False] * int(steps))
        with StopRequest() as stop, RunWriter(RunLayout(Path(run)), config, "run") as recorder:
            asked = lambda: stop() or next(left, True)  # noqa: B023, E731
            print(fit(config, recorder, device="cpu", should_stop=asked))


if __name__ == "__main__":
    main()
