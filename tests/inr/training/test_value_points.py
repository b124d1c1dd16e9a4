"""Runs whose value is trained on the border alone: what is minimised, recorded, resumed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from inr.config import RunConfig
from inr.metrics import target_variances
from inr.network.adjoint import EAGER
from inr.network.model import Network, initialize
from inr.results import open_run
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.targets.heat_equation import Diffusion
from inr.training.fit import Run
from inr.training.step import gradients
from inr.training.trainer import Trainer
from tests.helpers.reference import differentiate_nested, split
from tests.helpers.tiny_run import fit, quiet, run, series_of

WEIGHTS = (0.7, 0.3, 0.1, 2.0)


def border(**training: object) -> RunConfig:
    return quiet(**{"value_points": "border", "loss_weights": WEIGHTS} | training)


def plain_loss(network: Network, samples: Tensor, scales: list[float]) -> Tensor:
    """Weighted means of the squared errors of one whole frame; of the value over its outer pixels.

    Which these are is read from the coordinates.
    """
    points, targets = split(samples)
    fields = differentiate_nested(network, points)
    place = points[:, :2].abs()
    outer = (place == place.max()).any(dim=-1)
    errors = [
        (fields.value[outer] - targets.value[outer]).square().mean(),
        (fields.gradient[:, :2] - targets.gradient).square().sum(-1).mean(),
        (fields.laplacian - targets.laplacian).square().mean(),
        (fields.gradient[:, 2] - targets.time_derivative).square().mean(),
    ]
    return sum(w / s * error for w, s, error in zip(WEIGHTS, scales, errors, strict=True))


@pytest.mark.parametrize("normalization", ["variance", "raw"])
def test_step_is_that_of_the_plain_loss(normalization: str, tmp_path: Path) -> None:
    config = border(precision="float64", loss_normalization=normalization)
    with RunWriter(RunLayout(tmp_path), config, "x") as recorder:
        trainer = Trainer(Run(config, recorder), torch.device("cpu"))
    step = gradients([trainer], EAGER)
    exact = Diffusion.from_config(config.data).on_pixels(Diffusion.frame_times(config.data))
    variances = [*target_variances(exact).values()]
    scales = variances if normalization == "variance" else [1.0] * 4
    network = initialize(config.model, config.training.seed, torch.float64, config.input_scales)
    for parameter in network.parameters:
        parameter.requires_grad_()
    loss = plain_loss(network, trainer.batches(0), scales)
    torch.testing.assert_close(step.loss, loss.detach(), rtol=1e-10, atol=0)
    for mine, wanted in zip(
        step.gradients, torch.autograd.grad(loss, network.parameters), strict=True
    ):
        assert float((mine - wanted).abs().max()) < 1e-9 * max(1.0, float(wanted.abs().max()))


def test_recorded_loss_has_the_error_on_the_border(tmp_path: Path) -> None:
    layout = run(border(), tmp_path)
    series = series_of(layout)
    with open_run(layout.results) as file:
        value = {role: file[f"frames/value/{role}"][:] for role in ("prediction", "target")}
    squares = (value["prediction"] - value["target"]) ** 2
    outer = np.ones((16, 16), bool)
    outer[1:-1, 1:-1] = False
    assert outer.sum() == 60
    names = ("value", "gradient", "laplacian", "time_derivative")
    errors = [series[f"nmse_{name}"][-1] for name in names]
    assert errors[0] == pytest.approx(squares.mean() / value["target"].var(), rel=1e-4)  # of all
    errors[0] = squares[:, outer].mean() / value["target"].var()
    assert series["loss"][-1] == pytest.approx(np.dot(WEIGHTS, errors), rel=1e-5)
    assert series["loss"][-1] < series["loss"][0]


def test_the_value_inside_has_no_influence(tmp_path: Path) -> None:
    """Trained on values alone, the border is learned and the inside is not."""
    config = border(loss_weights=[1, 0, 0, 0], steps=300, learning_rate=3e-3)
    layout = run(config, tmp_path)
    with open_run(layout.results) as file:
        prediction, target = (file[f"frames/value/{role}"][:] for role in ("prediction", "target"))
    squares = (prediction - target) ** 2 / target.var()
    loss = series_of(layout)["loss"][-1]
    assert loss < 0.1
    assert squares[:, 1:-1, 1:-1].mean() > 5 * loss


@pytest.mark.parametrize("batch", ["frame", 200])
def test_a_run_that_was_cut_off_gives_the_same_bytes(batch: str | int, tmp_path: Path) -> None:
    config = border(batch=batch, loss_balancing="relobralo")
    whole = series_of(run(config, tmp_path / "whole"))
    layout, asked = RunLayout(tmp_path / "pieces"), iter([False] * 12)
    with RunWriter(layout, config, "pieces") as recorder:
        status = fit(config, recorder, device="cpu", should_stop=lambda: next(asked, True))
    assert status == "stopped"
    pieces = series_of(run(config, tmp_path / "pieces"))
    assert np.isfinite(whole["loss"]).all()
    for name in whole.keys() - {"seconds"}:
        assert pieces[name].tobytes() == whole[name].tobytes(), name
