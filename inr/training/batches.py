"""What each optimiser step sees: one whole frame, or random points of the sequence.

A batch depends on the seed and the step alone, so a resumed run sees what an uninterrupted one
would have seen.
"""

from functools import lru_cache, partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inr.config import TrainingConfig
from inr.quantities import Fields

_BLOCK_STEPS, _BLOCK_POINTS = 64, 2**20  # most that is drawn at once
_SENT_POINTS = 2**22  # most that is sent at once: 32 MiB


class Batches:
    """Samples of the batch of each step, [point, 8] of `sequence_samples`.

    Every frame once an epoch, in an order drawn anew for each; or points drawn uniformly, with
    replacement, from all pixels of all frames.

    A batch is `at` the `numbers` of a step. Numbers are drawn on the host and sent to the device,
    which then waits: `prepare` does so for many steps at once, of large batches for fewer.
    """

    def __init__(self, training: TrainingConfig, samples: Float[Tensor, "frame pixel 8"]) -> None:
        count = training.batch
        self._pool = samples if count == "frame" else samples.flatten(0, 1)
        # steps whose numbers are drawn together, and most that are sent together
        self._block, self._most = len(samples), _BLOCK_STEPS
        if count != "frame":
            self._block = max(1, min(_BLOCK_STEPS, _BLOCK_POINTS // count))
            self._most = max(1, min(_BLOCK_STEPS, _SENT_POINTS // count))
        drawn = partial(_draw, training.seed, self._block, count, len(self._pool))
        self._drawn = lru_cache(maxsize=1)(drawn)
        self._first, self._ready = 0, torch.empty(0)

    def __call__(self, step: int) -> Float[Tensor, "point 8"]:
        """The batch of a step."""
        return self.at(self.numbers(step))

    def at(self, numbers: Tensor) -> Float[Tensor, "point 8"]:
        """The samples of these `numbers`: a function of tensors on the device alone."""
        return self._pool.index_select(0, numbers).view(-1, self._pool.shape[-1])

    def numbers(self, step: int) -> Tensor:
        """Which points, or which frame, on the device; without waiting if prepared."""
        if not self._first <= step < self._first + len(self._ready):
            self.prepare(step, self._block)
        return self._ready[step - self._first]

    def prepare(self, step: int, count: int = 1) -> None:
        """Have the numbers of ``count`` steps from ``step`` on the device, if they are not many."""
        count = min(count, self._most)
        places = (divmod(each, self._block) for each in range(step, step + count))
        rows = np.stack([self._drawn(block)[position] for block, position in places])
        self._first, self._ready = step, torch.from_numpy(rows).to(self._pool.device)


def _draw(
    seed: int, steps: int, count: int | Literal["frame"], rows: int, block: int
) -> np.ndarray:
    # numpy's generator mixes (seed, block) well; torch's own seeds are not meant for that
    generator = np.random.default_rng([seed, block])
    if count == "frame":
        return generator.permutation(rows)[:, None]
    return generator.integers(rows, size=(steps, count))


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
    samples = torch.empty(*wanted.value.shape, 8, dtype=dtype, device=device)
    along_x, along_y = np.moveaxis(wanted.gradient, 1, 0)
    derivatives = (along_x, along_y, wanted.time_derivative, wanted.laplacian)
    grid = np.meshgrid(times, y, x, indexing="ij", copy=False)
    fields = (*grid[::-1], wanted.value, *derivatives)
    # of one field after the other: no table of all in float64
    for column, field in zip(samples.unbind(-1), fields, strict=True):
        column.copy_(torch.tensor(field, dtype=dtype))
    return samples.flatten(1, 2)
