"""Packs: every trainer trains as it would alone."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import inr
from inr.config import RecordConfig, RunConfig
from inr.results import open_run, read_series
from inr.storage.paths import RunLayout
from inr.storage.run_writer import RunWriter
from inr.training.fit import Outcome, Run, fit_together

# trainers that differ in all that trainers of a pack may differ in
DIFFERENT: dict[str, dict[str, Any]] = {
    "adam": {"schedule": "cosine", "learning_rate": 3e-4, "seed": 1},
    "weights": {"loss_weights": (0.5, 0.0, 0.1, 0.2), "schedule": "cyclic", "seed": 2},
    "clipped": {"learning_rate": 1e-3, "clip_norm": 0.1, "seed": 3},
    "raw": {"loss_normalization": "raw", "learning_rate": 1e-5, "schedule": "multi_step"},
}


def make_config(steps: int = 200, activation: str = "sine", **training: Any) -> RunConfig:
    training = {"precision": "float64", "batch": 64, "loss_weights": (1, 1, 1, 1)} | training
    return RunConfig(
        data={"size": 12, "frames": 3},
        model={"width": 16, "depth": 2, "activation": activation},
        training={"steps": steps, **training},
        record={"metrics_every": 50, "tensorboard": False},
    )


def train(root: Path, configs: list[RunConfig], stop_after: float = math.inf) -> list[Outcome]:
    """Train the runs as one pack, in directories named by their run ids."""
    runs = [Run(c, RunWriter(RunLayout(root / c.run_id), c, "x")) for c in configs]
    calls = itertools.count()
    return fit_together(runs, device="cpu", should_stop=lambda: next(calls) >= stop_after)


def series(root: Path, config: RunConfig) -> dict[str, np.ndarray]:
    with open_run(RunLayout(root / config.run_id).results) as file:
        found = read_series(file)
    del found["seconds"]  # the clock
    return found


def assert_same(
    found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], rtol: float = 1e-5
) -> None:
    for name, column in wanted.items():
        np.testing.assert_allclose(found[name], column, rtol=rtol, atol=0, err_msg=name)


def test_members_of_a_pack_train_as_they_would_alone(tmp_path: Path) -> None:
    configs = [make_config(**training) for training in DIFFERENT.values()]
    assert len({config.fusing_key for config in configs}) == 1
    assert train(tmp_path / "pack", configs) == ["complete"] * 4
    for config in configs:
        assert train(tmp_path / "alone", [config]) == ["complete"]
        assert_same(series(tmp_path / "pack", config), series(tmp_path / "alone", config))


@pytest.mark.parametrize("activation", ["elu", "tanh", "gaussian"])
def test_so_do_other_activations(tmp_path: Path, activation: str) -> None:
    configs = [make_config(60, activation, seed=seed) for seed in (1, 2)]
    assert train(tmp_path / "pack", configs) == ["complete"] * 2
    for config in configs:
        train(tmp_path / "alone", [config])
        assert_same(series(tmp_path / "pack", config), series(tmp_path / "alone", config))


NETWORKS = [
    {"sines": 2},
    {"first_layer": "fourier_gaussian", "activation": "tanh"},
    {"initialization": "siren2"},
]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: next(iter(network)))
def test_so_do_other_networks_on_other_images_from_other_scales(
    tmp_path: Path, network: dict[str, object]
) -> None:
    plain = make_config(60)
    configs = [
        RunConfig.model_validate(
            plain.model_dump()
            | {"data": plain.data.model_dump() | {"image": image}}
            | {"model": plain.model.model_dump() | network | {"first_scale": scale}}
        )
        for image, scale in (("camera", 1.0), ("brick", 0.5))
    ]
    assert train(tmp_path / "pack", configs) == ["complete"] * 2
    for config in configs:
        train(tmp_path / "alone", [config])
        assert_same(series(tmp_path / "pack", config), series(tmp_path / "alone", config))
        assert train(tmp_path / "cut", [config], stop_after=25) == ["stopped"]
        assert train(tmp_path / "cut", [config]) == ["complete"]
        assert_same(series(tmp_path / "cut", config), series(tmp_path / "alone", config), rtol=0)
        trained = inr.load(RunLayout(tmp_path / "cut" / config.run_id).model)
        with open_run(RunLayout(tmp_path / "cut" / config.run_id).results) as file:
            kept = file["frames/value/prediction"][:]
        np.testing.assert_allclose(trained.render(trained.times).value, kept, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["muon", "soap"])
def test_so_do_other_optimizers(tmp_path: Path, optimizer: str) -> None:
    """To a looser bound: Muon rounds to bfloat16, which makes much of the last bit."""
    configs = [make_config(60, optimizer=optimizer, seed=seed) for seed in (1, 2)]
    assert train(tmp_path / "pack", configs) == ["complete"] * 2
    for config in configs:
        train(tmp_path / "alone", [config])
        assert_same(series(tmp_path / "pack", config), series(tmp_path / "alone", config), 1e-2)


def test_one_that_diverges_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    wild = make_config(learning_rate=1e300)
    calm = make_config(learning_rate=1e-4)
    assert train(tmp_path / "pack", [wild, calm]) == ["diverged", "complete"]
    train(tmp_path / "alone", [calm])
    assert_same(series(tmp_path / "pack", calm), series(tmp_path / "alone", calm))
    assert not np.isfinite(series(tmp_path / "pack", wild)["loss"][-1])


def test_one_that_cannot_write_fails_alone(tmp_path: Path) -> None:
    configs = [make_config(100, seed=seed) for seed in (1, 2)]
    # a directory in the way of its results
    (tmp_path / configs[0].run_id / "run.h5").mkdir(parents=True)
    failure, status = train(tmp_path, configs)
    assert isinstance(failure, Exception)
    assert "cannot be written" in str(failure)
    assert status == "complete"


def test_members_may_be_of_different_lengths(tmp_path: Path) -> None:
    configs = [make_config(70), make_config(110)]
    assert train(tmp_path / "pack", configs) == ["complete"] * 2
    assert series(tmp_path / "pack", configs[0])["step"].tolist() == [0, 50, 70]
    assert series(tmp_path / "pack", configs[1])["step"].tolist() == [0, 50, 100, 110]


def test_a_stopped_pack_goes_on_also_in_other_company(tmp_path: Path) -> None:
    configs = [make_config(seed=seed) for seed in (1, 2, 3)]
    assert train(tmp_path / "pack", configs[:2], stop_after=73) == ["stopped"] * 2
    assert train(tmp_path / "pack", configs) == ["complete"] * 3
    for config in configs:
        train(tmp_path / "alone", [config])
        assert_same(series(tmp_path / "pack", config), series(tmp_path / "alone", config))


@pytest.mark.parametrize("metrics_every", [1, 50])
def test_a_pack_is_stopped_after_the_step_where_something_is_due(
    metrics_every: int, tmp_path: Path
) -> None:
    record = RecordConfig(metrics_every=metrics_every, tensorboard=False)
    configs = [make_config(n).model_copy(update={"record": record}) for n in (50, 60)]
    # the first ends with the step after which the request comes, as does what is due
    assert train(tmp_path, configs, stop_after=49) == ["complete", "stopped"]


def test_runs_of_different_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fit together"):
        train(tmp_path, [make_config(), make_config(batch=32)])
    with pytest.raises(ValueError, match="fit together"):
        train(tmp_path, [make_config(), make_config(loss_weights=(1, 1, 0, 1))])


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float32"])
def test_every_precision_trains_and_leaves_torch_as_it_was(tmp_path: Path, precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    config = make_config(50, precision=precision)
    assert train(tmp_path, [config]) == ["complete"]
    losses = series(tmp_path, config)["loss"]
    assert losses[-1] < losses[0]
    assert torch.get_float32_matmul_precision() == before
