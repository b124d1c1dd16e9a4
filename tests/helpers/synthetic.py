"""Synthetic runs and sweeps, written with h5py straight against the results contract.

The frames are the exact diffusion of a photograph (cosine series) and the "network" is that plus
smooth errors which shrink as training goes on, so that curves and videos look like real ones.
Nothing here uses the trainer or the recorder.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter
from skimage.data import camera
from skimage.transform import resize

from inr.config import RunConfig
from inr.errors import run_main
from inr.quantities import METRICS, QUANTITIES, UNITS
from inr.results import SCHEMA, ResultsError, open_run, read_attribute
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, index_json

Frames = dict[str, np.ndarray]  # quantity -> [frame, row, column] or [frame, 2, row, column]


@lru_cache(maxsize=4)
def _photograph(shape: tuple[int, int]) -> np.ndarray:
    return 2 * resize(camera() / 255.0, shape, anti_aliasing=True) - 1


def diffusion(shape: tuple[int, int], sigmas: tuple[float, float], frames: int) -> Frames:
    """The four quantities of a diffusing photograph in network units, times evenly spaced."""
    rows, columns = shape
    pixel = 2 / max(shape)
    s_first, s_last = (sigma**2 / 2 for sigma in sigmas)
    k = np.pi * np.arange(rows)[:, None] / rows
    m = np.pi * np.arange(columns)[None, :] / columns
    spectrum = dctn(_photograph(shape), norm="ortho")
    value = [
        idctn(spectrum * np.exp(-(k**2 + m**2) * s), norm="ortho")
        for s in np.linspace(s_first, s_last, frames)
    ]
    laplacian = [
        idctn(-(k**2 + m**2) * np.exp(-(k**2 + m**2) * s) * spectrum, norm="ortho") / pixel**2
        for s in np.linspace(s_first, s_last, frames)
    ]
    gradient = [(np.gradient(f, pixel, axis=1), np.gradient(f, pixel, axis=0)) for f in value]
    kappa = (s_last - s_first) / 2 * pixel**2
    return {
        "value": np.array(value),
        "gradient": np.array(gradient),
        "laplacian": np.array(laplacian),
        "time_derivative": kappa * np.array(laplacian),
    }


def prediction(target: Frames, error: float, rng: np.random.Generator) -> Frames:
    """The target plus smooth noise whose mean square is ``error`` times the target's variance."""

    def disturb(array: np.ndarray) -> np.ndarray:
        smooth = [0.0] * (array.ndim - 2) + [1.5, 1.5]
        noise = gaussian_filter(rng.standard_normal(array.shape), smooth)
        return array + noise / noise.std() * np.sqrt(error) * array.std()

    return {quantity: disturb(array) for quantity, array in target.items()}


def final_errors(config: RunConfig, rng: np.random.Generator) -> dict[str, float]:
    """A plausible final error / variance of each quantity for ``config``."""
    weights = dict(zip(QUANTITIES, config.training.loss_weights.as_tuple(), strict=True))
    skill = 1.0 if config.model.activation == "sine" else 12.0
    rate = 1 + abs(np.log10(config.training.learning_rate / 3e-4))
    base = dict(zip(QUANTITIES, (0.002, 0.02, 0.2, 0.25), strict=True))
    return {
        q: min(0.98, base[q] * skill * rate * (0.4 if weights[q] else 1.0) * rng.uniform(0.8, 1.2))
        for q in QUANTITIES
    }


def series(config: RunConfig, final: Mapping[str, float], rng: np.random.Generator) -> Frames:
    """Every series of the contract, one row per metric evaluation, first row at step 0."""
    steps = np.arange(0, config.training.steps + 1, config.record.metrics_every)
    progress = steps / config.training.steps
    decay = np.exp(-6 * progress)
    columns: Frames = {
        "step": steps,
        "seconds": steps * 0.01,
        "lr": config.training.learning_rate
        * (0.01**progress if config.training.schedule == "exponential" else np.ones(len(steps))),
    }
    scale = {"value": 0.3, "gradient": 9.0, "laplacian": 9e3, "time_derivative": 2.0}
    for quantity in QUANTITIES:
        floor = final[quantity]
        jitter = np.exp(0.08 * rng.standard_normal(len(steps)))
        error = (floor + (1.1 - floor) * decay) * jitter
        columns[f"nmse_{quantity}"] = error
        columns[f"mse_{quantity}"] = error * scale[quantity]
        columns[f"ssim_{quantity}"] = np.clip(1 - np.sqrt(error), -1, 1)
    columns["psnr_value"] = 10 * np.log10(4 / columns["mse_value"])
    columns["pde_residual"] = (
        0.5 * columns["nmse_laplacian"] + 0.5 * columns["nmse_time_derivative"]
    )
    weights = config.training.loss_weights.as_tuple()
    columns["loss"] = sum(
        (w * columns[f"nmse_{q}"] for w, q in zip(weights, QUANTITIES, strict=True)),
        start=np.zeros(len(steps)),
    )
    return columns


def write_run(
    path: Path,
    config: RunConfig,
    *,
    name: str | None = None,
    status: str = "complete",
    complete: bool = True,
    shape: tuple[int, int] | None = (32, 32),
    change: Callable[[Frames], None] | None = None,
) -> None:
    """Write one ``run.h5``. ``change`` may edit the series in place before they are written.

    Without a ``shape`` it has no frames.

    ``status="diverged"`` turns the last fifth of every series and the last frame into NaN.
    """
    rng = np.random.default_rng(int(config.run_id, 16))
    final = final_errors(config, rng)
    columns = series(config, final, rng)
    heldout = {
        metric: float(column[-1] - 0.4 if METRICS[metric].higher_is_better else column[-1] * 1.1)
        for metric, column in columns.items()
        if metric in METRICS
    }
    target, predicted = _frames(config, shape, final, rng) if shape else ({}, {})
    if status == "diverged":
        heldout = {}
        _diverge(columns, predicted)
    if change is not None:
        change(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for attribute, value in _attributes(config, name or config.name, status).items():
            _set_attribute(file, attribute, value)
        for metric, column in columns.items():
            data = column.astype("int64" if metric == "step" else "float64")
            file.create_dataset(
                f"series/{metric}", data=data, chunks=(max(1, len(data)),), fletcher32=True
            )
        if heldout:
            kind = [(metric, "<f8") for metric in METRICS]
            record = np.array(tuple(heldout[metric] for metric in METRICS), kind)
            _write_small(file, "heldout", record)
        if shape:
            _write_frames(file, predicted, target)
        if complete:
            file.attrs["complete"] = True


def _frames(
    config: RunConfig,
    shape: tuple[int, int],
    final: Mapping[str, float],
    rng: np.random.Generator,
) -> tuple[Frames, Frames]:
    sigmas = (config.data.sigma_start, config.data.sigma_end)
    target = diffusion(shape, sigmas, config.data.frames)
    return target, {q: prediction(target, final[q], rng)[q] for q in QUANTITIES}


def _set_attribute(place: h5py.HLObject, name: str, value: Any) -> None:
    """Texts are of fixed length, as the contract says."""
    if isinstance(value, str):
        encoded = value.encode()
        kind = h5py.string_dtype("utf-8", max(1, len(encoded)))
        place.attrs.create(name, encoded, dtype=kind)
    else:
        place.attrs[name] = value


def _write_small(file: h5py.File, name: str, data: Any) -> None:
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    file.create_dataset(name, data=data, dcpl=compact)


def _diverge(columns: Frames, predicted: Frames) -> None:
    for metric in ("loss", *METRICS):
        columns[metric][-max(1, len(columns["step"]) // 5) :] = np.nan
    for array in predicted.values():
        array[-1] = np.nan


def _write_frames(file: h5py.File, predicted: Frames, target: Frames) -> None:
    for quantity in QUANTITIES:
        for part, frames in (("prediction", predicted), ("target", target)):
            data = frames[quantity].astype("float32")
            dataset = file.create_dataset(
                f"frames/{quantity}/{part}",
                data=data,
                chunks=(1, *data.shape[1:]),
                fletcher32=True,
            )
            _set_attribute(dataset, "units", UNITS[quantity])
    _write_small(file, "frames/time", np.linspace(-1, 1, len(target["value"])))


def _attributes(config: RunConfig, name: str, status: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run_id": config.run_id,
        "name": name,
        "config": config.canonical_json(),
        "status": status,
        "created": "2026-01-02T03:04:05+00:00",
        "code_version": "0.1.0",
        "versions": json.dumps({"python": "3.11", "torch": "2.13.0"}),
        "host": "node1",
        "device": "cpu",
        "slurm_job_id": "",
        "attempts": 1,
        "seconds": 12.5,
    }


def is_complete(path: Path) -> bool:
    """True when ``path`` holds a finished run: readable, and the mark written last is there."""
    try:
        with open_run(path) as file:
            return bool(read_attribute(file, "complete"))
    except ResultsError:
        return False


def call(script: str, *arguments: object) -> int:
    """Run an entry script of ``postprocess/`` in this process; returns its exit code."""
    main = importlib.import_module(f"postprocess.{script}").main
    with mock.patch.object(sys, "argv", [f"{script}.py", *map(str, arguments)]):
        return run_main(main)


def make_config(**fields: Any) -> RunConfig:
    """A small configuration; keyword ``group__field`` sets ``group.field``."""
    groups: dict[str, dict[str, Any]] = {
        "data": {"size": 32},
        "model": {},
        "training": {"steps": 200},
        "record": {"metrics_every": 10},
    }
    for path, value in fields.items():
        group, field = path.split("__")
        groups[group][field] = value
    return RunConfig(**groups)


def grid(**axes: Iterable[Any]) -> list[RunConfig]:
    """The product of the given axes (``group__field=values``) as configurations."""
    return [
        make_config(**dict(zip(axes, values, strict=True)))
        for values in itertools.product(*axes.values())
    ]


def quickstart() -> list[RunConfig]:
    """Eight runs: two activations, two learning rates, two weightings."""
    return grid(
        training__loss_weights=[(1, 0, 0, 0), (1, 0.1, 0.01, 0.1)],
        model__activation=["sine", "elu"],
        training__learning_rate=[1e-4, 1e-3],
    )


def write_index(layout: SweepLayout, configs: Iterable[RunConfig]) -> list[IndexEntry]:
    """Write ``index.json``. A seed other than 0, or else the task number, makes names differ."""
    entries: list[IndexEntry] = []
    for task, config in enumerate(configs):
        seed = config.training.seed
        name = config.name + (f"_seed{seed}" if seed else "")
        if any(entry.name == name for entry in entries):
            name += f"_{task}"
        entries.append(IndexEntry(config.run_id, name, task, config.model_dump(mode="json")))
    layout.root.mkdir(parents=True, exist_ok=True)
    layout.index.write_text(index_json(layout.name, entries), encoding="utf-8")
    return entries


def write_sweep(
    root: Path, configs: Iterable[RunConfig], *, shape: tuple[int, int] = (32, 32)
) -> SweepLayout:
    """Write a whole sweep directory in which every run is complete."""
    layout = SweepLayout(root)
    configs = list(configs)
    for entry, config in zip(write_index(layout, configs), configs, strict=True):
        write_run(layout.run(entry.name).results, config, name=entry.name, shape=shape)
    return layout
