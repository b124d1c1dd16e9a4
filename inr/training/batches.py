"""What each optimiser step sees: one whole frame, or random points of the sequence.

A batch depends on the seed and the step alone, so a resumed run sees what an uninterrupted one
would have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from inr.config import TrainingConfig
from inr.quantities import Fields

_BLOCK_STEPS, _BLOCK_POINTS = 64, 2**20  # most that is drawn ahead


class Targets(NamedTuple):
    """Exact fields at the points of a batch, [*model, point]."""

    value: Tensor
    gradient: Tensor  # d/dx, d/dy, [*model, point, 2]
    laplacian: Tensor
    time_derivative: Tensor


Batches = Callable[[int], tuple[Tensor, Targets]]  # step -> points [point, 3], targets


def make_batches(training: TrainingConfig, points: Tensor, targets: Targets) -> Batches:
    """Batches by step, of `sequence_points` and `sequence_targets`.

    Every frame once an epoch, in an order drawn anew for each; or points drawn uniformly, with
    replacement, from all pixels of all frames.
    """
    count, frames = training.batch, len(points)
    if count == "frame":
        steps = frames
    else:
        points, targets = points.flatten(0, 1), Targets(*(each.flatten(0, 1) for each in targets))
        # many steps at once: sending them to a GPU makes it wait
        steps = max(1, min(_BLOCK_STEPS, _BLOCK_POINTS // count))

    @lru_cache(maxsize=1)
    def drawn(block: int) -> list[int] | Tensor:
        # numpy's generator mixes (seed, block) well; torch's own seeds are not meant for that
        generator = np.random.default_rng([training.seed, block])
        if count == "frame":
            return [int(frame) for frame in generator.permutation(frames)]
        numbers = generator.integers(len(points), size=(steps, count))
        return torch.from_numpy(numbers).to(points.device)

    def batch(step: int) -> tuple[Tensor, Targets]:
        block, position = divmod(step, steps)
        index = drawn(block)[position]
        return points[index], Targets(*(field[index] for field in targets))

    return batch


def sequence_points(
    x: np.ndarray, y: np.ndarray, times: np.ndarray, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """(x, y, time) of every pixel of every frame, [frame, pixel, 3], rows of an image in order."""
    time, row, column = np.meshgrid(times, y, x, indexing="ij")
    points = np.stack([column, row, time], axis=-1).reshape(len(times), -1, 3)
    return torch.from_numpy(points).to(device, dtype)


def sequence_targets(fields: Fields, device: torch.device, dtype: torch.dtype) -> Targets:
    """Exact fields on a grid as the targets of every pixel of every frame."""
    components_last = np.moveaxis(fields.gradient, 1, -1)
    arrays = (fields.value, components_last, fields.laplacian, fields.time_derivative)
    pixels = (array.reshape(len(array), -1, *array.shape[3:]) for array in arrays)
    return Targets(*(torch.from_numpy(each).to(device, dtype) for each in pixels))
