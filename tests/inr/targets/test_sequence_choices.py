"""Frames evenly spaced in log sigma, noisy images, and derivatives by discrete filters."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inr.config import DataConfig
from inr.targets.heat_equation import Diffusion
from inr.targets.image_file import load_image


@given(
    st.floats(0.01, 10),
    st.floats(1.01, 50),
    st.integers(2, 30),
)
def test_log_spaced_frames_multiply_the_blur(start: float, ratio: float, frames: int) -> None:
    data = DataConfig(
        frames=frames, sigma_start=start, sigma_end=start * ratio, frame_spacing="log_sigma"
    )
    times = Diffusion.frame_times(data)
    assert (times[0], times[-1]) == (-1, 1)
    diffusion = Diffusion(np.eye(3), data.sigma_start, data.sigma_end)
    sigmas = np.sqrt(2 * diffusion.diffusion_time(times))
    np.testing.assert_allclose(sigmas[1:] / sigmas[:-1], ratio ** (1 / (frames - 1)), rtol=1e-6)


def test_equation_in_network_time_is_that_of_evenly_spaced_frames() -> None:
    """Spacing chooses moments, it does not bend time."""
    even = DataConfig(size=16, frames=5)
    uneven = even.model_copy(update={"frame_spacing": "log_sigma"})
    one, other = Diffusion.from_config(even), Diffusion.from_config(uneven)
    times = Diffusion.frame_times(uneven)
    assert one.kappa == other.kappa
    np.testing.assert_array_equal(one.on_pixels(times).value, other.on_pixels(times).value)


def test_noise_has_its_deviation_and_is_always_the_same() -> None:
    data = DataConfig(size=128, sigma_start=0, noise=0.25)
    first = np.array([-1.0])
    clean = load_image("camera", 128)

    def added(data: DataConfig) -> np.ndarray:
        return Diffusion.from_config(data).on_pixels(first).value[0] - clean

    found = added(data)
    count = found.size  # standard errors: of the mean s / sqrt(n), of the deviation s / sqrt(2 n)
    assert abs(found.mean()) < 4 * 0.25 / np.sqrt(count)
    assert abs(found.std() - 0.25) < 4 * 0.25 / np.sqrt(2 * count)
    neighbours = (found[:, 1:] * found[:, :-1]).mean() / 0.25**2
    assert abs(neighbours) < 4 / np.sqrt(count)  # white
    assert added(data).tobytes() == found.tobytes()
    assert added(data.model_copy(update={"noise": 0.0})).std() < 1e-12


def test_noise_diffuses_with_the_image() -> None:
    """Held-out points and pixels are of one noisy sequence."""
    data = DataConfig(size=16, frames=3, noise=0.5)
    diffusion, times = Diffusion.from_config(data), Diffusion.frame_times(data)
    on_grid = diffusion.on_grid(*Diffusion.pixel_coordinates((16, 16)), times)
    np.testing.assert_allclose(on_grid.value, diffusion.on_pixels(times).value, atol=1e-12)


def test_discrete_derivatives_of_a_cosine_are_its_own_but_for_known_factors() -> None:
    """cos(f (n + 1/2)), f = pi k / W: mirrored borders make it an eigenfunction of both filters.

    Differences of neighbours two apart are 2 sin(f) times the sine, the stencil is 2 cos(f) - 2
    times the cosine; smoothing by 1/4, 1/2, 1/4 along the other axis is (1 + cos(g)) / 2.
    """
    height, width, k, m = 12, 20, 3, 2
    f, g, h = np.pi * k / width, np.pi * m / height, 2 / width
    along_x, along_y = f * (np.arange(width) + 0.5), g * (np.arange(height) + 0.5)
    image = np.outer(np.cos(along_y), np.cos(along_x))
    exact, discrete = (
        Diffusion(image, 0.5, 2.0, derivatives).on_pixels(np.array([0.3]))
        for derivatives in ("exact", "discrete")
    )
    np.testing.assert_array_equal(discrete.value, exact.value)
    damping = exact.value[0, 0, 0] / image[0, 0]
    smooth_x, smooth_y = (1 + np.cos(f)) / 2, (1 + np.cos(g)) / 2
    d_x = -np.sin(f) / h * smooth_y * damping * np.outer(np.cos(along_y), np.sin(along_x))
    d_y = -np.sin(g) / h * smooth_x * damping * np.outer(np.sin(along_y), np.cos(along_x))
    # the border, mirrored about the edge of its pixels, is no exception
    np.testing.assert_allclose(discrete.gradient[0], [d_x, d_y], atol=1e-12)
    stencil = (2 * np.cos(f) - 2 + 2 * np.cos(g) - 2) / h**2
    np.testing.assert_allclose(discrete.laplacian, stencil * discrete.value, atol=1e-10)
    kappa = Diffusion(image, 0.5, 2.0).kappa
    np.testing.assert_array_equal(discrete.time_derivative, kappa * discrete.laplacian)
    # second order: of these wavelengths the exact derivatives are near
    assert np.abs(discrete.laplacian / exact.laplacian - 1).max() < (f**2 + g**2) / 12


def test_discrete_derivatives_of_a_paraboloid_are_exact_inside() -> None:
    """Filters of polynomials of second degree, in the coordinates of the network."""
    x, y = Diffusion.pixel_coordinates((9, 14))
    image = 3 * x**2 + 2 * x * y[:, None] - y[:, None] ** 2
    found = Diffusion(image, 0.0, 1.0, "discrete").on_pixels(np.array([-1.0]))
    inside = np.s_[1:-1, 1:-1]
    slopes = 6 * x + 2 * y[:, None], 2 * x - 2 * y[:, None]
    for component, slope in zip(found.gradient[0], slopes, strict=True):
        np.testing.assert_allclose(component[inside], slope[inside], atol=1e-10)
    np.testing.assert_allclose(found.laplacian[0][inside], 6 - 2, atol=1e-9)


def test_held_out_fields_stay_exact_beside_discrete_ones() -> None:
    image, times = load_image("camera", 16), np.array([0.1])
    x, y = Diffusion.pixel_coordinates(image.shape)
    exact, discrete = (Diffusion(image, 0.7, 2.0, each) for each in ("exact", "discrete"))
    np.testing.assert_array_equal(
        exact.on_grid(x, y, times).laplacian, discrete.on_grid(x, y, times).laplacian
    )
    assert np.ptp(discrete.on_pixels(times).laplacian - exact.on_pixels(times).laplacian) > 1
