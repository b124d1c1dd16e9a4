"""Metrics of known fields in numbers that can be worked out by hand."""

import dataclasses

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from inr.config import DataConfig
from inr.metrics import METRICS, evaluate, target_statistics
from inr.quantities import QUANTITIES, Fields
from inr.targets.heat_equation import Diffusion
from inr.targets.image_file import load_image

DIFFUSION = Diffusion(load_image("camera", 32), 0.7, 2.0)
TARGET = DIFFUSION.on_pixels(Diffusion.frame_times(DataConfig(frames=3)))
STATISTICS = target_statistics(TARGET)


def changed(**fields: np.ndarray) -> dict[str, float]:
    prediction = dataclasses.replace(TARGET, **fields)
    return evaluate(prediction, TARGET, STATISTICS, DIFFUSION.kappa)


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
    metrics = evaluate(
        Fields(
            value=np.full_like(TARGET.value, TARGET.value.mean()),
            gradient=np.broadcast_to(mean_gradient, TARGET.gradient.shape),
            laplacian=np.full_like(TARGET.value, TARGET.laplacian.mean()),
            time_derivative=np.full_like(TARGET.value, TARGET.time_derivative.mean()),
        ),
        TARGET,
        STATISTICS,
        DIFFUSION.kappa,
    )
    for quantity in QUANTITIES:
        assert metrics[f"nmse_{quantity}"] == pytest.approx(1)


def test_constant_offset() -> None:
    metrics = changed(value=TARGET.value + 0.1)
    assert metrics["mse_value"] == pytest.approx(0.01)
    assert metrics["nmse_value"] == pytest.approx(0.01 / TARGET.value.var())
    assert metrics["psnr_value"] == pytest.approx(20 * np.log10(np.ptp(TARGET.value) / 0.1))
    assert metrics["mse_gradient"] == 0


def test_gradient_error_sums_the_squares_of_both_components() -> None:
    offset = np.array([3.0, 4.0]).reshape(1, 2, 1, 1)
    assert changed(gradient=TARGET.gradient + offset)["mse_gradient"] == pytest.approx(25)


def test_ssim_is_that_of_scikit_image_with_the_true_range() -> None:
    noisy = TARGET.laplacian + np.random.default_rng(0).normal(0, 20, TARGET.laplacian.shape)
    expected = np.mean(
        [
            structural_similarity(
                wanted,
                predicted,
                data_range=np.ptp(TARGET.laplacian),
                gaussian_weights=True,
                use_sample_covariance=False,
            )
            for wanted, predicted in zip(TARGET.laplacian, noisy, strict=True)
        ]
    )
    assert changed(laplacian=noisy)["ssim_laplacian"] == pytest.approx(expected)


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
