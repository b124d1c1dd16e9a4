r"""The published study's sequence, targets and similarity, as its code computed them.

An 8-bit image is diffused by explicit Euler steps of gamma = 1/11 px^2, in grey levels 0..255.
Frame k belongs to diffusion time s = k gamma, which is fed to the network as it is. Pixel centres
lie on ``linspace(-1, 1, N)``, so a pixel is h = 2 / (N - 1); image and sequence are square.

Targets, of the frames F as stored (uint8) and of their values V = F / 127.5 - 1 in [-1, 1]:

===============  ==================================================  =========================
value            V                                                   1
gradient         3x3 Sobel of V: 8 times the derivative per pixel    1/(8 px)
Laplacian        5-point stencil of V                                1/px^2
time derivative  5-point stencil of F, wrapped modulo 256 to uint8   grey levels/px^2, mod 256
===============  ==================================================  =========================

The network's own derivatives are in coordinates: h times larger scales, 4 / h^2 and so on. That
targets and network disagree about units, and that negative time derivatives wrap, are defects of
the study; they are kept here on purpose. Borders of all stencils reflect.

Exact: `PublishedSequence.on_grid` is the diffusion itself in these coordinates, what the study
meant to learn.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.ndimage import gaussian_filter, laplace

from inr.config import DataConfig
from inr.errors import UserError
from inr.quantities import Fields, Quantity
from inr.targets.heat_equation import Columns, Diffusion, Image, Rows, Times, filtered
from inr.targets.image_file import load_image

Levels = UInt8[np.ndarray, "row column"]
Frames = UInt8[np.ndarray, "frame row column"]

STEP = 1 / 11  # px^2, diffusion time between two frames
_HALF_RANGE = 127.5  # grey levels in one unit of value

_SSIM_SIGMA, _SSIM_RADIUS = 1.5, 5  # px; a window of 11 x 11
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2  # for a data range of 1, although values span 2


def _stretch(shape: tuple[int, int]) -> float:
    """These coordinates over those of `inr.targets.heat_equation`: N / (N - 1)."""
    return shape[0] / (shape[0] - 1)


def to_grey_levels(image: Image) -> Levels:
    """Values in [-1, 1] as the nearest of 256 grey levels."""
    return np.rint((image + 1) * _HALF_RANGE).astype(np.uint8)


def to_values(levels: Levels | Frames) -> Float[np.ndarray, "*any"]:
    """Grey levels as values in [-1, 1]."""
    return levels / _HALF_RANGE - 1


def euler_frames(levels: Levels, frames: int) -> Frames:
    """Frames of the diffusion of an image by explicit Euler steps, each truncated to uint8.

    The state stays in floating point from step to step; only what is stored is truncated (towards
    0, then modulo 256 in the rare case that the faulty border below leaves 0..255).

    The far border is faulty, as published. Differences to the next row live in one array whose
    last row nobody sets: it should stay 0, no flux. The divergence is written into the same array,
    so the last row keeps -(flux into it) of this step, and in the next step that stale flux is
    taken for the flux out of the image. The first step is right; after it the last row's flux is
    the sum of all fluxes so far. Columns likewise.
    """
    state = levels.astype(np.float64)
    down, right = np.zeros_like(state), np.zeros_like(state)
    stored = [levels]
    for _ in range(frames - 1):
        down[:-1] = np.diff(state, axis=0)
        right[:, :-1] = np.diff(state, axis=1)
        down[1:] -= down[:-1].copy()
        right[:, 1:] -= right[:, :-1].copy()
        state += STEP * (down + right)
        # by way of int64: what a negative float becomes as uint8 depends on the processor
        stored.append(state.astype(np.int64).astype(np.uint8))
    return np.stack(stored)


def targets(levels: Frames) -> Fields:
    """What the network was trained on, at the pixels, in the units of the table above."""
    value, whole = to_values(levels), levels.astype(np.int64)
    in_time = np.stack([laplace(frame) for frame in whole])
    return Fields(value, *filtered(value), wrap(in_time))


def wrap(numbers: Int[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Whole numbers as uint8 holds them, modulo 256: -1 becomes 255."""
    return np.asarray(np.mod(numbers, 256), dtype=np.float64)


class PublishedSequence:
    """The sequence of one image: what the study trained on, and the diffusion that it meant.

    Its ``kappa`` is that of u_s = kappa (u_xx + u_yy) in these coordinates: h^2, since s is in
    px^2. ``levels`` is the image.
    """

    def __init__(self, levels: UInt8[np.ndarray, "side side"], frames: int) -> None:
        self.levels = levels
        self.shape = (len(levels), len(levels))
        self.kappa = (2 / (len(levels) - 1)) ** 2
        sigma_end = float(np.sqrt(2 * STEP * (frames - 1)))
        self._exact = Diffusion(to_values(levels), sigma_start=0.0, sigma_end=sigma_end)

    @classmethod
    def from_config(cls, data: DataConfig) -> "PublishedSequence":
        """The sequence of a configuration. Raises `UserError` if its image cannot be used."""
        levels = to_grey_levels(load_image(data.image, data.size))
        height, width = levels.shape
        if height != width:
            raise UserError(
                f"{data.image}: {width} x {height} px, but training.protocol original needs a "
                "square image. Crop it, or set training.protocol to corrected"
            )
        return cls(levels, data.frames)

    @staticmethod
    def frame_times(data: DataConfig) -> Times:
        """Diffusion times of the frames, px^2: k / 11."""
        return np.arange(data.frames) * STEP

    @staticmethod
    def pixel_coordinates(shape: tuple[int, int], scale: int = 1) -> tuple[Columns, Rows]:
        """Coordinates x of the columns and y of the rows: ``linspace(-1, 1, N)`` at scale 1.

        ``scale`` is samples per pixel and axis. Those of a finer grid lie inside the same pixels,
        whose outer edges are at -N / (N - 1) and N / (N - 1).
        """
        stretch = _stretch(shape)
        x, y = Diffusion.pixel_coordinates(shape, scale)
        return stretch * x, stretch * y

    @staticmethod
    def similarity(wanted: Image, predicted: Image, quantity: Quantity) -> float:
        r"""Structural similarity of two pictures as the study had it.

        .. math:: \frac{(2 \mu_a \mu_b + C_1)(2 \sigma_{ab} + C_2)}
                       {(\mu_a^2 + \mu_b^2 + C_1)(\sigma_a^2 + \sigma_b^2 + C_2)}

        averaged over all pixels, with Gaussian means of 1.5 px in a window of 11 x 11 and zeros
        beyond the borders. C1 = 0.01^2 and C2 = 0.03^2 whatever ``quantity`` is.
        """
        mean = partial(gaussian_filter, sigma=_SSIM_SIGMA, mode="constant", radius=_SSIM_RADIUS)
        mean_a, mean_b = mean(wanted), mean(predicted)
        variance_a = mean(wanted**2) - mean_a**2
        variance_b = mean(predicted**2) - mean_b**2
        covariance = mean(wanted * predicted) - mean_a * mean_b
        numerator = (2 * mean_a * mean_b + _SSIM_C1) * (2 * covariance + _SSIM_C2)
        denominator = (mean_a**2 + mean_b**2 + _SSIM_C1) * (variance_a + variance_b + _SSIM_C2)
        return float((numerator / denominator).mean())

    def on_pixels(self, times: Times) -> Fields:
        """What the study wanted at the pixels of the frames; ``times`` are `frame_times`."""
        return targets(euler_frames(self.levels, len(times)))

    def pixel_frames(self, times: Times) -> Iterator[Fields]:
        """`on_pixels`, one frame after the other."""
        return (targets(frame[None]) for frame in euler_frames(self.levels, len(times)))

    def on_grid(self, x: Columns, y: Rows, times: Times) -> Fields:
        """Exact fields: those of `inr.targets.heat_equation.Diffusion` by the chain rule.

        With x' = x / stretch its coordinate, u_x = u_x' / stretch, the Laplacian is divided by
        stretch^2, and u_s = kappa times that.
        """
        stretch = _stretch(self.shape)
        end = float(self._exact.diffusion_time(1.0))
        found = self._exact.on_grid(x / stretch, y / stretch, 2 * times / end - 1)
        laplacian = found.laplacian / stretch**2
        return Fields(found.value, found.gradient / stretch, laplacian, self.kappa * laplacian)
