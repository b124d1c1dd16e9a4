r"""How well a network reproduces an image sequence and its derivatives.

mse_Q is the mean squared error of quantity Q over all frames (for the gradient, squares summed
over the two components), nmse_Q divides it by the variance of the target: 1 is what predicting
the mean would give. ssim_Q is the structural similarity (Wang et al. 2004: Gaussian window of
1.5 px, the target's true range), averaged over frames; for the gradient, of its magnitude. Runs
of the original protocol have its own similarity on their frames, that of
`inr.targets.published_protocol.PublishedSequence`.

.. math:: \mathrm{psnr} = 10 \log_{10}(\mathrm{range}^2 / \mathrm{mse}), \qquad
          \mathrm{pde\_residual} =
              \langle (u_\tau - \kappa \Delta u)^2 \rangle / \mathrm{var}_{u_\tau}
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from inr.quantities import QUANTITIES, Fields, Quantity


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


METRICS = _metrics()  # those that `evaluate` gives, by name

# (wanted [row, column], predicted, range of the wanted data) -> structural similarity
Similarity = Callable[[np.ndarray, np.ndarray, float], float]


@dataclass(frozen=True)
class TargetStatistics:
    """Scales of a target sequence: variance of each quantity, range of each compared image."""

    variance: dict[Quantity, float]
    data_range: dict[Quantity, float]


def target_statistics(target: Fields) -> TargetStatistics:
    """Variances and ranges over all frames. The gradient's variance sums its two components'."""
    return TargetStatistics(
        {q: float(np.var(getattr(target, q), axis=_spread_axes(q)).sum()) for q in QUANTITIES},
        {q: float(np.ptp(_picture(target, q))) for q in QUANTITIES},
    )


def true_range_similarity(wanted: np.ndarray, predicted: np.ndarray, data_range: float) -> float:
    """Structural similarity of two pictures as scikit-image computes it."""
    # here: it takes long to import, and names of metrics are wanted everywhere
    from skimage.metrics import structural_similarity

    score = structural_similarity(
        wanted,
        predicted,
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(score)


def evaluate(
    prediction: Fields,
    target: Fields,
    statistics: TargetStatistics,
    kappa: float,
    similarity: Similarity = true_range_similarity,
) -> dict[str, float]:
    """All metrics of a predicted sequence on a grid, by their names in `METRICS`.

    NaN or infinite predictions give NaN or infinite metrics, never an exception.
    """
    variance, data_range = statistics.variance, statistics.data_range
    metrics: dict[str, float] = {}
    # a diverged network overflows here; the result says so, no warning is needed
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for quantity in QUANTITIES:
            error = getattr(prediction, quantity) - getattr(target, quantity)
            mse = float((error**2).mean(axis=_spread_axes(quantity)).sum())
            metrics[f"mse_{quantity}"] = mse
            metrics[f"nmse_{quantity}"] = mse / variance[quantity]
            predicted = _picture(prediction, quantity)
            finite = np.isfinite(predicted).all()
            pairs = zip(_picture(target, quantity), predicted, strict=True)
            scores = (similarity(*pair, data_range[quantity]) for pair in pairs)
            metrics[f"ssim_{quantity}"] = float(np.mean(list(scores))) if finite else math.nan
        residual = prediction.time_derivative - kappa * prediction.laplacian
        metrics["pde_residual"] = float((residual**2).mean()) / variance["time_derivative"]
        peak_ratio = data_range["value"] ** 2 / np.float64(metrics["mse_value"])
        metrics["psnr_value"] = float(10 * np.log10(peak_ratio))
    return metrics


def _spread_axes(quantity: Quantity) -> tuple[int, ...]:
    """Axes to average over; the component axis of the gradient is kept and summed afterwards."""
    return (0, 2, 3) if quantity == "gradient" else (0, 1, 2)


def _picture(fields: Fields, quantity: Quantity) -> np.ndarray:
    """The quantity as one picture a frame [frame, row, column]: the gradient by its magnitude."""
    if quantity == "gradient":
        return np.asarray(np.hypot(fields.gradient[:, 0], fields.gradient[:, 1]))
    return np.asarray(getattr(fields, quantity))
