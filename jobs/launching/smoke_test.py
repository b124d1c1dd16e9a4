"""``python -m jobs.launching.smoke_test THREADS``: steps of networks with few points, timed.

Reads configurations from standard input, one JSON object a line, and answers each with a line:
its `Cost` or an error. Run in the environment that the tasks will have, it also shows that this
has all they need.
"""

import json
import sys
import time
import timeit
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch

import inr.training.fit  # noqa: F401 - what the tasks import must be there
import jobs.worker.array_task  # noqa: F401
from inr.config import DataConfig, RunConfig
from inr.network.matmul import arithmetic
from inr.network.trained_network import predict
from inr.training.allocator import keep_freed_memory
from inr.training.step import take_step
from inr.training.trainer import Run, Trainer
from jobs.launching.cost_model import Cost

_FEW, _MORE = 12, 24  # px: sides of the built-in image
_FRAMES = 2


def main() -> int:
    """Answer every line, until there is no more."""
    torch.set_num_threads(int(sys.argv[1]))
    keep_freed_memory()  # as training does
    started = time.process_time()  # all that was imported
    for line in sys.stdin:
        try:
            config = RunConfig.model_validate_json(line)
            answer: dict[str, object] = asdict(measure(config, started))
        except Exception as error:  # whatever it is: the launcher names the run
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    return 0


def measure(config: RunConfig, start: float) -> Cost:
    """Time steps of few points and of more, and an evaluation; ``start`` counts as it is, s."""
    few, more = (_trainer(config, side) for side in (_FEW, _MORE))
    _step(few)  # the first step of all pays for what is set up once
    seconds, seconds_of_more = (_fastest(partial(_step, trainer)) for trainer in (few, more))
    point = max(0.0, seconds_of_more - seconds) / (_MORE**2 - _FEW**2)
    evaluate = partial(more.evaluator.on_pixels, partial(predict, more.network))
    evaluated = _fastest(evaluate) / (_FRAMES * _MORE**2)
    return Cost(start, max(0.0, seconds - _FEW**2 * point), point, evaluated)


def _trainer(config: RunConfig, side: int) -> Trainer:
    """The run on a small image, with as many points in a batch as that has pixels."""
    batch = config.training.batch if config.training.batch == "frame" else side**2
    training = config.training.model_copy(update={"batch": batch})
    data = DataConfig(size=side, frames=_FRAMES)
    recorder: Any = SimpleNamespace()  # nothing is recorded
    small = config.model_copy(update={"data": data, "training": training})
    return Trainer(Run(small, recorder), torch.device("cpu"))


def _step(trainer: Trainer) -> None:
    with arithmetic(trainer.config.training.precision):
        take_step([trainer])


def _fastest(action: Callable[[], object]) -> float:
    """Seconds of the fastest of two calls: others use this machine too."""
    return min(timeit.repeat(action, number=1, repeat=2))


if __name__ == "__main__":
    sys.exit(main())
