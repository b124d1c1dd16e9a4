"""One small run: it learns, stops where it should, and goes on to exactly the same bytes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from inr.config import RecordConfig, RunConfig
from inr.errors import UsageError
from inr.metrics import METRICS
from inr.progress import Progress
from inr.results import BASE_SERIES, open_run, read_attributes, read_series
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.checkpoint import read_checkpoint
from inr.training.fit import pick_device
from tests.helpers.tiny_run import fit, quiet, run, series_of, tiny


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


def test_progress_is_told_and_ends_at_the_last_step(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run(tiny(), tmp_path, on_progress=seen.append)
    assert seen[-1].step == seen[-1].steps == 30
    assert "nmse_laplacian" in seen[-1].errors


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


@pytest.fixture(scope="module", params=[1, 2, 8, 25])
def measured_every(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunConfig, bytes]:
    """A run that is measured so often, and its losses when nothing stops it."""
    record = RecordConfig(metrics_every=request.param, tensorboard=False)
    config = quiet().model_copy(update={"record": record})
    return config, series_of(run(config, tmp_path_factory.mktemp("whole")))["loss"].tobytes()


@pytest.mark.parametrize("steps", [1, 8, 12, 25])
def test_a_request_to_stop_is_obeyed_after_the_step(
    measured_every: tuple[RunConfig, bytes], steps: int, tmp_path: Path
) -> None:
    (config, whole), layout = measured_every, RunLayout(tmp_path)
    with RunWriter(layout, config, "stopped") as recorder:
        assert fit(config, recorder, device="cpu", should_stop=StopAfter(steps - 1)) == "stopped"
    saved = read_checkpoint(layout.checkpoint, config.run_id)
    assert saved is not None
    assert saved.step == steps
    assert series_of(run(config, tmp_path))["loss"].tobytes() == whole


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
