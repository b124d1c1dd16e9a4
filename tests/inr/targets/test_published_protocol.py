"""The original protocol: every part of the published study's code, against its description."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from scipy.ndimage import laplace

import inr
from inr.config import Activation, ModelConfig, RunConfig, Schedule, TrainingConfig
from inr.errors import UsageError, UserError
from inr.network.model import initialize
from inr.quantities import QUANTITIES, Fields
from inr.results import frame_units, open_run, plain, read_heldout, read_series
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.targets import published_protocol
from inr.targets.coordinates import COORDINATES
from inr.targets.image_file import load_image
from inr.targets.sequences import make_sequence
from inr.training.evaluation import Evaluator
from inr.training.fit import Run, fit, fit_together
from inr.training.fusing_key import highest_derivative
from inr.training.optimizers import make_optimizer
from jobs.sweeps.sweep_file import find_sweep_file, load_sweep
from postprocess.dataset.run_frames import RunFrames

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


def train(config: RunConfig, directory: Path, **options: Any) -> RunLayout:
    layout = RunLayout(directory)
    with RunWriter(layout, config, "a/name") as recorder:
        fit(config, recorder, device="cpu", **options)
    return layout


def series_of(layout: RunLayout) -> dict[str, np.ndarray]:
    with open_run(layout.results) as file:
        found = read_series(file)
    del found["seconds"]  # the clock
    return found


def raster(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, dtype=np.uint8)


images = arrays(np.uint8, st.tuples(st.integers(3, 7), st.integers(3, 7)))


# --- the sequence


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


# --- coordinates and the truth


def test_coordinates() -> None:
    x, y = published_protocol.pixel_coordinates((7, 7))
    np.testing.assert_allclose(x, np.linspace(-1, 1, 7), atol=1e-15)
    np.testing.assert_array_equal(x, y)
    np.testing.assert_allclose(published_protocol.frame_times(10), np.arange(10) / 11)
    fine, _ = published_protocol.pixel_coordinates((7, 7), 4)
    np.testing.assert_allclose(fine.reshape(7, 4).mean(axis=1), x, atol=1e-15)
    np.testing.assert_allclose(np.diff(fine), (x[1] - x[0]) / 4)


def test_exact_fields_start_at_the_image_and_solve_the_heat_equation() -> None:
    levels = published_protocol.to_grey_levels(load_image("camera", 24))
    truth = published_protocol.exact_diffusion(levels, 10)
    x, y = published_protocol.pixel_coordinates(levels.shape)
    start = published_protocol.exact_fields(truth, x, y, np.array([0.0]))
    np.testing.assert_allclose(start.value[0], published_protocol.to_values(levels), atol=1e-12)

    def value(dx: float = 0, dy: float = 0, ds: float = 0) -> np.ndarray:
        moments = np.array([0.2, 0.7]) + ds
        return published_protocol.exact_fields(
            truth, x[3:9] + 0.01 + dx, y[5:9] + dy, moments
        ).value

    fields = published_protocol.exact_fields(truth, x[3:9] + 0.01, y[5:9], np.array([0.2, 0.7]))
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
    np.testing.assert_allclose(
        fields.time_derivative, published_protocol.kappa(levels.shape) * fields.laplacian
    )


def test_value_target_is_near_the_truth_and_derivatives_are_in_other_units() -> None:
    """A Sobel filter sums to 8, a pixel is 2 / (N - 1): targets are 16 / (N - 1) of the truth."""
    config = RunConfig.model_validate({"data": {"size": 64}, "training": {"protocol": "original"}})
    sequence = make_sequence(config)
    times = COORDINATES["original"].frame_times(10)
    truth = sequence.exact(*COORDINATES["original"].pixel_coordinates((64, 64), 1), times)
    smooth = np.s_[-1, ..., 16:-16, 16:-16]  # most diffused, far from the faulty border
    errors = sequence.target.value[smooth] - truth.value[smooth]
    assert np.sqrt((errors**2).mean()) < 2 / 255  # a grey level
    wanted, true = sequence.target.gradient[smooth], truth.gradient[smooth]
    ratio = (wanted * true).sum() / (wanted**2).sum()
    assert ratio == pytest.approx(63 / 16, rel=0.1)


# --- similarity


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
    found = published_protocol.similarity(wanted, predicted, 2.0)
    assert found == pytest.approx(slow_similarity(wanted, predicted), rel=1e-10)
    assert found == published_protocol.similarity(wanted, predicted, 1e6)  # whatever the range
    assert published_protocol.similarity(wanted, wanted, 2.0) == pytest.approx(1)


# --- schedules

PEAK = 1e-4
TORCH = {
    "uniform": lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "exponential": lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
    "multi_step": lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(
        optimizer, [25, 50, 75], 0.1
    ),
    "cyclic": lambda optimizer: torch.optim.lr_scheduler.CyclicLR(
        optimizer, 1e-7, PEAK, step_size_up=250, cycle_momentum=False
    ),
}


def rates(optimizer: torch.optim.Optimizer, scheduler: Any) -> list[float]:
    found = []
    for _ in range(1000):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("schedule", TORCH)
def test_schedules_are_those_of_torch_stepped_every_iteration(schedule: Schedule) -> None:
    network = initialize(ModelConfig(width=2, depth=1), 0)
    training = TrainingConfig(
        protocol="original", schedule=schedule, learning_rate=PEAK, steps=1000
    )
    optimizer = torch.optim.Adam([torch.zeros(1)], lr=PEAK)
    wanted = rates(optimizer, TORCH[schedule](optimizer))
    np.testing.assert_allclose(rates(*make_optimizer(training, network)), wanted, rtol=1e-9)


def test_all_schedules_but_cosine_are_known() -> None:
    assert {*TORCH, "cosine"} == set(get_args(Schedule))


# --- the Laplacian trains nothing


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
    assert highest_derivative(training.trained_weights) == order
    corrected = training.model_copy(update={"protocol": "corrected"})
    assert corrected.trained_weights.as_tuple() == weights


# --- refusals

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "cosine": ({"training": {"schedule": "cosine"}}, "schedule cosine.*multi_step or cyclic"),
    "options": ({"training": {"schedule_options": {"cycles": 3}}}, "at its defaults"),
    "balancing": ({"training": {"loss_balancing": "relobralo"}}, "relobralo.*none"),
    "floor": (
        {"training": {"schedule": "cyclic", "learning_rate": 1e-7}},
        "1e-07 to training.learning_rate",
    ),
    "start": ({"data": {"sigma_start": 0.0}}, r"data.sigma_start is 0, .* default, 0\.7"),
    "end": ({"data": {"sigma_end": 5.0}}, "data.sigma_end is 5, .* default, 4"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_study_had_not_is_refused(given: dict[str, Any], message: str) -> None:
    RunConfig.model_validate(given)  # right under the corrected protocol
    training = given.get("training", {}) | {"protocol": "original"}
    with pytest.raises(ValidationError, match=f"training.protocol original.*{message}|{message}"):
        RunConfig.model_validate(given | {"training": training})


def test_a_contradiction_is_shown_where_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text("base:\n  data: {size: 32, frames: 4, sigma_end: 5}\n  model: {width: 8}\n")
    with pytest.raises(UsageError, match=r"data\.sigma_end is 5") as error:
        load_sweep(path, ["training.protocol=original"]).expand()
    assert "base.data.sigma_end" in str(error.value)
    assert "width" not in str(error.value)


def test_an_image_that_is_not_square_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    iio.imwrite(path, np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8))
    data = {"image": str(path), "size": 30}
    with pytest.raises(UserError, match=r"30 x 20 px.*square"):
        make_sequence(
            RunConfig.model_validate({"data": data, "training": {"protocol": "original"}})
        )


# --- a run from configuration to files


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


def test_held_out_errors_are_against_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = Evaluator(make_config())

    def all_knowing(network: object, *grid: np.ndarray) -> Fields:
        return evaluator.sequence.exact(*grid)

    monkeypatch.setattr("inr.training.evaluation.predict", all_knowing)
    network = initialize(make_config().model, 0)
    found = evaluator.held_out(network)
    assert max(found[f"nmse_{quantity}"] for quantity in QUANTITIES) == 0
    assert found["pde_residual"] < 1e-20
    on_frames = evaluator.on_pixels(network)[1]
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
        assert (
            frames.describe(frames.times[2], (0.7, 4.0))
            == "diffusion time 0.18 px²    blur σ = 0.60 px"
        )
        units = {column.quantity: column.unit for column in frames.columns}
    assert units["gradient"] == "1/(8 px)"
    assert units["time_derivative"] == "grey levels/px² mod 256"


# --- the sweeps


def test_both_sweeps_of_weightings_draw_the_same_in_the_same_order() -> None:
    drawn = [
        [c.training.loss_weights for c in load_sweep(find_sweep_file(name)).expand()[0]]
        for name in ("loss_weights", "original_loss_weights")
    ]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", ["learning_rate", "activation", "loss_weights"])
def test_the_original_sweeps_are_of_the_original_protocol(name: str) -> None:
    corrected, published = (
        load_sweep(find_sweep_file(file)).expand()[0] for file in (name, f"original_{name}")
    )
    assert {config.training.protocol for config in corrected} == {"corrected"}
    for config in published:
        assert config.training.protocol == "original"
        assert config.training.loss_normalization == "raw"
        assert (config.data.size, config.model.width, config.model.depth) == (256, 512, 4)
        assert config.training.steps == (1000 if name == "learning_rate" else 200)
