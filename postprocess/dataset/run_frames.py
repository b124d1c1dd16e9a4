"""Frames of one run as scalar pictures, with the colour scale and error scale of each quantity."""

import math
from dataclasses import dataclass
from typing import Literal, Self

import h5py
import numpy as np

from inr.quantities import QUANTITIES, Quantity
from inr.results import ResultsError, plain, read_attributes

Part = Literal["target", "prediction"]
PARTS: tuple[Part, Part] = ("target", "prediction")

_SAMPLED = 64  # frames that the colour scales are taken from, evenly spaced
# Half a per cent of a Laplacian is edges many times stronger than the rest. A scale that spans
# them would show the rest as one flat colour; the colour bar's arrows say that it is cut.
_KEPT = 99.5  # per cent
_ROUNDING = 1e-4  # of the largest value; differs between machines

Extend = Literal["neither", "max", "both"]  # where the target exceeds the scale

# title, colour map, ends that are cut
_LOOKS: dict[Quantity, tuple[str, str, Extend]] = {
    "value": ("value", "gray", "neither"),
    "gradient": ("gradient magnitude", "viridis", "max"),
    "laplacian": ("Laplacian", "RdBu_r", "both"),
    "time_derivative": ("time derivative", "RdBu_r", "both"),
}


@dataclass(frozen=True)
class Column:
    """How one quantity is shown: one scale for both rows and all frames."""

    quantity: Quantity
    title: str
    unit: str
    colormap: str
    low: float
    high: float
    extend: Extend


class RunFrames:
    """The frames of an open ``run.h5``, read one at a time.

    Raises `ResultsError` if they do not keep the contract.
    """

    def __init__(self, file: h5py.File) -> None:
        self._data = {(q, p): file["frames"][q][p] for q in QUANTITIES for p in PARTS}
        self.times = np.asarray(file["frames/time"][:], dtype=float)  # as the network takes it
        self._config = read_attributes(file)["config"]
        self._filename = str(file.filename)
        self._check()
        self.shape: tuple[int, int] = self._data["value", "target"].shape[1:]
        self.columns = [self._column(quantity) for quantity in QUANTITIES]

    def __len__(self) -> int:
        return len(self.times)

    def picture(self, quantity: Quantity, part: Part, frame: int) -> np.ndarray:
        """One frame [row, column]: the magnitude of the gradient, the others as they are."""
        data = self._read(quantity, part, frame)
        return np.hypot(data[0], data[1]) if quantity == "gradient" else data

    def describe(self, time: float) -> str:
        """A time, as the network takes it, and the blur then, in words."""
        if self._config.get("training", {}).get("protocol") == "original":
            # its time is diffusion time, sigma^2 / 2
            return f"diffusion time {time:.2f} px²    blur σ = {math.sqrt(2 * time):.2f} px"
        data = self._config["data"]
        sigma = blur(time, float(data["sigma_start"]), float(data["sigma_end"]))
        return f"network time {time:+.2f}    blur σ = {sigma:.2f} px"

    def check_same_target(self, other: Self) -> None:
        """Raise `ResultsError` if ``other`` learned another sequence.

        Runs can be compared picture by picture only at the same times, sizes and target values.
        """
        pairs = (
            (self._read(quantity, "target", frame), other._read(quantity, "target", frame))
            for quantity in QUANTITIES
            for frame in range(len(self))
        )
        if not (
            self.shape == other.shape
            and np.array_equal(self.times, other.times)
            and all(np.allclose(a, b, rtol=0, atol=_ROUNDING * np.abs(a).max()) for a, b in pairs)
        ):
            raise ResultsError(
                f"{other._filename}: learned another sequence than {self._filename}. Only runs "
                "with the same data settings and protocol can be compared"
            )

    def error(self, column: Column, frame: int) -> float:
        """Mean squared error of one frame / variance of its target: 1 is what its mean would give.

        The gradient is compared as a vector: squares are averaged over both components.
        """
        target = self._read(column.quantity, "target", frame).astype(float)
        difference = self._read(column.quantity, "prediction", frame) - target
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.mean(difference**2) / (target.var(axis=(-2, -1)).mean() or 1.0))

    def _read(self, quantity: Quantity, part: Part, frame: int) -> np.ndarray:
        try:
            data: np.ndarray = self._data[quantity, part][frame]
        except (OSError, RuntimeError, ValueError) as error:
            # at once: the writer of the video would take an OSError for its own
            broken = f"broken: {' '.join(str(error).split())}"
            raise ResultsError(f"{self._filename}: frames/{quantity}/{part}: {broken}") from error
        return data

    def _check(self) -> None:
        """Find damage now, not after minutes of drawing."""
        frames, plane = len(self.times), self._data["value", "target"].shape[1:]
        if frames == 0 or 0 in plane:
            raise ResultsError(f"{self._filename}: no frames")
        for (quantity, part), data in self._data.items():
            name = f"{self._filename}: frames/{quantity}/{part}"
            shape = (frames, 2, *plane) if quantity == "gradient" else (frames, *plane)
            if len(plane) != 2 or data.shape != shape or data.dtype.kind != "f":
                raise ResultsError(f"{name} has shape {data.shape}, expected {shape} of floats")
            # HDF5 would fill a hole with zeros, and a damaged shape could ask for all memory
            if (stored := data.id.get_storage_size()) < data.nbytes:
                raise ResultsError(f"{name}: {stored} of {data.nbytes} bytes are in the file")
            for frame in range(frames):
                self._read(quantity, part, frame)

    def _column(self, quantity: Quantity) -> Column:
        chosen = np.unique(np.linspace(0, len(self) - 1, _SAMPLED).round().astype(int))
        data = np.array([self._read(quantity, "target", frame) for frame in chosen])
        if not np.isfinite(data).all():
            raise ResultsError(f"{self._filename}: frames/{quantity}/target is not finite")
        pictures = np.hypot(data[:, 0], data[:, 1]) if quantity == "gradient" else data
        title, colormap, extend = _LOOKS[quantity]
        if quantity == "value":
            unit, low, high = "image scaled to [-1, 1]", pictures.min(), pictures.max()
        else:
            unit = str(plain(self._data[quantity, "target"].attrs["units"])).replace("^2", "²")
            strength = np.abs(pictures)
            high = float(np.percentile(strength, _KEPT)) or float(strength.max()) or 1.0
            low = -high if extend == "both" else 0.0
        return Column(quantity, title, unit, colormap, float(low), float(high), extend)


def blur(time: float, sigma_start: float, sigma_end: float) -> float:
    """Gaussian blur in px at network time ``time`` in [-1, 1].

    Diffusion time s = sigma^2 / 2 is linear in it, from ``sigma_start`` to ``sigma_end``.
    """
    share = (time + 1) / 2
    return math.sqrt((1 - share) * sigma_start**2 + share * sigma_end**2)
