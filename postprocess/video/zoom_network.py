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
        self._places = (np.arange(shape[0]) + 0.5, y), (np.arange(shape[1]) + 0.5, x)
        data = self._trained.config.data
        self.sigmas = (data.sigma_start, data.sigma_end)  # px, of the first and the last frame

    def time(self, view: View) -> float:
        """Network time of a view."""
        times = self._trained.times
        return float(np.interp(view.frame, np.arange(len(times)), times))

    def pictures(
        self, view: View, size: tuple[int, int], quantities: tuple[Quantity, ...]
    ) -> dict[Quantity, np.ndarray]:
        """What the network says in the window of ``view``: the gradient as its magnitude.

        It is sampled at least once a pixel of the image, as densely as that takes, and enlarged
        smoothly to ``size``: rows and columns of the panel.
        """
        rows, columns = _samples(view, size)
        y, x = (
            _line(places, *known)
            for places, known in zip(view.positions(rows, columns), self._places, strict=True)
        )
        row, column = np.meshgrid(y, x, indexing="ij")
        time = np.full(row.size, self.time(view))
        fields = self._trained.at(np.stack([column.ravel(), row.ravel(), time], axis=-1))
        found: dict[Quantity, np.ndarray] = {
            "value": fields.value,
            "gradient": np.hypot(*fields.gradient.T),
            "laplacian": fields.laplacian,
            "time_derivative": fields.time_derivative,
        }
        return {q: _enlarge(found[q].reshape(rows, columns), size) for q in quantities}


def _samples(view: View, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a grid with a sample a pixel or more; never finer than the panel."""
    longer = max(view.height, view.width)
    density = max(1.0, _FEWEST / longer)
    rows, columns = (
        min(math.ceil(side * density), most)
        for side, most in zip((view.height, view.width), size, strict=True)
    )
    return rows, columns


def _line(places: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Coordinates of ``places``; evenly spaced pixels also fix them beyond the outermost centre."""
    step = (values[-1] - values[0]) / (known[-1] - known[0]) if len(known) > 1 else 0.0
    line: np.ndarray = values[0] + (places - known[0]) * step
    return line


def _enlarge(samples: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolate by cubic splines; linearly where a value is not finite, which spreads less."""
    factors = [side / count for side, count in zip(size, samples.shape, strict=True)]
    order = 3 if np.isfinite(samples).all() else 1
    enlarged: np.ndarray = zoom(samples, factors, order=order, mode="nearest", grid_mode=True)
    return enlarged
