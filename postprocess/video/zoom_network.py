"""The trained network between pixels and frames: the one place of `postprocess` that uses torch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from scipy.ndimage import zoom

from inr.errors import UserError
from inr.quantities import Quantity
from inr.targets.sequences import SEQUENCES
from postprocess.video.zoom_camera import View

_FEWEST = 80  # samples along the longer side of a view


class ZoomNetwork:
    """A trained network seen through a `View`.

    Args:
        model: Its ``model.pt``.
        shape: Rows and columns of the image that it was trained on.

    Raises:
        UserError: the file is missing, damaged, or of another image.
    """

    def __init__(self, model: Path, shape: tuple[int, int]) -> None:
        # here: torch takes seconds to import, and --help none
        from inr.network.trained_network import load

        self._trained = load(model)
        if self._trained.shape != shape:
            raise UserError(
                f"{model}: trained on {self._trained.shape} px, the frames beside it have {shape}. "
                "Both must be of one run"
            )
        sequence = SEQUENCES[self._trained.config.training.protocol]
        x, y = sequence.pixel_coordinates(shape)
        self._lines = y, x  # of the pixels, as the network takes them

    def time(self, view: View) -> float:
        """Network time of a view."""
        times = self._trained.times
        return float(np.interp(view.frame, np.arange(len(times)), times))

    def pictures(
        self, view: View, size: tuple[int, int], quantities: tuple[Quantity, ...]
    ) -> list[np.ndarray]:
        """What the network says in the window of ``view``: the gradient as its magnitude.

        It is sampled at least once a pixel of the image, as densely as that takes, and enlarged
        smoothly to ``size``: rows and columns of the panel.
        """
        shape = _samples(view, size)
        places = zip(view.positions(*shape), self._lines, strict=True)
        row, column = np.meshgrid(*(_extend(line, place) for place, line in places), indexing="ij")
        time = np.full(row.size, self.time(view))
        fields = self._trained.at(np.stack([column.ravel(), row.ravel(), time], axis=-1))
        found: dict[Quantity, np.ndarray] = {
            "value": fields.value,
            "gradient": np.hypot(*fields.gradient.T),
            "laplacian": fields.laplacian,
            "time_derivative": fields.time_derivative,
        }
        return [_enlarge(found[quantity].reshape(shape), size) for quantity in quantities]


def _samples(view: View, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a grid with a sample a pixel or more; never finer than the panel."""
    sides = view.height, view.width
    density = max(1.0, _FEWEST / max(sides))
    rows, columns = (
        min(math.ceil(side * density), most) for side, most in zip(sides, size, strict=True)
    )
    return rows, columns


def _extend(line: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Coordinates of ``places``, px; evenly spaced pixels also fix them beyond the outermost."""
    step = (line[-1] - line[0]) / max(1, len(line) - 1)
    extended: np.ndarray = line[0] + (places - 0.5) * step
    return extended


def _enlarge(samples: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolate by cubic splines; linearly where a value is not finite, which spreads less."""
    factors = [side / count for side, count in zip(size, samples.shape, strict=True)]
    order = 3 if np.isfinite(samples).all() else 1
    enlarged: np.ndarray = zoom(samples, factors, order=order, mode="nearest", grid_mode=True)
    return enlarged
