"""One small run from configuration to files: what is recorded, and that it repeats exactly."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import inr
from inr.config import RecordConfig, RunConfig
from inr.errors import UsageError, UserError
from inr.progress import Progress
from inr.quantities import METRICS, QUANTITIES, UNITS
from inr.results import (
    BASE_SERIES,
    ROOT_ATTRIBUTES,
    SCHEMA,
    ResultsError,
    open_run,
    outcome,
    plain,
    read_attributes,
    read_heldout,
    read_series,
)
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.targets.heat_equation import Diffusion, frame_times, pixel_coordinates
from inr.training.checkpoint import read_checkpoint
from inr.training.fit import fit, pick_device


def tiny(**training: object) -> RunConfig:
    return RunConfig.model_validate(
        {
            "data": {"size": 16, "frames": 3},
            "model": {"width": 16, "depth": 2, "omega_first": 10, "omega_hidden": 10},
            "training": {"steps": 30, "learning_rate": 1e-3, "loss_weights": [1, 1, 1, 1]}
            | training,
            "record": {"metrics_every": 8, "images_every": 16},
        }
    )


def quiet(**training: object) -> RunConfig:
    """As tiny, without the seconds that TensorBoard costs."""
    config = tiny(**training)
    return config.model_copy(update={"record": RecordConfig(metrics_every=8, tensorboard=False)})


def run(config: RunConfig, directory: Path, **options: object) -> RunLayout:
    layout = RunLayout(directory)
    with RunWriter(layout, config, "a/name") as recorder:
        fit(config, recorder, device="cpu", **options)
    return layout


def series_of(layout: RunLayout) -> dict[str, np.ndarray]:
    with open_run(layout.results) as file:
        return read_series(file)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    return run(tiny(), tmp_path_factory.mktemp("finished"))


def test_results_file_keeps_the_contract(finished: RunLayout) -> None:
    assert outcome(finished.results)
    with h5py.File(finished.results) as file:
        assert set(file.attrs) == set(ROOT_ATTRIBUTES)
        assert plain(file.attrs["schema"]) == SCHEMA
        assert set(file["series"]) == {*BASE_SERIES, *METRICS}
        assert {len(column) for column in file["series"].values()} == {5}
        assert file["series/step"][:].tolist() == [0, 8, 16, 24, 30]
        assert all(column.chunks for column in file["series"].values())
        for quantity in QUANTITIES:
            shape = (3, 2, 16, 16) if quantity == "gradient" else (3, 16, 16)
            for role in ("prediction", "target"):
                data = file[f"frames/{quantity}/{role}"]
                assert (data.shape, data.dtype) == (shape, np.float32)
                assert data.chunks == (1, *shape[1:])
                assert plain(data.attrs["units"]) == UNITS[quantity]
        assert file["frames/time"][:].tolist() == [-1, 0, 1]
        assert set(file["heldout"].dtype.names) == set(METRICS)


def test_attributes_tell_the_run(finished: RunLayout) -> None:
    with open_run(finished.results) as file:
        attributes = read_attributes(file)
    config = tiny()
    assert RunConfig.model_validate(attributes["config"]) == config
    assert attributes["run_id"] == config.run_id
    assert (attributes["status"], attributes["name"]) == ("complete", "a/name")
    assert attributes["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert attributes["created"].endswith("+00:00")
    assert attributes["device"] == "cpu"


def test_frames_metrics_and_objective_belong_together(finished: RunLayout) -> None:
    exact = Diffusion.from_config(tiny().data).on_pixels(frame_times(3))
    with open_run(finished.results) as file:
        series = read_series(file)
        for quantity in QUANTITIES:
            target = file[f"frames/{quantity}/target"][:]
            wanted = getattr(exact, quantity)
            np.testing.assert_allclose(target, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())
            error = (file[f"frames/{quantity}/prediction"][:] - wanted) ** 2
            mse = error.mean() * (2 if quantity == "gradient" else 1)
            assert series[f"mse_{quantity}"][-1] == pytest.approx(mse, rel=1e-5)
    total = sum(series[f"nmse_{quantity}"] for quantity in QUANTITIES)
    np.testing.assert_allclose(series["loss"], total)
    assert series["loss"][-1] < series["loss"][0]


def test_heldout_points_are_not_the_training_points(finished: RunLayout) -> None:
    with open_run(finished.results) as file:
        heldout, series = read_heldout(file), read_series(file)
    assert all(np.isfinite(value) for value in heldout.values())
    assert heldout["mse_value"] != series["mse_value"][-1]


def test_same_seed_gives_the_same_bytes_and_another_does_not(
    finished: RunLayout, tmp_path: Path
) -> None:
    first, again = series_of(finished), series_of(run(tiny(), tmp_path / "again"))
    other = series_of(run(tiny(seed=1), tmp_path / "other"))
    for name in (*BASE_SERIES, *METRICS):
        if name != "seconds":  # the clock
            assert again[name].tobytes() == first[name].tobytes(), name
    assert other["loss"].tobytes() != first["loss"].tobytes()


@pytest.mark.parametrize("batch", ["frame", 64])
def test_batches_learn(batch: str | int, tmp_path: Path) -> None:
    loss = series_of(run(tiny(batch=batch, steps=60), tmp_path))["loss"]
    assert loss[-1] < 0.9 * loss[0]


def test_raw_loss_is_the_sum_of_plain_errors(tmp_path: Path) -> None:
    config = tiny(loss_normalization="raw", steps=2, loss_weights=[1, 0.5, 0, 2])
    series = series_of(run(config, tmp_path))
    expected = (
        series["mse_value"] + 0.5 * series["mse_gradient"] + 2 * series["mse_time_derivative"]
    )
    np.testing.assert_allclose(series["loss"], expected)


def test_divergence_ends_the_run_and_keeps_what_it_had(tmp_path: Path) -> None:
    config = tiny(learning_rate=1e30, steps=500)
    layout = RunLayout(tmp_path)
    with RunWriter(layout, config, "diverging") as recorder:
        assert fit(config, recorder, device="cpu") == "diverged"
    with open_run(layout.results) as file:
        attributes, series = read_attributes(file), read_series(file)
    assert (attributes["status"], attributes["complete"]) == ("diverged", True)
    assert np.isfinite(series["loss"][0])
    assert not np.isfinite(series["loss"][-1])
    assert series["step"][-1] < 500


def test_tensorboard_shows_scalars_pictures_and_hyperparameters(finished: RunLayout) -> None:
    events = EventAccumulator(str(finished.root))
    events.Reload()
    tags = events.Tags()
    assert {"mse/value", "ssim/gradient", "psnr/value", "train/lr", "train/loss"} <= set(
        tags["scalars"]
    )
    assert [event.step for event in events.Scalars("mse/value")] == [0, 8, 16, 24, 30]
    assert {f"target_and_network/{quantity}" for quantity in QUANTITIES} == set(tags["images"])
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_second_attempt_replaces_the_events_of_the_first(tmp_path: Path) -> None:
    for _ in range(2):
        layout = run(tiny(steps=2), tmp_path)
    assert len(list(layout.root.glob("events.out.tfevents.*"))) == 1


def test_trained_network_is_read_back_and_evaluated_anywhere(finished: RunLayout) -> None:
    trained = inr.load(finished.model)
    on_pixels = trained.render(times=[-1.0, 0.0, 1.0])
    with open_run(finished.results) as file:
        for quantity in QUANTITIES:
            recorded = file[f"frames/{quantity}/prediction"][:]
            scale = np.abs(recorded).max()
            np.testing.assert_allclose(getattr(on_pixels, quantity), recorded, atol=1e-5 * scale)
    finer = trained.render(times=[0.123], scale=4)
    assert finer.value.shape == (1, 64, 64)
    assert finer.gradient.shape == (1, 2, 64, 64)
    assert trained.times.tolist() == [-1, 0, 1]
    x, y = pixel_coordinates(trained.shape)
    points = trained.at(np.array([[x[3], y[5], 0.0], [x[0], y[15], 1.0]]))
    np.testing.assert_allclose(points.value, on_pixels.value[[1, 2], [5, 15], [3, 0]], atol=1e-6)
    wanted = on_pixels.gradient[[1, 2], :, [5, 15], [3, 0]]
    np.testing.assert_allclose(points.gradient, wanted, atol=1e-4)
    assert len(repr(trained)) < 2000
    assert "load" in dir(inr)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"times": []}, "times is empty"), ({"times": 0.0, "scale": 0}, "scale is 0")],
    ids=["no time", "no scale"],
)
def test_senseless_grids_are_refused(
    options: dict[str, object], message: str, finished: RunLayout
) -> None:
    with pytest.raises(ValueError, match=message):
        inr.load(finished.model).render(**options)


@pytest.mark.parametrize("content", [None, b"", b"not a model", b"PK\x03\x04 half a zip"])
def test_bad_model_files_are_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.pt"):
        inr.load(path)


def test_models_that_would_execute_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"schema": print}, path)
    with pytest.raises(UserError, match="not a network"):
        inr.load(path)


def test_progress_is_told_and_ends_at_the_last_step(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run(tiny(), tmp_path, on_progress=seen.append)
    assert seen[-1].step == seen[-1].steps == 30
    assert "nmse_laplacian" in seen[-1].errors


def test_unfinished_file_is_readable_but_not_complete(tmp_path: Path) -> None:
    config, layout = tiny(), RunLayout(tmp_path)
    recorder = RunWriter(layout, config, "cut off")
    row = dict.fromkeys((*BASE_SERIES, *METRICS), 1.0)
    with recorder:
        recorder.row(1, row)
    assert not outcome(layout.results)
    assert series_of(layout)["step"].tolist() == [1]


def test_attempts_are_counted(tmp_path: Path) -> None:
    config, layout = tiny(steps=2), RunLayout(tmp_path)
    with RunWriter(layout, config, "cut off") as recorder:
        recorder.row(0, dict.fromkeys((*BASE_SERIES, *METRICS), 1.0))
    run(config, tmp_path)
    with open_run(layout.results) as file:
        assert read_attributes(file)["attempts"] == 2


BROKEN = [
    ("missing", "missing"),
    ("truncated", "broken"),
    ("text", "broken"),
    ("other schema", "schema 'other/1'"),
    ("no series", "broken"),
]


@pytest.mark.parametrize(("kind", "message"), BROKEN, ids=[kind for kind, _ in BROKEN])
def test_broken_results_are_named(
    kind: str, message: str, finished: RunLayout, tmp_path: Path
) -> None:
    path = tmp_path / "run.h5"
    if kind == "truncated":
        path.write_bytes(finished.results.read_bytes()[:1000])
    elif kind == "text":
        path.write_text(json.dumps({"schema": SCHEMA}))
    elif kind == "other schema":
        with h5py.File(path, "w") as file:
            file.attrs["schema"] = "other/1"
    elif kind == "no series":
        with h5py.File(path, "w") as file:
            file.attrs["schema"] = SCHEMA
    with pytest.raises(ResultsError, match=message), open_run(path) as file:
        read_series(file)
    assert not outcome(path)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:wrong"])
def test_unknown_devices_are_refused(device: str) -> None:
    with pytest.raises(UsageError, match="Allowed: auto, cpu"):
        pick_device(device)


class StopAfter:
    """A request to stop that comes after some steps, as a signal would."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("training", [{}, {"learning_rate": 1e30}], ids=["normal", "diverging"])
@pytest.mark.parametrize("every", [3, 5])
def test_a_run_cut_off_again_and_again_gives_the_same_bytes(
    every: int, training: dict[str, float], tmp_path: Path
) -> None:
    config = quiet(schedule="cyclic", batch=50, **training)
    whole = series_of(run(config, tmp_path / "whole"))
    layout = RunLayout(tmp_path / "pieces")
    status, attempts = "stopped", 0
    while status == "stopped":
        with RunWriter(layout, config, "pieces") as recorder:
            status = fit(config, recorder, device="cpu", should_stop=StopAfter(every))
        attempts += 1
    assert attempts > 1
    pieces = series_of(layout)
    for name in (*BASE_SERIES, *METRICS):
        if name != "seconds":
            assert pieces[name].tobytes() == whole[name].tobytes(), name
    with open_run(layout.results) as file:
        assert read_attributes(file)["attempts"] == attempts
    assert not layout.checkpoint.exists()


@pytest.mark.parametrize("metrics_every", [1, 2, 8, 25])
@pytest.mark.parametrize("steps", [1, 8, 12, 25])
def test_a_request_to_stop_is_obeyed_after_the_step(
    metrics_every: int, steps: int, tmp_path: Path
) -> None:
    config = quiet().model_copy(
        update={"record": RecordConfig(metrics_every=metrics_every, tensorboard=False)}
    )
    layout = RunLayout(tmp_path)
    with RunWriter(layout, config, "stopped") as recorder:
        assert fit(config, recorder, device="cpu", should_stop=StopAfter(steps - 1)) == "stopped"
    saved = read_checkpoint(layout.checkpoint, config.run_id)
    assert saved is not None
    assert saved.step == steps
    whole = series_of(run(config, tmp_path / "whole"))
    assert series_of(run(config, tmp_path))["loss"].tobytes() == whole["loss"].tobytes()


def test_rows_after_the_checkpoint_are_measured_anew(tmp_path: Path) -> None:
    """Killed after the series was written and before the next checkpoint."""
    config, layout = quiet(), RunLayout(tmp_path)
    with RunWriter(layout, config, "killed") as recorder:
        fit(config, recorder, device="cpu", should_stop=StopAfter(12))
    with RunWriter(layout, config, "killed") as recorder:
        recorder.start(12, 2)
        recorder.row(16, dict.fromkeys((*BASE_SERIES, *METRICS), -1.0))
        recorder.flush()
    series = series_of(run(config, tmp_path))
    assert series["step"].tolist() == [0, 8, 16, 24, 30]
    assert (series["mse_value"] > 0).all()


@pytest.mark.parametrize("damage", ["checkpoint", "results", "other run"])
def test_a_checkpoint_that_cannot_be_used_means_starting_over(damage: str, tmp_path: Path) -> None:
    config, layout = quiet(), RunLayout(tmp_path)
    earlier = quiet(seed=5) if damage == "other run" else config
    with RunWriter(layout, earlier, "damaged") as recorder:
        fit(earlier, recorder, device="cpu", should_stop=StopAfter(12))
    if damage == "checkpoint":
        layout.checkpoint.write_bytes(b"half")
    elif damage == "results":
        layout.results.unlink()
    series = series_of(run(config, tmp_path))
    whole = series_of(run(config, tmp_path / "whole"))
    assert series["loss"].tobytes() == whole["loss"].tobytes()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    layout = RunLayout(tmp_path)
    with RunWriter(layout, quiet(), "stopped") as recorder:
        fit(quiet(), recorder, device="cpu", should_stop=StopAfter(12))
    return layout.checkpoint


@pytest.mark.parametrize("damage", ["empty", "cut off", "flipped", "pickle", "schema", "run"])
def test_only_damage_is_damage(damage: str, checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    state = torch.load(checkpoint, weights_only=True)
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    if damage in ("empty", "cut off", "flipped"):
        damaged = {"empty": b"", "cut off": content[:-100], "flipped": bytes(flipped)}
        checkpoint.write_bytes(damaged[damage])
    elif damage == "pickle":
        torch.save(Path("other"), checkpoint)
    else:
        torch.save(state | {"schema" if damage == "schema" else "run_id": "other"}, checkpoint)
    assert read_checkpoint(checkpoint, quiet().run_id) is None


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_what_fails_while_loading_is_no_damage(
    error: Exception, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in checkpoint.parent.iterdir()}

    def fail(*given: object, map_location: object = None, **named: object) -> None:
        assert str(map_location) == "cpu"  # a crowded device has no say
        raise error

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(type(error)):
        run(quiet(), checkpoint.parent)
    assert {path: path.read_bytes() for path in checkpoint.parent.iterdir()} == before


def test_temporaries_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    leftover = tmp_path / ".run.0a1b2c3d.h5"
    leftover.touch()
    run(quiet(steps=2), tmp_path)
    assert not leftover.exists()
