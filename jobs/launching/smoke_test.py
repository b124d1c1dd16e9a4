"""One step of a few networks with a few points, timed.

It is ``python -P -m jobs.launching.smoke_test THREADS``.

Reads configurations from standard input, one JSON object a line, and answers each with a line:
its `Cost` or an error. Run in the environment that the tasks will have, it also shows that this
has all they need.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

import torch

import inr.training.fit  # noqa: F401 - what the tasks import must be there
import jobs.worker.array_task  # noqa: F401
from inr.config import DataConfig, RunConfig
from inr.network.matmul import arithmetic, parameter_type
from inr.network.model import initialize
from inr.quantities import QUANTITIES
from inr.training.allocator import keep_freed_memory
from inr.training.batches import Targets, make_batches
from inr.training.evaluation import Evaluator
from inr.training.optimizers import make_optimizers, step_optimizers
from inr.training.step import loss_and_gradients, loss_coefficients
from jobs.launching.cost_model import Cost

_FEW, _MORE = 64, 512  # points
_SMALL = DataConfig(size=24, frames=2)
_ONES = dict.fromkeys(QUANTITIES, 1.0)


def main() -> int:
    """Answer every line, until there is no more."""
    torch.set_num_threads(int(sys.argv[1]))
    keep_freed_memory()  # as training does
    started = time.process_time()  # all that was imported
    for line in sys.stdin:
        try:
            answer: dict[str, object] = asdict(
                measure(RunConfig.model_validate_json(line), started)
            )
        except Exception as error:  # whatever it is: the launcher names the run
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    return 0


def measure(config: RunConfig, start: float = 0.0) -> Cost:
    """Train and examine the network of ``config`` for a step, with few points and with more.

    ``start`` is what a process needs before it can train, in seconds.
    """
    _trainer(config, _FEW)(1)  # the first step of all pays for what is set up once
    few, more = (_fastest(_trainer(config, points)) for points in (_FEW, _MORE))
    network = initialize(config.model, config.training.seed)
    evaluator = Evaluator(config.model_copy(update={"data": _SMALL}))
    evaluated = _fastest(lambda step: evaluator.on_pixels(network))
    point = max(0.0, more - few) / (_MORE - _FEW)
    pixels = _SMALL.size**2 * _SMALL.frames
    return Cost(start, max(0.0, few - _FEW * point), point, evaluated / pixels)


def _trainer(config: RunConfig, count: int) -> Callable[[int], object]:
    """A training step with ``count`` points of random targets."""
    training = config.training
    if training.batch != "frame":
        training = training.model_copy(update={"batch": count})
    generator = torch.Generator().manual_seed(0)
    dtype = parameter_type(training.precision)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(2, count, *shape, generator=generator, dtype=dtype)

    fields = {name: random(2) if name == "gradient" else random() for name in QUANTITIES}
    batches = make_batches(training, 2 * random(3) - 1, Targets(**fields))
    network = initialize(config.model, training.seed, dtype)
    optimizers = make_optimizers(training, network)
    weights = training.trained_weights
    coefficients = loss_coefficients(weights, _ONES, network.weights[0])

    def step(number: int) -> None:
        with arithmetic(training.precision):
            found = loss_and_gradients(
                network, *batches(number), coefficients, weights.highest_derivative
            )
        for parameter, gradient in zip(network.parameters, found.gradients, strict=True):
            parameter.grad = gradient
        step_optimizers(training, optimizers, number)

    return step


def _fastest(step: Callable[[int], object]) -> float:
    """Seconds of the fastest of two calls: others use this machine too."""
    seconds = []
    for number in range(2):
        started = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    sys.exit(main())
