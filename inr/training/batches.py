"""What each optimiser step sees: one whole frame, or random points of the sequence.

A batch depends on the seed and the step alone, so a resumed run sees what an uninterrupted one
would have seen.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inr.config import TrainingConfig
from inr.quantities import Fields

_BLOCK_STEPS, _BLOCK_POINTS = 64, 2**20  # most that is drawn ahead


def make_batches(training: TrainingConfig, samples: Tensor) -> Callable[[int], Tensor]:
    """Samples [point, 8] by step, of `sequence_samples`.

    Every frame once an epoch, in an order drawn anew for each; or points drawn uniformly, with
    replacement, from all pixels of all frames.
    """
    count, frames = training.batch, len(samples)
    if count == "frame":
        steps = frames
    else:
        samples = samples.flatten(0, 1)
        # many steps at once: sending them to a GPU makes it wait
        steps = max(1, min(_BLOCK_STEPS, _BLOCK_POINTS // count))

    @lru_cache(maxsize=1)
    def drawn(block: int) -> list[int] | Tensor:
        # numpy's generator mixes (seed, block) well; torch's own seeds are not meant for that
        generator = np.random.default_rng([training.seed, block])
        if count == "frame":
            return [int(frame) for frame in generator.permutation(frames)]
        numbers = generator.integers(len(samples), size=(steps, count))
        return torch.from_numpy(numbers).to(samples.device)

    def batch(step: int) -> Tensor:
        block, position = divmod(step, steps)
        return samples[drawn(block)[position]]

    return batch


def sequence_samples(
    x: np.ndarray,
    y: np.ndarray,
    times: np.ndarray,
    wanted: Fields,
    device: torch.device,
    dtype: torch.dtype,
) -> Float[Tensor, "frame pixel 8"]:
    """Every pixel of every frame, rows of an image in order: where it is, and what is wanted there.

    x, y and time; then value, d/dx, d/dy, d/dtau and Laplacian. NaN where nothing is wanted.
    """
    time, row, column = np.meshgrid(times, y, x, indexing="ij", copy=False)
    along_x, along_y = np.moveaxis(wanted.gradient, 1, 0)
    derivatives = (along_x, along_y, wanted.time_derivative, wanted.laplacian)
    fields = (column, row, time, wanted.value, *derivatives)
    # of one field after the other: no table of all in float64
    samples = [torch.tensor(field, dtype=dtype, device=device) for field in fields]
    return torch.stack(samples, dim=-1).flatten(1, 2)
