"""One small run from configuration to files: what is recorded, and that it is read back."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import inr
from inr.config import RunConfig
from inr.errors import UserError
from inr.metrics import ADDED_METRICS, METRICS
from inr.quantities import QUANTITIES, UNITS
from inr.results import (
    BASE_SERIES,
    HELDOUT,
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
from inr.targets.heat_equation import Diffusion
from tests.helpers.synthetic import without_added_metrics
from tests.helpers.tiny_run import run, series_of, tiny


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
    exact = Diffusion.from_config(tiny().data).on_pixels(Diffusion.frame_times(tiny().data))
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


def test_every_number_of_a_file_is_under_a_checksum(finished: RunLayout) -> None:
    layouts: dict[str, bool] = {}

    def look(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            in_header = item.id.get_create_plist().get_layout() == h5py.h5d.COMPACT
            layouts[name] = in_header or item.fletcher32

    with open_run(finished.results) as file:
        file.visititems(look)
    assert {*HELDOUT, "frames/time", "series/loss"} <= layouts.keys()
    assert all(layouts.values()), layouts


def test_heldout_points_are_not_the_training_points(finished: RunLayout) -> None:
    with open_run(finished.results) as file:
        found = [read_heldout(file, points) for points in HELDOUT]
        on_frames = read_series(file)["mse_value"][-1]
    assert all(np.isfinite(value) for heldout in found for value in heldout.values())
    # four sets of points, none of them that of the frames
    assert len({on_frames, *(heldout["mse_value"] for heldout in found)}) == 1 + len(HELDOUT)


def test_same_seed_gives_the_same_bytes_and_another_does_not(
    finished: RunLayout, tmp_path: Path
) -> None:
    first, again = series_of(finished), series_of(run(tiny(), tmp_path / "again"))
    other = series_of(run(tiny(seed=1), tmp_path / "other"))
    for name in (*BASE_SERIES, *METRICS):
        if name != "seconds":  # the clock
            assert again[name].tobytes() == first[name].tobytes(), name
    assert other["loss"].tobytes() != first["loss"].tobytes()


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
    x, y = Diffusion.pixel_coordinates(trained.shape)
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


def test_unfinished_file_is_readable_but_not_complete(tmp_path: Path) -> None:
    config, layout = tiny(), RunLayout(tmp_path)
    recorder = RunWriter(layout, config, "cut off")
    row = dict.fromkeys((*BASE_SERIES, *METRICS), 1.0)
    with recorder:
        recorder.row(1, row)
    assert not outcome(layout.results)
    assert series_of(layout)["step"].tolist() == [1]


def test_a_run_goes_on_after_rows_of_before_a_metric(tmp_path: Path) -> None:
    config, layout = tiny(), RunLayout(tmp_path)
    row = dict.fromkeys((*BASE_SERIES, *METRICS), 1.0)
    with RunWriter(layout, config, "cut off") as recorder:
        recorder.row(0, row)
    without_added_metrics(layout.results)
    with RunWriter(layout, config, "cut off") as recorder:
        assert recorder.start(step=8, rows=1)
        recorder.row(8, row)
        recorder.flush()
    found = series_of(layout)
    assert found["step"].tolist() == [0, 8]
    for name in METRICS:
        first = np.nan if name in ADDED_METRICS else 1.0
        np.testing.assert_array_equal(found[name], [first, 1.0])


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
