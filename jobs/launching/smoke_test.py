"""``python -m jobs.launching.smoke_test THREADS SECONDS``: steps of networks, timed.

Reads configurations from standard input, one JSON object a line, and answers each with a line:
its `Cost` or an error. Of steps with few points, or, where SECONDS is not 0, of all steps that so
many seconds allow. Run in the environment that the tasks will have, it also shows that this has all
they need.
"""

import json
import math
import sys
import time
import timeit
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
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
from jobs.launching.cost_model import Cost, parameter_count, shape_of

_FEW, _MORE = 12, 24  # px: sides of the built-in image
_FRAMES = 2
_WORK = 200_000_000  # points times parameters of a step that is sampled: tenths of a second


def main() -> int:
    """Answer every line, until there is no more."""
    threads, seconds = int(sys.argv[1]), float(sys.argv[2])
    torch.set_num_threads(threads)
    keep_freed_memory()  # as training does
    for line in sys.stdin:
        try:
            config = RunConfig.model_validate_json(line)
            cost = sample(config, seconds) if seconds else measure(config)
            answer: dict[str, object] = asdict(cost)
        except Exception as error:  # whatever it is: the launcher names the run
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    return 0


@cache
def _started() -> float:
    """CPU time of this process before it first could train: what was imported and set up once."""
    return time.process_time()


def measure(config: RunConfig) -> Cost:
    """Time steps of few points and of more, and an evaluation."""
    few, more = (_trainer(config, side, side**2) for side in (_FEW, _MORE))
    _step(few)  # the first step of all pays for what is set up once
    start = _started()
    seconds, seconds_of_more = (_fastest(partial(_step, trainer)) for trainer in (few, more))
    point = max(0.0, seconds_of_more - seconds) / (_MORE**2 - _FEW**2)
    evaluate = partial(more.evaluator.on_pixels, partial(predict, more.network))
    evaluated = _fastest(evaluate) / (_FRAMES * _MORE**2)
    return Cost(start, max(0.0, seconds - _FEW**2 * point), point, evaluated)


def sample(config: RunConfig, seconds: float) -> Cost:
    """The mean of all steps of so many seconds, with the points that the run has, if not too many.

    What others do on this machine meanwhile counts, as it does while the run is trained.
    """
    affordable = max(_FEW**2, _WORK // parameter_count(shape_of(config)))
    points = min(config.step_points, affordable)
    side = max(_FEW, math.isqrt(points))
    trainer = _trainer(config, side, points)
    _step(trainer)
    start = _started()
    point = _mean(partial(_step, trainer), seconds / 2) / len(trainer.batches(0))
    evaluate = partial(trainer.evaluator.on_pixels, partial(predict, trainer.network))
    return Cost(start, 0.0, point, _mean(evaluate, seconds / 2) / (_FRAMES * side**2))


def _mean(action: Callable[[], object], seconds: float) -> float:
    """Seconds that a call takes, of as many as take so long together."""
    calls, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds or not calls:
        action()
        calls += 1
    return taken / calls


def _trainer(config: RunConfig, side: int, batch: int) -> Trainer:
    """The run on a small image, with so many points in a batch if it is none of frames."""
    update = {} if config.training.batch == "frame" else {"batch": batch}
    training = config.training.model_copy(update=update)
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
