r"""How well a network reproduces an image sequence and its derivatives.

mse_Q is the mean squared error of quantity Q over all frames (for the gradient, squares summed
over the two components), nmse_Q divides it by the variance of the target: 1 is what predicting
the mean would give. With the value's error :math:`d_{kij}` in frame k, row i, column j, and
:math:`\bar d_k` its mean over the pixels of frame k,

.. math:: \mathrm{psnr\_value} = 10 \log_{10}(2^2 / \mathrm{mse\_value}), \qquad
          \mathrm{mse\_value\_mean\_removed} = \langle (d_{kij} - \bar d_k)^2 \rangle_{kij},
          \qquad \mathrm{pde\_residual} =
              \langle (u_\tau - \kappa \Delta u)^2 \rangle / \mathrm{var}_{u_\tau}

2 is the range of the image, [-1, 1]. nmse_value_mean_removed and psnr_value_mean_removed are those
of the second error. Derivatives know the value only up to a constant, spatial ones up to one for
each frame: trained on them alone, a network is to be judged by these two.

ssim_Q is the structural similarity (Wang et al. 2004: Gaussian window of 1.5 px), averaged over
frames; for the gradient, of its magnitude. The value is mapped from [-1, 1] to [0, 1], with a data
range of 1; the others have the range of each frame of the target, and NaN where one is flat. Runs
of the original protocol have their own similarity on their frames, that of
`inr.targets.published_protocol.PublishedSequence`.
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
    metrics["nmse_value_mean_removed"] = Metric("value MSE / variance, mean removed")
    metrics["psnr_value_mean_removed"] = Metric("value PSNR, mean removed (dB)", True)
    metrics["pde_residual"] = Metric("heat-equation residual / variance")
    return metrics


METRICS = _metrics()  # those that `evaluate` gives, by name

# came after results had been written: files of before lack them, and are read as if they were NaN
ADDED_METRICS = ("nmse_value_mean_removed", "psnr_value_mean_removed")

PEAK = 2.0  # of the PSNR: the range of the image

# (wanted [row, column], predicted, what they show) -> structural similarity
Similarity = Callable[[np.ndarray, np.ndarray, Quantity], float]


def target_variances(target: Fields) -> dict[Quantity, float]:
    """Variance of each quantity over all frames. The gradient's sums its two components'."""
    return {q: float(np.var(getattr(target, q), axis=_spread_axes(q)).sum()) for q in QUANTITIES}


def frame_similarity(wanted: np.ndarray, predicted: np.ndarray, quantity: Quantity) -> float:
    """Structural similarity of two pictures [row, column] as scikit-image computes it.

    The value is mapped from [-1, 1] to [0, 1]; other quantities have the range of ``wanted``.
    """
    # here: it takes long to import, and names of metrics are wanted everywhere
    from skimage.metrics import structural_similarity

    if quantity == "value":
        wanted, predicted, data_range = (wanted + 1) / 2, (predicted + 1) / 2, 1.0
    else:
        data_range = float(np.ptp(wanted))
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
    variance: dict[Quantity, float],
    kappa: float,
    similarity: Similarity = frame_similarity,
) -> dict[str, float]:
    """All metrics of a predicted sequence on a grid, by their names in `METRICS`.

    ``variance`` is that of `target_variances`, ``kappa`` that of the heat equation.
    NaN or infinite predictions give NaN or infinite metrics, never an exception.
    """
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
            scores = (similarity(*pair, quantity) for pair in pairs)
            metrics[f"ssim_{quantity}"] = float(np.mean(list(scores))) if finite else math.nan
        error = prediction.value - target.value
        mse = float(error.var(axis=(1, 2)).mean())  # after each frame's mean is subtracted
        metrics["nmse_value_mean_removed"] = mse / variance["value"]
        metrics["psnr_value"] = _psnr(metrics["mse_value"])
        metrics["psnr_value_mean_removed"] = _psnr(mse)
        residual = prediction.time_derivative - kappa * prediction.laplacian
        metrics["pde_residual"] = float((residual**2).mean()) / variance["time_derivative"]
    return metrics


def _psnr(mse: float) -> float:
    return float(10 * np.log10(PEAK**2 / np.float64(mse)))


def _spread_axes(quantity: Quantity) -> tuple[int, ...]:
    """Axes to average over; the component axis of the gradient is kept and summed afterwards."""
    return (0, 2, 3) if quantity == "gradient" else (0, 1, 2)


def _picture(fields: Fields, quantity: Quantity) -> np.ndarray:
    """The quantity as one picture a frame [frame, row, column]: the gradient by its magnitude."""
    if quantity == "gradient":
        return np.asarray(np.hypot(fields.gradient[:, 0], fields.gradient[:, 1]))
    return np.asarray(getattr(fields, quantity))
