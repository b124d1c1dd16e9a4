"""Synthetic runs and sweeps, written with h5py straight against the results contract.

What they measure is that of `tests.helpers.synthetic_data`. Nothing here uses the trainer or the
recorder.
"""

import importlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np

from inr.config import RunConfig
from inr.errors import run_main
from inr.metrics import ADDED_METRICS, METRICS
from inr.quantities import QUANTITIES, UNITS
from inr.results import HELDOUT, SCHEMA
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, index_json, read_index
from tests.helpers.synthetic_data import Frames, diffusion, final_errors, prediction, series


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
            _write_heldout(file, heldout)
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


def _write_heldout(file: h5py.File, heldout: dict[str, float]) -> None:
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    scalar, kind = h5py.h5s.create(h5py.h5s.SCALAR), [(metric, "<f8") for metric in METRICS]
    for number, points in enumerate(HELDOUT):
        found = tuple(heldout[metric] * (1 + number / 8) for metric in METRICS)
        record = np.array(found, kind)
        stored = h5py.h5t.py_create(record.dtype)
        dataset = h5py.h5d.create(file.id, points.encode(), stored, scalar, compact)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, record)


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
    times = np.linspace(-1, 1, len(target["value"]))
    file.create_dataset("frames/time", data=times, chunks=times.shape, fletcher32=True)


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
    root: Path, configs: Iterable[RunConfig], *, shape: tuple[int, int] | None = (32, 32)
) -> SweepLayout:
    """Write a whole sweep directory in which every run is complete."""
    layout = SweepLayout(root)
    configs = list(configs)
    for entry, config in zip(write_index(layout, configs), configs, strict=True):
        write_run(layout.run(entry.name).results, config, name=entry.name, shape=shape)
    return layout


def first_results(layout: SweepLayout) -> Path:
    """The results of the first run of a sweep."""
    return layout.run(read_index(layout)[0].name).results


def without_added_metrics(path: Path) -> None:
    """Turn a ``run.h5`` into one of the time before `inr.metrics.ADDED_METRICS`."""
    with h5py.File(path, "r+") as file:
        for name in ADDED_METRICS:
            del file[f"series/{name}"]
        for points in filter(file.__contains__, HELDOUT):
            record = file[points][()]
            del file[points]
            earlier = [name for name in record.dtype.names if name not in ADDED_METRICS]
            file[points] = np.array(record[earlier].item(), [(name, "<f8") for name in earlier])


def truncate(path: Path) -> None:
    """Cut a file off in the middle."""
    os.truncate(path, path.stat().st_size // 2)
