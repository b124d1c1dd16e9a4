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
    """One measured number: how to name it, draw it and rank it."""

    name: str
    label: str  # for axes, with the unit in parentheses where there is one
    higher_is_better: bool
    log_scale: bool


def _metrics() -> dict[str, Metric]:
    metrics = []
    for quantity in QUANTITIES:
        words = quantity.replace("_", " ").replace("laplacian", "Laplacian")
        # squares: "1/length" -> "1/length^2"
        unit = {"1": "", "1/length": "1/length²", "1/length^2": "1/length⁴", "1/time": "1/time²"}
        suffix = unit[UNITS[quantity]]
        mse_label = f"{words} MSE" + (f" ({suffix})" if suffix else "")
        metrics += [
            Metric(f"mse_{quantity}", mse_label, False, True),
            Metric(f"nmse_{quantity}", f"{words} MSE / variance", False, True),
            Metric(f"ssim_{quantity}", f"{words} SSIM", True, False),
        ]
    metrics += [
        Metric("psnr_value", "value PSNR (dB)", True, False),
        Metric("pde_residual", "heat-equation residual / variance", False, True),
    ]
    return {metric.name: metric for metric in metrics}


METRICS: dict[str, Metric] = _metrics()
