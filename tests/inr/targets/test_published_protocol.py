"""The published study's sequence, targets and similarity, against their description."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import laplace

from inr.config import DataConfig
from inr.errors import UserError
from inr.quantities import QUANTITIES
from inr.targets import published_protocol
from inr.targets.image_file import load_image
from inr.targets.published_protocol import PublishedSequence


def raster(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, dtype=np.uint8)


images = arrays(np.uint8, st.tuples(st.integers(3, 7), st.integers(3, 7)))


@pytest.mark.parametrize("turned", [False, True], ids=["rows", "columns"])
def test_euler_steps_by_hand(turned: bool) -> None:
    """Nothing flows out of the near border; out of the far one flows what is stale."""
    first = np.repeat(raster([[0], [100], [230]]), 3, axis=1)
    frames = published_protocol.euler_frames(first.T if turned else first, 3)
    # step 1, fluxes 100 and 130: 0 + 100/11, 100 + 30/11, 230 - 130/11
    # step 2, fluxes 93.64 and 115.45: 9.09 + 93.64/11, 102.73 + 21.82/11, and at the far border
    # 218.18 - (115.45 + 130)/11, where 218.18 - 115.45/11 = 207.7 would be right
    expected = [[0, 100, 230], [9, 102, 218], [17, 104, 195]]
    for frame, numbers in zip(frames, expected, strict=True):
        shown = frame.T if turned else frame
        np.testing.assert_array_equal(shown, np.repeat(np.array(numbers)[:, None], 3, axis=1))


@settings(max_examples=50)
@given(image=images)
def test_away_from_the_far_border_the_steps_are_those_of_the_heat_equation(
    image: np.ndarray,
) -> None:
    count = 4
    frames = published_protocol.euler_frames(image, count)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames[0], image)
    exact = image.astype(np.int64)  # 11^k times frame k, without rounding
    for k in range(1, count):
        exact = 11 * exact + laplace(exact)
        whole, rest = np.divmod(exact, 11**k)
        # the first step is right everywhere; then the fault travels a pixel a step
        good = np.s_[:, :] if k == 1 else np.s_[: -(k - 1), : -(k - 1)]
        difference = whole[good] - frames[k][good]
        # a state that is a whole number may lie a rounding error below it
        assert ((difference == 0) | ((difference == 1) & (rest[good] == 0))).all()


@settings(max_examples=20)
@given(level=st.integers(0, 255), frames=st.integers(2, 40))
def test_a_flat_image_stays_flat(level: int, frames: int) -> None:
    found = published_protocol.euler_frames(np.full((5, 6), level, np.uint8), frames)
    assert found.shape == (frames, 5, 6)
    assert (found == level).all()


def test_gradient_target_is_eight_times_the_derivative_per_pixel() -> None:
    row, column = np.mgrid[:12, :14]
    found = published_protocol.targets((5 * column + 3 * row).astype(np.uint8)[None])
    inside = np.s_[0, :, 1:-1, 1:-1]
    np.testing.assert_allclose(found.gradient[inside][0], 8 * 5 / 127.5, rtol=1e-12)
    np.testing.assert_allclose(found.gradient[inside][1], 8 * 3 / 127.5, rtol=1e-12)


@pytest.mark.parametrize(("sign", "wrapped"), [(1, 4), (-1, 252)])
def test_second_derivatives_of_a_parabola(sign: int, wrapped: int) -> None:
    row, column = np.mgrid[:12, :12]
    parabola = column**2 + row**2  # at most 242
    levels = (parabola if sign > 0 else 255 - parabola).astype(np.uint8)[None]
    found = published_protocol.targets(levels)
    inside = np.s_[0, 1:-1, 1:-1]
    np.testing.assert_allclose(found.laplacian[inside], sign * 4 / 127.5, rtol=1e-11)
    assert (found.time_derivative[inside] == wrapped).all()


def test_frames_do_not_mix_in_the_targets() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 6, 5), dtype=np.uint8)
    together = published_protocol.targets(frames)
    for number, frame in enumerate(frames):
        alone = published_protocol.targets(frame[None])
        for quantity in QUANTITIES:
            np.testing.assert_array_equal(
                getattr(together, quantity)[number], getattr(alone, quantity)[0]
            )


def test_time_derivative_wraps_as_uint8_does() -> None:
    given = np.array([-349, -256, -255, -1, 0, 1, 255, 256, 285])
    np.testing.assert_array_equal(
        published_protocol.wrap(given), [163, 0, 1, 255, 0, 1, 255, 0, 29]
    )
    spot = np.zeros((5, 5), np.uint8)
    spot[2, 2] = 200
    found = published_protocol.targets(spot[None]).time_derivative[0]
    assert (found[2, 2], found[2, 1], found[0, 0]) == (1024 - 800, 200, 0)


@given(image=images)
def test_wrapped_target_and_true_derivative_differ_by_multiples_of_256(image: np.ndarray) -> None:
    found = published_protocol.targets(image[None]).time_derivative[0]
    assert ((found >= 0) & (found <= 255)).all()
    assert ((found - laplace(image.astype(np.int64))) % 256 == 0).all()


def test_the_built_in_photograph_shows_the_published_defect() -> None:
    """Published for another photograph: 44 % negative, variance 1.0e3, mean square 2.6e4."""
    levels = published_protocol.to_grey_levels(load_image("camera", 256))
    true = laplace(levels.astype(np.int64))
    used = published_protocol.targets(levels[None]).time_derivative
    assert 1 / 3 < (true < 0).mean() < 1 / 2
    assert (used**2).mean() > 10 * true.var()


@given(levels=arrays(np.uint8, (4, 4)))
def test_grey_levels_survive_the_way_to_values_and_back(levels: np.ndarray) -> None:
    values = published_protocol.to_values(levels)
    assert (np.abs(values) <= 1).all()
    np.testing.assert_array_equal(published_protocol.to_grey_levels(values), levels)


def test_coordinates() -> None:
    x, y = PublishedSequence.pixel_coordinates((7, 7))
    np.testing.assert_allclose(x, np.linspace(-1, 1, 7), atol=1e-15)
    np.testing.assert_array_equal(x, y)
    np.testing.assert_allclose(
        PublishedSequence.frame_times(DataConfig(frames=10)), np.arange(10) / 11
    )
    fine, _ = PublishedSequence.pixel_coordinates((7, 7), 4)
    np.testing.assert_allclose(fine.reshape(7, 4).mean(axis=1), x, atol=1e-15)
    np.testing.assert_allclose(np.diff(fine), (x[1] - x[0]) / 4)


def test_exact_fields_start_at_the_image_and_solve_the_heat_equation() -> None:
    levels = published_protocol.to_grey_levels(load_image("camera", 24))
    truth = published_protocol.PublishedSequence(levels, 10)
    x, y = PublishedSequence.pixel_coordinates(levels.shape)
    start = truth.on_grid(x, y, np.array([0.0]))
    np.testing.assert_allclose(start.value[0], published_protocol.to_values(levels), atol=1e-12)

    def value(dx: float = 0, dy: float = 0, ds: float = 0) -> np.ndarray:
        moments = np.array([0.2, 0.7]) + ds
        return truth.on_grid(x[3:9] + 0.01 + dx, y[5:9] + dy, moments).value

    fields = truth.on_grid(x[3:9] + 0.01, y[5:9], np.array([0.2, 0.7]))
    step = 1e-4
    close = {"rtol": 1e-4, "atol": 1e-4}
    along_x = (value(dx=step) - value(dx=-step)) / (2 * step)
    along_y = (value(dy=step) - value(dy=-step)) / (2 * step)
    np.testing.assert_allclose(fields.gradient[:, 0], along_x, **close)
    np.testing.assert_allclose(fields.gradient[:, 1], along_y, **close)
    around = value(dx=step) + value(dx=-step) + value(dy=step) + value(dy=-step)
    laplacian = (around - 4 * value()) / step**2
    np.testing.assert_allclose(fields.laplacian, laplacian, rtol=1e-3, atol=1e-3)
    in_time = (value(ds=step) - value(ds=-step)) / (2 * step)
    np.testing.assert_allclose(fields.time_derivative, in_time, **close)
    np.testing.assert_allclose(fields.time_derivative, truth.kappa * fields.laplacian)


def test_value_target_is_near_the_truth_and_derivatives_are_in_other_units() -> None:
    """A Sobel filter sums to 8, a pixel is 2 / (N - 1): targets are 16 / (N - 1) of the truth."""
    sequence = PublishedSequence.from_config(DataConfig(size=64))
    times = sequence.frame_times(DataConfig(frames=10))
    target = sequence.on_pixels(times)
    truth = sequence.on_grid(*sequence.pixel_coordinates((64, 64)), times)
    smooth = np.s_[-1, ..., 16:-16, 16:-16]  # most diffused, far from the faulty border
    errors = target.value[smooth] - truth.value[smooth]
    assert np.sqrt((errors**2).mean()) < 2 / 255  # a grey level
    wanted, true = target.gradient[smooth], truth.gradient[smooth]
    ratio = (wanted * true).sum() / (wanted**2).sum()
    assert ratio == pytest.approx(63 / 16, rel=0.1)


def slow_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """The same, pixel by pixel."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    a, b = np.pad(a, 5), np.pad(b, 5)
    scores = []
    for row in range(a.shape[0] - 10):
        for column in range(a.shape[1] - 10):
            p, q = (each[row : row + 11, column : column + 11] for each in (a, b))
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            cross = (window * p * q).sum() - mean_p * mean_q
            squares = sum((window * e * e).sum() - (window * e).sum() ** 2 for e in (p, q))
            scores.append(
                (2 * mean_p * mean_q + 1e-4)
                * (2 * cross + 9e-4)
                / ((mean_p**2 + mean_q**2 + 1e-4) * (squares + 9e-4))
            )
    return float(np.mean(scores))


def test_similarity_is_that_of_the_study() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.uniform(-1, 1, (12, 14))
    predicted = wanted + rng.normal(0, 0.3, wanted.shape)
    found = PublishedSequence.similarity(wanted, predicted, "value")
    assert found == pytest.approx(slow_similarity(wanted, predicted), rel=1e-10)
    assert found == PublishedSequence.similarity(wanted, predicted, "laplacian")  # whatever it is
    assert PublishedSequence.similarity(wanted, wanted, "value") == pytest.approx(1)


def test_an_image_that_is_not_square_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    iio.imwrite(path, np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8))
    data = {"image": str(path), "size": 30}
    with pytest.raises(UserError, match=r"30 x 20 px.*square"):
        PublishedSequence.from_config(DataConfig.model_validate(data))
