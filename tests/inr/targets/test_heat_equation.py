"""The exact targets, against the series written out, a Gaussian filter, and the equation itself."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.data import camera

from inr.config import DataConfig
from inr.errors import UserError
from inr.metrics import evaluate
from inr.quantities import Fields
from inr.targets.heat_equation import Diffusion
from inr.targets.image_file import load_image

SHAPES = [
    pytest.param((12, 12), id="square"),
    pytest.param((9, 16), id="wide"),
    pytest.param((17, 5), id="tall-odd"),
    pytest.param((2, 3), id="tiny"),
]


def noise(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def series(diffusion: Diffusion, image: np.ndarray, x: float, y: float, time: float) -> np.ndarray:
    """Value, d/dx, d/dy, Laplacian, d/dtime at one point, term by term from the definition.

    Coefficients come from explicit cosine sums and not from a transform.
    """
    height, width = image.shape
    h = 2 / max(height, width)
    s0 = diffusion.diffusion_time(-1.0)
    s1 = diffusion.diffusion_time(1.0)
    s = s0 + (time + 1) / 2 * (s1 - s0)
    # distances from the top left border in px
    column, row = x / h + width / 2, y / h + height / 2
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    total = np.zeros(5)
    for k in range(width):
        for m in range(height):
            fx, fy = np.pi * k / width, np.pi * m / height
            norm = (1 if k == 0 else 2) / width * (1 if m == 0 else 2) / height
            c = norm * np.sum(image * np.outer(np.cos(fy * rows), np.cos(fx * columns)))
            rate = fx**2 + fy**2
            damped = c * np.exp(-rate * s)
            u = damped * np.cos(fx * column) * np.cos(fy * row)
            total += [
                u,
                -damped * fx / h * np.sin(fx * column) * np.cos(fy * row),
                -damped * fy / h * np.cos(fx * column) * np.sin(fy * row),
                -u * rate / h**2,
                -u * rate * (s1 - s0) / 2,
            ]
    return total


def as_columns(fields: Fields, *index: int) -> np.ndarray:
    """The five numbers of ``series`` out of fields on a grid."""
    frame, row, column = index
    return np.array(
        [
            fields.value[index],
            *fields.gradient[frame, :, row, column],
            fields.laplacian[index],
            fields.time_derivative[index],
        ]
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_fields_on_pixels_agree_with_the_series(shape: tuple[int, int]) -> None:
    image = noise(shape)
    diffusion = Diffusion(image, 0.3, 2.0)
    times = Diffusion.frame_times(DataConfig(frames=3))
    fields = diffusion.on_pixels(times)
    x, y = Diffusion.pixel_coordinates(shape)
    for frame, time in enumerate(times):
        for row, column in [(0, 0), (shape[0] - 1, 1), (1, shape[1] - 1), (1, 1)]:
            expected = series(diffusion, image, x[column], y[row], time)
            actual = as_columns(fields, frame, row, column)
            np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=25)
@given(
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
    st.tuples(*[st.floats(-1, 1) for _ in range(3)]),
    st.integers(0, 1000),
)
def test_fields_at_any_point_agree_with_the_series(
    shape: tuple[int, int], point: tuple[float, float, float], seed: int
) -> None:
    image = noise(shape, seed)
    diffusion = Diffusion(image, 0.5, 1.5)
    fields = diffusion.on_grid(*(np.array([coordinate]) for coordinate in point))
    actual = [fields.value, fields.gradient, fields.laplacian, fields.time_derivative]
    np.testing.assert_allclose(
        np.concatenate([each.ravel() for each in actual]),
        series(diffusion, image, *point),
        rtol=1e-10,
        atol=1e-10,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_and_grid_are_the_same_function(shape: tuple[int, int]) -> None:
    diffusion = Diffusion(noise(shape), 0.5, 3.0)
    times = Diffusion.frame_times(DataConfig(frames=2))
    x, y = Diffusion.pixel_coordinates(shape)
    pixels, grid = diffusion.on_pixels(times), diffusion.on_grid(x, y, times)
    for name in ("value", "laplacian", "time_derivative"):
        expected = getattr(pixels, name)
        np.testing.assert_allclose(getattr(grid, name), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(grid.gradient, pixels.gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sigma", [2.0, 2.5, 4.0])
def test_value_agrees_with_a_reflecting_gaussian_filter(sigma: float) -> None:
    image = load_image("camera", 64)
    blurred = Diffusion(image, 0.7, sigma).on_pixels(np.array([1.0])).value[0]
    expected = gaussian_filter(image, sigma, mode="reflect", truncate=8.0)
    assert np.abs(blurred - expected).max() < 1e-6


def test_first_frame_without_blur_is_the_image() -> None:
    image = noise((11, 14))
    fields = Diffusion(image, 0.0, 1.0).on_pixels(np.array([-1.0]))
    np.testing.assert_allclose(fields.value[0], image, atol=1e-13)


def test_heat_equation_holds_with_an_independent_time_derivative() -> None:
    """The change of the value over time, by Richardson extrapolation, against kappa Laplacian."""
    diffusion = Diffusion(load_image("camera", 32), 0.7, 2.0)
    step = 1e-3

    def slope(h: float) -> np.ndarray:
        after, before = diffusion.on_pixels(np.array([h, -h])).value
        return (after - before) / (2 * h)

    d1, d2, d3 = slope(step), slope(step / 2), slope(step / 4)
    fourth_order = [(4 * d2 - d1) / 3, (4 * d3 - d2) / 3]
    numeric = (16 * fourth_order[1] - fourth_order[0]) / 15
    fields = diffusion.on_pixels(np.array([0.0]))
    assert np.abs(fields.time_derivative[0] - numeric).max() < 1e-10
    residual = numeric - diffusion.kappa * fields.laplacian[0]
    assert np.abs(residual).max() < 1e-10


def test_gradient_and_laplacian_agree_with_differences_of_the_value() -> None:
    diffusion = Diffusion(load_image("camera", 32), 1.5, 4.0)
    step = 1e-3
    x, y = Diffusion.pixel_coordinates((32, 32))

    def value(dx: float, dy: float) -> np.ndarray:
        return diffusion.on_grid(x[4:9] + dx, y[6:12] + dy, np.array([0.2])).value[0]

    fields = diffusion.on_grid(x[4:9], y[6:12], np.array([0.2]))
    along_x = (value(step, 0) - value(-step, 0)) / (2 * step)
    along_y = (value(0, step) - value(0, -step)) / (2 * step)
    np.testing.assert_allclose(fields.gradient[0], [along_x, along_y], atol=2e-3)
    around = value(step, 0) + value(-step, 0) + value(0, step) + value(0, -step)
    np.testing.assert_allclose(fields.laplacian[0], (around - 4 * value(0, 0)) / step**2, atol=0.05)


def test_mean_is_conserved_and_contrast_falls() -> None:
    fields = Diffusion(camera()[::16, ::8] / 255, 0.5, 6.0).on_pixels(
        Diffusion.frame_times(DataConfig(frames=6))
    )
    means, spreads = fields.value.mean(axis=(1, 2)), fields.value.std(axis=(1, 2))
    np.testing.assert_allclose(means, means[0], rtol=1e-12)
    assert (np.diff(spreads) < 0).all()


def test_longer_side_spans_minus_one_to_one_and_pixels_are_square() -> None:
    x, y = Diffusion.pixel_coordinates((10, 40))
    assert x[0] == pytest.approx(-1 + 1 / 40)
    assert x[-1] == pytest.approx(1 - 1 / 40)
    assert np.diff(y) == pytest.approx(np.diff(x)[0])
    assert y.mean() == pytest.approx(0)
    finer_x, _ = Diffusion.pixel_coordinates((10, 40), scale=4)
    assert finer_x.reshape(40, 4).mean(axis=1) == pytest.approx(x)


def test_kappa_links_network_time_to_the_blur() -> None:
    diffusion = Diffusion.from_config(DataConfig(size=32, sigma_start=1.0, sigma_end=3.0))
    assert diffusion.kappa == pytest.approx((4.5 - 0.5) / 2 * (2 / 32) ** 2)
    assert np.sqrt(2 * diffusion.diffusion_time(np.array([-1.0, 1.0]))) == pytest.approx([1, 3])


@pytest.mark.parametrize("sigmas", [(0.7, 4.0), (3.0, 20.0), (0.0, 0.5)])
def test_spread_is_that_of_the_frames(sigmas: tuple[float, float]) -> None:
    image = noise((14, 33))
    diffusion, times = Diffusion(image, *sigmas), Diffusion.frame_times(DataConfig(frames=7))
    fields = diffusion.on_pixels(times)
    expected = fields.value.std() / image.std(), fields.time_derivative.std()
    assert diffusion.spread(times) == pytest.approx(expected, rel=1e-9)
    assert fields.laplacian.std() > fields.value.std()
    assert fields.gradient.std() > fields.value.std()


def picture(kind: str, side: int, folder: Path) -> str:
    if kind == "camera":
        return kind
    rows, columns = np.indices((side, side))
    path = folder / f"{kind}.png"
    Image.fromarray((((rows + columns) % 2) * 255).astype(np.uint8)).save(path)
    return str(path)


DEGENERATE = [
    ("camera", 64, {"sigma_start": 400.0, "sigma_end": 401.0}, "nothing is left .*this blur"),
    ("camera", 64, {"sigma_start": 64.0, "sigma_end": 65.0}, "nothing is left"),
    ("camera", 12, {"sigma_start": 30.0, "sigma_end": 40.0}, "nothing is left"),
    *[("checkerboard", side, {}, "nothing is left") for side in (12, 16, 63, 64, 256)],
    ("checkerboard", 64, {"frames": 2}, "nothing is left"),
    ("camera", 64, {"sigma_end": 0.7 + 1e-12}, "too close together"),
]


@pytest.mark.parametrize(("kind", "side", "data", "message"), DEGENERATE)
def test_a_blur_that_leaves_nothing_is_refused(
    kind: str, side: int, data: dict[str, float], message: str, tmp_path: Path
) -> None:
    image = picture(kind, side, tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        Diffusion.from_config(DataConfig(image=image, size=side, **data))
    assert str(caught.value).startswith(f"{image}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "data"),
    [(12, {}), (64, {"sigma_start": 20.0, "sigma_end": 30.0}), (64, {"sigma_end": 1e6})],
)
def test_a_heavy_blur_that_leaves_something_is_not(size: int, data: dict[str, float]) -> None:
    Diffusion.from_config(DataConfig(size=size, **data))


@pytest.mark.parametrize("axis", [0, 1])
def test_contrast_along_one_direction_is_enough(axis: int, tmp_path: Path) -> None:
    path = tmp_path / "ramp.png"
    Image.fromarray((np.indices((64, 64))[axis] * 4).astype(np.uint8)).save(path)
    data = DataConfig(image=str(path), size=64)
    fields = Diffusion.from_config(data).on_pixels(Diffusion.frame_times(DataConfig(frames=2)))
    pairs = ((frame, frame) for frame in fields.frames())
    metrics = evaluate(pairs, kappa=1.0)
    assert metrics["nmse_gradient"] == 0
