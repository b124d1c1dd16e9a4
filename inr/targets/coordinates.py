"""Where the pixels and frames of each protocol lie, in the coordinates of its networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from inr.config import Protocol
from inr.targets import heat_equation, published_protocol


@dataclass(frozen=True)
class Coordinates:
    """Places in space and time.

    Attributes:
        frame_times: number of frames -> times [frame].
        pixel_coordinates: ((H, W) in px, samples per pixel and axis) -> x of the columns, y of
            the rows.
    """

    frame_times: Callable[[int], np.ndarray]
    pixel_coordinates: Callable[[tuple[int, int], int], tuple[np.ndarray, np.ndarray]]


COORDINATES: dict[Protocol, Coordinates] = {
    "corrected": Coordinates(heat_equation.frame_times, heat_equation.pixel_coordinates),
    "original": Coordinates(published_protocol.frame_times, published_protocol.pixel_coordinates),
}
