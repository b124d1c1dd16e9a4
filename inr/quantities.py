"""The quantities that are learned, their units, and the metrics that they are judged by.

Imports neither torch nor h5py.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Metric:
    """One measured number: an error, which spans decades, or a score, of which more is better."""

    label: str  # for axes, with the unit in parentheses where there is one
    higher_is_better: bool = False


def _metrics() -> dict[str, Metric]:
    metrics = {}
    squared = ("", " (1/length²)", " (1/length⁴)", " (1/time²)")  # `UNITS`
    for quantity, unit in zip(QUANTITIES, squared, strict=True):
        words = quantity.replace("_", " ").replace("laplacian", "Laplacian")
        metrics[f"mse_{quantity}"] = Metric(f"{words} MSE{unit}")
        metrics[f"nmse_{quantity}"] = Metric(f"{words} MSE / variance")
        metrics[f"ssim_{quantity}"] = Metric(f"{words} SSIM", higher_is_better=True)
    metrics["psnr_value"] = Metric("value PSNR (dB)", higher_is_better=True)
    metrics["pde_residual"] = Metric("heat-equation residual / variance")
    return metrics


METRICS = _metrics()
