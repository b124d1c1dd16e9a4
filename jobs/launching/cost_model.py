"""What a run will cost: bytes on disk, and time from measured steps. Memory: `inr.memory`."""

from collections.abc import Sequence
from dataclasses import dataclass

from inr.config import RunConfig
from inr.metrics import METRICS
from inr.progress import describe_seconds
from inr.quantities import QUANTITIES
from inr.results import BASE_SERIES, HELDOUT

_INPUTS = 3  # x, y, time
_FLOAT32, _FLOAT64 = 4, 8
_PLANES = len(QUANTITIES) + 1  # the gradient has two components
_EVENT_BYTES = 60  # of a scalar in TensorBoard's file, measured
_FIXED_BYTES = 100_000  # HDF5's own structures, logs, small files; measured


@dataclass(frozen=True)
class Cost:
    """What a run of some shape costs, in seconds; a step is a straight line in its points."""

    start: float  # before the first step
    fixed: float  # of a training step, whatever its points
    point: float  # of a training step, for each point
    evaluated: float  # of an evaluation, for each point


# activation, width, depth, which terms of the loss count, kind of batch
Shape = tuple[str, int, int, tuple[bool, ...], bool]
Costs = dict[Shape, Cost]


def shape_of(config: RunConfig) -> Shape:
    """What the cost of a step depends on, beside its points."""
    model, training = config.model, config.training
    terms = tuple(weight > 0 for weight in training.loss_weights.as_tuple())
    return (
        model.activation,
        model.width * model.sines,
        model.depth,
        terms,
        training.batch == "frame",
    )


def parameter_count(shape: Shape) -> int:
    """Numbers that a network learns."""
    _, width, depth, *_ = shape
    return _INPUTS * width + (depth - 1) * width * width + depth * width + width + 1


def expected_bytes(config: RunConfig) -> int:
    """Most that a run may have on disk: its results, TensorBoard, network and checkpoint.

    The image is taken for square, and its pictures in TensorBoard for incompressible.
    """
    pixels = config.data.size**2
    frames = 2 * _PLANES * config.data.frames * pixels * _FLOAT32  # prediction and target
    rows = _rows(config)
    scalars = rows * (len(BASE_SERIES) + len(METRICS))
    series, events = scalars * _FLOAT64, 0
    if config.record.tensorboard:
        pictures = config.training.steps // config.record.images_every + 2
        events = scalars * _EVENT_BYTES + pictures * len(QUANTITIES) * 2 * pixels
    # the network, and a checkpoint: the network again with the two moments of Adam
    parameters = (1 + 3) * parameter_count(shape_of(config)) * _FLOAT32
    return frames + series + events + parameters + _FIXED_BYTES


def expected_seconds(config: RunConfig, costs: Costs) -> float:
    """How long a run takes: its steps and its evaluations.

    At the measured cost of its shape; for one that was not tried, from the closest that was.
    """
    shape = shape_of(config)
    parameters = parameter_count(shape)
    closest = min(costs, key=lambda s: (s != shape, abs(parameter_count(s) - parameters)))
    cost, ratio = costs[closest], parameters / parameter_count(closest)
    pixels = config.data.size**2
    steps = config.training.steps * (cost.fixed + config.step_points * cost.point)
    # at the end also on the sets of points where nothing was trained
    evaluations = (_rows(config) + len(HELDOUT)) * config.data.frames * pixels * cost.evaluated
    return cost.start + ratio * (steps + evaluations)


def describe_time(seconds: Sequence[float], gpus: int) -> str:
    """Total and longest of the tasks' times, with the GPU hours if tasks have GPUs."""
    total, longest = sum(seconds) / 3600, describe_seconds(max(seconds))
    hours, source = f"{total:,.3g} task hours", "one step measured on this machine's CPU"
    if gpus:
        hours = f"at most {hours}, {total * gpus:.3g} GPU hours"
        source += ", GPUs are faster"
    return f"{hours}, the longest task {longest} ({source})"


def _rows(config: RunConfig) -> int:
    """Evaluations of a run: before the first step, on the cadence, and after the last step."""
    return config.training.steps // config.metrics_every + 2
