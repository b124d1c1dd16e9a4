r"""Exact solution of the heat equation on an image, with all its derivatives, in float64.

An H x W image with insulated borders has the cosine series (orthonormal DCT-II coefficients c)

.. math:: u(x, y, s) = \sum_{kl} c_{kl} e^{-\lambda_{kl} s} \phi_k(x) \phi_l(y), \qquad
          \lambda_{kl} = (\pi k / W)^2 + (\pi l / H)^2

with s in px^2 and :math:`\phi_k` the cosines of the DCT. A Gaussian blur of sigma px is
s = sigma^2 / 2. Coordinates: one pixel is h = 2 / max(H, W) on both axes, x runs along columns,
y along rows, the image is centred at 0, so the longer side spans [-1, 1] with pixel centres
inside. Network time tau in [-1, 1] is linear in s from sigma_start^2 / 2 to sigma_end^2 / 2, hence

.. math:: u_\tau = \kappa (u_{xx} + u_{yy}), \qquad \kappa = (s_1 - s_0) / 2 \cdot h^2 .
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.fft import dctn, idct, idctn, idst
from scipy.ndimage import laplace, sobel

from inr.config import DataConfig, Derivatives
from inr.errors import UserError
from inr.metrics import frame_similarity
from inr.quantities import Fields
from inr.targets.image_file import load_image

Columns = Float[np.ndarray, " column"]
Rows = Float[np.ndarray, " row"]
Times = Float[np.ndarray, " frame"]
Image = Float[np.ndarray, "row column"]
Frames = Float[np.ndarray, "frame row column"]

# standard deviation over the frames / that of the image. A checkerboard of single pixels keeps
# less than this at the default blur, in its corners
_LEAST_CONTRAST = 1 / 40
_LEAST_RATE = 1e-6  # standard deviation of the time derivative: float32 rounds 1 by 6e-8
_NOISE_SEED = 0  # one image, size and noise is always the same picture


class Diffusion:
    """The exact diffusion of one image from no blur. Its ``kappa`` is that of the equation.

    ``sigma_start`` and ``sigma_end`` are the Gaussian blurs at network times -1 and +1, px.
    ``derivatives`` says which are wanted at the pixels of the frames; those on other grids are
    exact.

    Example:
        >>> diffusion = Diffusion(load_image("camera", 64), sigma_start=0.7, sigma_end=4.0)
        >>> diffusion.on_pixels(diffusion.frame_times(DataConfig())).value.shape
        (10, 64, 64)
    """

    similarity = staticmethod(frame_similarity)

    @staticmethod
    def frame_times(data: DataConfig) -> Times:
        """Network times of the frames, from -1 to 1: evenly spaced, or their log sigma is."""
        if data.frame_spacing == "time":
            return np.linspace(-1.0, 1.0, data.frames)
        s = np.geomspace(data.sigma_start, data.sigma_end, data.frames) ** 2 / 2
        return np.asarray((s - s[0]) / (s[-1] - s[0]) * 2 - 1)

    @staticmethod
    def pixel_coordinates(shape: tuple[int, int], scale: int = 1) -> tuple[Columns, Rows]:
        """Coordinates x of the columns and y of the rows of the pixel centres of an (H, W) image.

        ``scale`` is samples per pixel and axis: 4 gives the centres of a grid four times as fine.
        """
        h = 2 / max(shape)

        def centres(count: int) -> np.ndarray:
            return (np.arange(count * scale) + 0.5) * (h / scale) - count * h / 2

        height, width = shape
        return centres(width), centres(height)

    def __init__(
        self,
        image: Image,
        sigma_start: float,
        sigma_end: float,
        derivatives: Derivatives = "exact",
    ) -> None:
        image = np.asarray(image, dtype=np.float64)
        self._derivatives = derivatives
        height, width = image.shape
        self.shape = (height, width)
        self.pixel_size = 2 / max(self.shape)  # h, in network coordinates
        self._coefficients = dctn(image, type=2, norm="ortho")
        # angular frequencies per px; separable, so exp(-lambda s) is a product of two factors
        self._frequency_x = np.pi * np.arange(width) / width
        self._frequency_y = np.pi * np.arange(height) / height
        self._s_start, self._s_end = sigma_start**2 / 2, sigma_end**2 / 2
        self.kappa = (self._s_end - self._s_start) / 2 * self.pixel_size**2

    @classmethod
    def from_config(cls, data: DataConfig) -> "Diffusion":
        """The diffusion that a configuration describes.

        Raises `UserError` for a bad image, or if nothing of it is left to learn at this blur: if
        the variances, which errors are divided by, are next to nothing.
        """
        image = load_image(data.image, data.size)
        image = image + np.random.default_rng(_NOISE_SEED).normal(0, data.noise, image.shape)
        diffusion = cls(image, data.sigma_start, data.sigma_end, data.derivatives)
        contrast, rate = diffusion.spread(cls.frame_times(data))
        name = data.image if data.image.isprintable() else ascii(data.image)
        blur = f"data.sigma_start {data.sigma_start:g} and data.sigma_end {data.sigma_end:g} px"
        if contrast < _LEAST_CONTRAST:
            raise UserError(
                f"{name}: nothing is left of the image at this blur: {blur} keep {contrast:.2g} of "
                f"its contrast at data.size {data.size}, at least {_LEAST_CONTRAST:g} is needed. "
                "Lower data.sigma_start, or give an image with larger structures"
            )
        if rate < _LEAST_RATE:
            raise UserError(
                f"{name}: {blur} are too close together: the time derivative varies by {rate:.2g}, "
                f"float32 needs at least {_LEAST_RATE:g}. Raise data.sigma_end"
            )
        return diffusion

    def spread(self, times: Times) -> tuple[float, float]:
        """Standard deviations over all pixels of the frames, from the series alone.

        Of the value, relative to the image's own, and of the time derivative. Those of the
        gradient and the Laplacian are larger than the value's.
        """
        energy = self._coefficients**2
        energy[0, 0] = 0
        rates = self._frequency_y[:, None] ** 2 + self._frequency_x**2
        left = np.zeros_like(energy)
        for s in self.diffusion_time(times):  # frame by frame: memory of one
            left += np.exp(-2 * rates * s)
        left *= energy / len(times)
        contrast = np.sqrt(left.sum() / energy.sum())
        rate = self.kappa / self.pixel_size**2 * np.sqrt((left * rates**2).mean())
        return float(contrast), float(rate)

    def diffusion_time(self, time: np.ndarray | float) -> np.ndarray:
        """Diffusion time s (px^2) at network time ``time``."""
        fraction = (np.asarray(time) + 1) / 2
        return np.asarray(self._s_start + fraction * (self._s_end - self._s_start))

    def on_pixels(self, times: Times) -> Fields:
        r"""Fields at the pixel centres, by fast cosine and sine transforms.

        The value is exact. Discrete derivatives are those of `filtered`, in network coordinates,
        and :math:`u_\tau = \kappa` times that Laplacian.
        """
        h = self.pixel_size
        kx, ky = self._frequency_x / h, self._frequency_y[:, None] / h
        decay_x = np.exp(-np.multiply.outer(self.diffusion_time(times), self._frequency_x**2))
        decay_y = np.exp(-np.multiply.outer(self.diffusion_time(times), self._frequency_y**2))
        spectrum = self._coefficients * decay_y[:, :, None] * decay_x[:, None, :]
        value = _cosines(spectrum)
        if self._derivatives == "discrete":
            gradient, laplacian = filtered(value)
            gradient, laplacian = gradient / (8 * h), laplacian / h**2
        else:
            laplacian = _cosines(-(kx**2 + ky**2) * spectrum)
            gradient = np.stack(
                [
                    idct(_sines(-kx * spectrum, axis=-1), type=2, norm="ortho", axis=-2),
                    idct(_sines(-ky * spectrum, axis=-2), type=2, norm="ortho", axis=-1),
                ],
                axis=1,
            )
        return Fields(value, gradient, laplacian, self.kappa * laplacian)

    def pixel_frames(self, times: Times) -> Iterator[Fields]:
        """`on_pixels`, one frame after the other."""
        return (self.on_pixels(times[place : place + 1]) for place in range(len(times)))

    def on_grid(self, x: Columns, y: Rows, times: Times) -> Fields:
        """Fields on any rectangular grid at any times: two small matrix products a frame."""
        frames = []
        for s in self.diffusion_time(times):
            along_x = self._basis(x, self._frequency_x, s)
            along_y = self._basis(y, self._frequency_y, s)
            # by the orders of the derivatives along x and y
            u = {
                (i, j): along_y[j] @ self._coefficients @ along_x[i].T
                for i, j in ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2))
            }
            frames.append((u[0, 0], np.stack([u[1, 0], u[0, 1]]), u[2, 0] + u[0, 2]))
        value, gradient, laplacian = (np.stack(parts) for parts in zip(*frames, strict=True))
        return Fields(value, gradient, laplacian, self.kappa * laplacian)

    def _basis(
        self, position: np.ndarray, frequency: np.ndarray, s: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Damped cosines along one axis and their first two derivatives, each [position, mode]."""
        count = len(frequency)
        norm = np.sqrt(np.where(np.arange(count), 2, 1) / count)
        k = frequency / self.pixel_size
        # distance from the border, in coordinates: pixel n has its centre at (n + 1/2) h
        phase = np.multiply.outer(position + count * self.pixel_size / 2, k)
        amplitude = norm * np.exp(-(frequency**2) * s)
        cosine = amplitude * np.cos(phase)
        return cosine, -k * amplitude * np.sin(phase), -(k**2) * cosine


def filtered(frames: Frames) -> tuple[Float[np.ndarray, "frame 2 row column"], Frames]:
    """3x3 Sobel filter along x and y, and 5-point stencil, of each frame, with mirrored borders.

    8 times the derivatives per px, and the Laplacian per px^2.
    """
    # frame by frame: neither filter may reach across frames
    gradient = np.stack([[sobel(frame, axis=axis) for axis in (1, 0)] for frame in frames])
    return gradient, np.stack([laplace(frame) for frame in frames])


def _cosines(spectrum: np.ndarray) -> np.ndarray:
    """Sum of orthonormal DCT-II cosines over the last two axes."""
    return np.asarray(idctn(spectrum, type=2, norm="ortho", axes=(-2, -1)))


def _sines(spectrum: np.ndarray, axis: int) -> np.ndarray:
    """Sum of the matching sines along ``axis``: mode k of the cosines is mode k - 1 of a DST-II."""
    shifted = np.roll(spectrum, -1, axis=axis)
    # what np.roll carried round is mode 0, whose sine is 0
    np.moveaxis(shifted, axis, -1)[..., -1] = 0
    return np.asarray(idst(shifted, type=2, norm="ortho", axis=axis))
