"""The quantities that are learned, and their units.

Imports neither torch nor h5py.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

Quantity = Literal["value", "gradient", "laplacian", "time_derivative"]
QUANTITIES: tuple[Quantity, ...] = ("value", "gradient", "laplacian", "time_derivative")

# Lengths are in network coordinates (the longer image side spans 2), time in network time
# (the sequence spans 2), values in the image's own range scaled to [-1, 1].
UNITS: dict[Quantity, str] = {
    "value": "1",
    "gradient": "1/length",
    "laplacian": "1/length^2",
    "time_derivative": "1/time",
}


@dataclass(frozen=True)
class Fields:
    """An image sequence and its derivatives, in network coordinates.

    Every array is [frame, row, column], the gradient [frame, 2, row, column]: d/dx (columns), then
    d/dy (rows).
    """

    value: np.ndarray
    gradient: np.ndarray
    laplacian: np.ndarray
    time_derivative: np.ndarray

    def frames(self) -> Iterator["Fields"]:
        """One frame after the other, as views with a first axis of 1."""
        for place in range(len(self.value)):
            yield Fields(*(getattr(self, name)[place : place + 1] for name in QUANTITIES))


def stack_frames(frames: Iterable[Fields], count: int, dtype: np.dtype) -> Fields:
    """So many frames as one sequence of this type, without a second copy of them."""
    stacked: list[np.ndarray] = []
    for place, frame in enumerate(frames):
        arrays = [getattr(frame, name)[0] for name in QUANTITIES]
        if not stacked:
            stacked = [np.empty((count, *array.shape), dtype) for array in arrays]
        with np.errstate(over="ignore"):  # of a diverged network
            for array, whole in zip(arrays, stacked, strict=True):
                whole[place] = array
    return Fields(*stacked)
