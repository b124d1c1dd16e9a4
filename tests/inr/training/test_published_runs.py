"""Runs of the original protocol: what they train, what they record, and in which units."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import inr
from inr.config import Activation, RunConfig, TrainingConfig
from inr.network.model import initialize
from inr.quantities import QUANTITIES
from inr.results import HELDOUT, frame_units, open_run, plain, read_heldout
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.targets import published_protocol
from inr.targets.image_file import load_image
from inr.training.evaluation import Evaluator
from inr.training.fit import Run, fit_together
from postprocess.dataset.run_frames import RunFrames
from tests.helpers import tiny_run
from tests.helpers.tiny_run import fit
from tests.helpers.tiny_run import run as train

STEPS, FRAMES, SIDE = 30, 3, 16


def make_config(**training: Any) -> RunConfig:
    training = {"protocol": "original", "loss_weights": [1, 1, 1, 1]} | training
    return RunConfig.model_validate(
        {
            "data": {"size": SIDE, "frames": FRAMES},
            "model": {
                "width": 16,
                "depth": 2,
                "activation": training.pop("activation", "sine"),
                "omega_first": 10,
                "omega_hidden": 10,
            },
            "training": {"steps": STEPS, "learning_rate": 1e-3} | training,
            "record": {"metrics_every": 8, "tensorboard": False},
        }
    )


def series_of(layout: RunLayout) -> dict[str, np.ndarray]:
    found = tiny_run.series_of(layout)
    del found["seconds"]  # the clock
    return found


@pytest.mark.parametrize("activation", get_args(Activation))
def test_with_the_laplacian_alone_the_network_stays_at_its_start(
    activation: str, tmp_path: Path
) -> None:
    weights = [0, 0, 0.5, 0]
    config = make_config(activation=activation, loss_weights=weights, loss_normalization="raw")
    layout = train(config, tmp_path)
    start = initialize(config.model, config.training.seed)
    for trained, initial in zip(
        inr.load(layout.model).network.parameters, start.parameters, strict=True
    ):
        assert trained.numpy().tobytes() == initial.detach().numpy().tobytes()
    series = series_of(layout)
    assert (series["loss"] > 0).all()
    np.testing.assert_allclose(series["loss"], 0.5 * series["mse_laplacian"])


def test_beside_others_its_weight_only_counts_in_the_recorded_loss(tmp_path: Path) -> None:
    without, with_it = (
        train(make_config(loss_weights=weights, loss_normalization="raw"), tmp_path / name)
        for name, weights in (("without", [1, 0.1, 0, 0.1]), ("with", [1, 0.1, 1, 0.1]))
    )
    for one, other in zip(
        *(inr.load(layout.model).network.parameters for layout in (without, with_it)), strict=True
    ):
        assert one.numpy().tobytes() == other.numpy().tobytes()
    more = series_of(with_it)
    np.testing.assert_allclose(
        more["loss"], series_of(without)["loss"] + more["mse_laplacian"], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("weights", "order"),
    [((0, 0, 1, 0), 0), ((1, 0, 1, 0), 0), ((1, 1, 1, 1), 1), ((0, 0, 1, 1), 1)],
    ids=str,
)
def test_second_derivatives_are_never_trained(weights: tuple[float, ...], order: int) -> None:
    training = TrainingConfig.model_validate({"protocol": "original", "loss_weights": weights})
    assert training.trained_weights.highest_derivative == order
    corrected = training.model_copy(update={"protocol": "corrected"})
    assert corrected.trained_weights.as_tuple() == weights


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    return train(make_config(), tmp_path_factory.mktemp("finished"))


def test_recorded_errors_are_against_the_targets_of_the_study(finished: RunLayout) -> None:
    levels = published_protocol.to_grey_levels(load_image("camera", SIDE))
    wanted = published_protocol.targets(published_protocol.euler_frames(levels, FRAMES))
    series = series_of(finished)
    with open_run(finished.results) as file:
        for quantity in QUANTITIES:
            target, prediction = (file[f"frames/{quantity}/{r}"] for r in ("target", "prediction"))
            assert plain(target.attrs["units"]) == frame_units("original", "target")[quantity]
            assert (
                plain(prediction.attrs["units"]) == frame_units("original", "prediction")[quantity]
            )
            exact = getattr(wanted, quantity)
            np.testing.assert_allclose(target[:], exact, rtol=1e-6, atol=1e-6)
            mse = ((prediction[:] - exact) ** 2).mean() * (2 if quantity == "gradient" else 1)
            assert series[f"mse_{quantity}"][-1] == pytest.approx(mse, rel=1e-5)
        np.testing.assert_allclose(file["frames/time"][:], np.arange(FRAMES) / 11)
        assert all(np.isfinite(value) for value in read_heldout(file).values())
    trained = series["loss"] - series["nmse_laplacian"]
    assert trained[-1] < trained[0]


def test_held_out_errors_are_against_the_truth() -> None:
    evaluator = Evaluator(make_config())
    all_knowing = evaluator.sequence.on_grid
    for points in HELDOUT:
        found = evaluator.held_out(all_knowing, points)
        assert max(found[f"nmse_{quantity}"] for quantity in QUANTITIES) == 0
        assert found["pde_residual"] < 1e-20
    on_frames = evaluator.on_pixels(all_knowing)[1]
    assert on_frames["nmse_value"] < 0.01
    assert on_frames["mse_time_derivative"] > 1e3  # who knows the truth fails the wrapped target


def test_trained_network_is_read_back_in_its_own_coordinates(finished: RunLayout) -> None:
    trained = inr.load(finished.model)
    np.testing.assert_allclose(trained.times, np.arange(FRAMES) / 11)
    on_pixels = trained.render(trained.times)
    with open_run(finished.results) as file:
        for quantity in QUANTITIES:
            recorded = file[f"frames/{quantity}/prediction"][:]
            atol = 1e-5 * np.abs(recorded).max()
            np.testing.assert_allclose(getattr(on_pixels, quantity), recorded, atol=atol)
    odd = trained.render(trained.times, scale=3)  # the middle of 3 samples is the pixel centre
    np.testing.assert_allclose(odd.value[:, 1::3, 1::3], on_pixels.value, atol=1e-5)


def test_a_run_cut_off_again_and_again_gives_the_same_bytes(tmp_path: Path) -> None:
    config = make_config(schedule="cyclic")
    whole = series_of(train(config, tmp_path / "whole"))
    layout, status, attempts = RunLayout(tmp_path / "pieces"), "stopped", 0
    while status == "stopped":
        asked = iter([False] * 7)
        with RunWriter(layout, config, "pieces") as recorder:
            status = fit(config, recorder, device="cpu", should_stop=lambda a=asked: next(a, True))
        attempts += 1
    assert attempts > 2
    pieces = series_of(layout)
    for name, column in whole.items():
        assert pieces[name].tobytes() == column.tobytes(), name


def test_runs_of_both_protocols_may_share_a_pack(tmp_path: Path) -> None:
    configs = [
        make_config(precision="float64", protocol=protocol, loss_weights=[1, 1, 0, 1])
        for protocol in ("original", "corrected")
    ]
    runs = [Run(c, RunWriter(RunLayout(tmp_path / c.run_id), c, "x")) for c in configs]
    assert fit_together(runs, device="cpu") == ["complete"] * 2
    for config in configs:
        alone = series_of(train(config, tmp_path / "alone" / config.run_id))
        together = series_of(RunLayout(tmp_path / config.run_id))
        for name, column in alone.items():
            np.testing.assert_allclose(together[name], column, rtol=1e-6, err_msg=name)


def test_videos_say_diffusion_time_and_units_of_the_targets(finished: RunLayout) -> None:
    with open_run(finished.results) as file:
        frames = RunFrames(file)
        told = frames.describe(frames.times[2])
        assert told == "diffusion time 0.18 px²    blur σ = 0.60 px"
        units = {column.quantity: column.unit for column in frames.columns}
    assert units["gradient"] == "1/(8 px)"
    assert units["time_derivative"] == "grey levels/px² mod 256"
