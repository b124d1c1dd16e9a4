"""Metrics of known fields in numbers that can be worked out by hand."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from inr.config import DataConfig
from inr.metrics import METRICS, evaluate, target_variances
from inr.quantities import QUANTITIES, Fields
from inr.targets.heat_equation import Diffusion
from inr.targets.image_file import load_image

DIFFUSION = Diffusion(load_image("camera", 32), 0.7, 2.0)
TARGET = DIFFUSION.on_pixels(Diffusion.frame_times(DataConfig(frames=3)))


def measured(prediction: Fields) -> dict[str, float]:
    return evaluate(zip(prediction.frames(), TARGET.frames(), strict=True), DIFFUSION.kappa)


def changed(**fields: np.ndarray) -> dict[str, float]:
    return measured(dataclasses.replace(TARGET, **fields))


def test_variances_are_those_over_all_frames_and_components() -> None:
    found = target_variances(TARGET)
    for quantity in ("value", "laplacian", "time_derivative"):
        assert found[quantity] == pytest.approx(getattr(TARGET, quantity).var(), rel=1e-12)
    along_x, along_y = np.moveaxis(TARGET.gradient, 1, 0)
    assert found["gradient"] == pytest.approx(along_x.var() + along_y.var(), rel=1e-12)


def test_perfect_prediction() -> None:
    metrics = changed()
    assert set(metrics) == set(METRICS)
    for quantity in QUANTITIES:
        assert metrics[f"mse_{quantity}"] == 0
        assert metrics[f"ssim_{quantity}"] == pytest.approx(1)
    assert metrics["pde_residual"] == pytest.approx(0, abs=1e-20)
    assert metrics["psnr_value"] == np.inf


def test_predicting_the_mean_has_a_normalised_error_of_one() -> None:
    mean_gradient = TARGET.gradient.mean(axis=(0, 2, 3), keepdims=True)
    metrics = measured(
        Fields(
            value=np.full_like(TARGET.value, TARGET.value.mean()),
            gradient=np.broadcast_to(mean_gradient, TARGET.gradient.shape),
            laplacian=np.full_like(TARGET.value, TARGET.laplacian.mean()),
            time_derivative=np.full_like(TARGET.value, TARGET.time_derivative.mean()),
        )
    )
    for quantity in QUANTITIES:
        assert metrics[f"nmse_{quantity}"] == pytest.approx(1)


def test_constant_offset() -> None:
    metrics = changed(value=TARGET.value + 0.1)
    assert metrics["mse_value"] == pytest.approx(0.01)
    assert metrics["nmse_value"] == pytest.approx(0.01 / TARGET.value.var())
    assert metrics["psnr_value"] == pytest.approx(20 * np.log10(2 / 0.1))
    assert metrics["mse_gradient"] == 0
    assert metrics["nmse_value_mean_removed"] == pytest.approx(0, abs=1e-30)


def test_one_offset_for_each_frame_and_an_error_without_mean() -> None:
    ripple = np.resize([0.01, -0.01], TARGET.value.shape)  # rows of even length: mean 0
    offsets = np.array([0.3, -0.2, 0.7]).reshape(3, 1, 1)
    metrics = changed(value=TARGET.value + offsets + ripple)
    assert metrics["mse_value"] == pytest.approx((0.09 + 0.04 + 0.49) / 3 + 1e-4)
    assert metrics["nmse_value_mean_removed"] == pytest.approx(1e-4 / TARGET.value.var())
    assert metrics["psnr_value_mean_removed"] == pytest.approx(20 * np.log10(2 / 0.01))


def test_gradient_error_sums_the_squares_of_both_components() -> None:
    offset = np.array([3.0, 4.0]).reshape(1, 2, 1, 1)
    assert changed(gradient=TARGET.gradient + offset)["mse_gradient"] == pytest.approx(25)


def test_ssim_is_that_of_scikit_image() -> None:
    """Of the value on [0, 1] with its range; of the Laplacian with the range of each frame."""
    noise = np.random.default_rng(0).normal(size=TARGET.value.shape)
    value, laplacian = TARGET.value + 0.1 * noise, TARGET.laplacian + 20 * noise
    metrics = changed(value=value, laplacian=laplacian)

    def expected(pairs: Iterable[tuple[np.ndarray, np.ndarray, float]]) -> float:
        wang = {"gaussian_weights": True, "use_sample_covariance": False}
        scores = [structural_similarity(a, b, data_range=span, **wang) for a, b, span in pairs]
        return float(np.mean(scores))

    mapped = zip((TARGET.value + 1) / 2, (value + 1) / 2, (1.0,) * 3, strict=True)
    assert metrics["ssim_value"] == pytest.approx(expected(mapped))
    ranges = np.ptp(TARGET.laplacian, axis=(1, 2))
    framed = zip(TARGET.laplacian, laplacian, ranges, strict=True)
    assert metrics["ssim_laplacian"] == pytest.approx(expected(framed))


def test_heat_equation_residual() -> None:
    metrics = changed(time_derivative=TARGET.time_derivative + 0.2)
    variance = TARGET.time_derivative.var()
    assert metrics["pde_residual"] == pytest.approx(0.04 / variance)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e200])
def test_diverged_predictions_are_measured_without_a_word(number: float) -> None:
    broken = TARGET.value.copy()
    broken[1, 5, 5] = number
    metrics = changed(value=broken, laplacian=broken)
    assert not metrics["nmse_value"] < 1e100
    assert np.isfinite(metrics["nmse_gradient"])
