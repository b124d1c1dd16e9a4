"""What synthetic runs measure: the exact diffusion of a photograph, and plausible errors.

The "network" is the exact diffusion (cosine series) plus smooth errors which shrink as training
goes on, so that curves and videos look like real ones.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter
from skimage.data import camera
from skimage.transform import resize

from inr.config import RunConfig
from inr.quantities import QUANTITIES

Frames = dict[str, np.ndarray]  # quantity -> [frame, row, column] or [frame, 2, row, column]


@lru_cache(maxsize=4)
def _photograph(shape: tuple[int, int]) -> np.ndarray:
    return 2 * resize(camera() / 255.0, shape, anti_aliasing=True) - 1


def diffusion(shape: tuple[int, int], sigmas: tuple[float, float], frames: int) -> Frames:
    """The four quantities of a diffusing photograph in network units, times evenly spaced."""
    rows, columns = shape
    pixel = 2 / max(shape)
    s_first, s_last = (sigma**2 / 2 for sigma in sigmas)
    k = np.pi * np.arange(rows)[:, None] / rows
    m = np.pi * np.arange(columns)[None, :] / columns
    spectrum = dctn(_photograph(shape), norm="ortho")
    value = [
        idctn(spectrum * np.exp(-(k**2 + m**2) * s), norm="ortho")
        for s in np.linspace(s_first, s_last, frames)
    ]
    laplacian = [
        idctn(-(k**2 + m**2) * np.exp(-(k**2 + m**2) * s) * spectrum, norm="ortho") / pixel**2
        for s in np.linspace(s_first, s_last, frames)
    ]
    gradient = [(np.gradient(f, pixel, axis=1), np.gradient(f, pixel, axis=0)) for f in value]
    kappa = (s_last - s_first) / 2 * pixel**2
    return {
        "value": np.array(value),
        "gradient": np.array(gradient),
        "laplacian": np.array(laplacian),
        "time_derivative": kappa * np.array(laplacian),
    }


def prediction(target: Frames, error: float, rng: np.random.Generator) -> Frames:
    """The target plus smooth noise whose mean square is ``error`` times the target's variance."""

    def disturb(array: np.ndarray) -> np.ndarray:
        smooth = [0.0] * (array.ndim - 2) + [1.5, 1.5]
        noise = gaussian_filter(rng.standard_normal(array.shape), smooth)
        return array + noise / noise.std() * np.sqrt(error) * array.std()

    return {quantity: disturb(array) for quantity, array in target.items()}


def final_errors(config: RunConfig, rng: np.random.Generator) -> dict[str, float]:
    """A plausible final error / variance of each quantity for ``config``."""
    weights = dict(zip(QUANTITIES, config.training.loss_weights.as_tuple(), strict=True))
    skill = 1.0 if config.model.activation == "sine" else 12.0
    rate = 1 + abs(np.log10(config.training.learning_rate / 3e-4))
    base = dict(zip(QUANTITIES, (0.002, 0.02, 0.2, 0.25), strict=True))
    return {
        q: min(0.98, base[q] * skill * rate * (0.4 if weights[q] else 1.0) * rng.uniform(0.8, 1.2))
        for q in QUANTITIES
    }


def series(config: RunConfig, final: Mapping[str, float], rng: np.random.Generator) -> Frames:
    """Every series of the contract, one row per metric evaluation, first row at step 0."""
    steps = np.arange(0, config.training.steps + 1, config.metrics_every)
    progress = steps / config.training.steps
    decay = np.exp(-6 * progress)
    columns: Frames = {
        "step": steps,
        "seconds": steps * 0.01,
        "lr": config.training.learning_rate
        * (0.01**progress if config.training.schedule == "exponential" else np.ones(len(steps))),
    }
    scale = {"value": 0.3, "gradient": 9.0, "laplacian": 9e3, "time_derivative": 2.0}
    for quantity in QUANTITIES:
        floor = final[quantity]
        jitter = np.exp(0.08 * rng.standard_normal(len(steps)))
        error = (floor + (1.1 - floor) * decay) * jitter
        columns[f"nmse_{quantity}"] = error
        columns[f"mse_{quantity}"] = error * scale[quantity]
        columns[f"ssim_{quantity}"] = np.clip(1 - np.sqrt(error), -1, 1)
    columns["psnr_value"] = 10 * np.log10(4 / columns["mse_value"])
    columns["nmse_value_mean_removed"] = 0.9 * columns["nmse_value"]
    columns["psnr_value_mean_removed"] = columns["psnr_value"] - 10 * np.log10(0.9)
    columns["pde_residual"] = (
        0.5 * columns["nmse_laplacian"] + 0.5 * columns["nmse_time_derivative"]
    )
    weights = config.training.loss_weights.as_tuple()
    columns["loss"] = sum(
        (w * columns[f"nmse_{q}"] for w, q in zip(weights, QUANTITIES, strict=True)),
        start=np.zeros(len(steps)),
    )
    return columns
