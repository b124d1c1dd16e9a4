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
from collections.abc import Callable, Iterable, Sequence
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
    moments = [_moments(frame) for frame in target.frames()]
    return {quantity: _variance(moments, quantity) for quantity in QUANTITIES}


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
    pairs: Iterable[tuple[Fields, Fields]],
    kappa: float,
    similarity: Similarity = frame_similarity,
) -> dict[str, float]:
    """All metrics of a predicted sequence on a grid, by their names in `METRICS`.

    ``pairs`` are the frames one after the other, prediction and target, each with a first axis of
    1: no more than one of each need be in memory. ``kappa`` is that of the heat equation.
    NaN or infinite predictions give NaN or infinite metrics, never an exception.
    """
    rows, moments = [], []
    # a diverged network overflows here; the result says so, no warning is needed
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for prediction, target in pairs:
            rows.append(_measure_frame(prediction, target, kappa, similarity))
            moments.append(_moments(target))
        metrics = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        variance = {quantity: _variance(moments, quantity) for quantity in QUANTITIES}
        for quantity in QUANTITIES:
            metrics[f"nmse_{quantity}"] = metrics[f"mse_{quantity}"] / variance[quantity]
        without_mean = metrics.pop("mse_value_mean_removed")
        metrics["nmse_value_mean_removed"] = without_mean / variance["value"]
        metrics["psnr_value"] = _psnr(metrics["mse_value"])
        metrics["psnr_value_mean_removed"] = _psnr(without_mean)
        metrics["pde_residual"] /= variance["time_derivative"]
    return metrics


def _measure_frame(
    prediction: Fields, target: Fields, kappa: float, similarity: Similarity
) -> dict[str, float]:
    """What of one frame `evaluate` averages."""
    row: dict[str, float] = {}
    for quantity in QUANTITIES:
        wanted, predicted = (_of_frame(fields, quantity) for fields in (target, prediction))
        error = predicted - wanted
        row[f"mse_{quantity}"] = float((error**2).mean(axis=(1, 2)).sum())
        if quantity == "value":  # after the frame's mean is subtracted
            row["mse_value_mean_removed"] = float(error.var())
        if np.isfinite(predicted).all():
            score = similarity(_picture(wanted), _picture(predicted), quantity)
        else:
            score = math.nan
        row[f"ssim_{quantity}"] = score
    in_time, laplacian = (_of_frame(prediction, q) for q in ("time_derivative", "laplacian"))
    row["pde_residual"] = float(((in_time - kappa * laplacian) ** 2).mean())
    return row


# of one frame: mean and variance of the components of each quantity
_Moments = dict[Quantity, tuple[np.ndarray, np.ndarray]]


def _moments(frame: Fields) -> _Moments:
    arrays = {quantity: _of_frame(frame, quantity) for quantity in QUANTITIES}
    return {q: (array.mean(axis=(1, 2)), array.var(axis=(1, 2))) for q, array in arrays.items()}


def _variance(moments: Sequence[_Moments], quantity: Quantity) -> float:
    """Over all pixels of all frames, which have as many: within the frames and between them."""
    means, variances = map(np.stack, zip(*(each[quantity] for each in moments), strict=True))
    return float((variances.mean(axis=0) + means.var(axis=0)).sum())


def _of_frame(fields: Fields, quantity: Quantity) -> np.ndarray:
    """A quantity of the only frame in float64, [component, row, column]."""
    array = getattr(fields, quantity)[0]
    return np.asarray(array.reshape(-1, *array.shape[-2:]), dtype=np.float64)


def _picture(components: np.ndarray) -> np.ndarray:
    """[row, column]: the gradient by its magnitude."""
    return np.asarray(np.hypot(*components) if len(components) > 1 else components[0])


def _psnr(mse: float) -> float:
    return float(10 * np.log10(PEAK**2 / np.float64(mse)))
