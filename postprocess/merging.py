"""Merge the runs of a sweep into one file, schema `inr-sweep/1`.

::

    /                   attributes: schema, sweep, created, code_version, versions, fingerprint
    /series/<column>    1-D, all runs one after the other: `run` (row of /runs), then the series
    /runs/<column>      1-D, one row per run of index.json, in task order:
                        run_id, name, task, status, reason, seconds, host, device, attempts,
                        results (path of run.h5 from the sweep directory, for the frames),
                        rows (length of the series), step, loss and every metric at the last row,
                        heldout_<metric>, and the configuration as dotted columns
    /problems/<column>  name, run_id, status, reason of the runs that could not be read

A run is `complete` or `diverged`, or it has a problem: `missing`, `unfinished` or `broken`. A run
with a problem keeps its row in /runs (numbers NaN, texts empty) and has no series.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import h5py
import numpy as np
import pandas as pd

from inr import __version__
from inr.errors import UserError
from inr.files import replace_atomically
from inr.index import IndexEntry, read_index
from inr.layout import SweepLayout
from inr.results import BASE_SERIES, METRICS, SWEEP_SCHEMA
from postprocess.records import PROBLEMS, READABLE, Problem, Record, read_record
from postprocess.terminal import track

SERIES_COLUMNS = ("run", *BASE_SERIES, *METRICS)

_CHUNK = 16_384  # rows; 128 KiB a chunk
_BLOCK = 16 * _CHUNK  # rows held in memory before they are written: 36 MiB in all


def fingerprint(layout: SweepLayout) -> str:
    """Identify the inputs of a merge: the index, and size and time of change of every run file."""
    digest = hashlib.sha256(f"{SWEEP_SCHEMA} {__version__}\n".encode())
    for entry in read_index(layout):
        path = layout.run(entry.name).results
        try:
            status = path.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(f"{entry.run_id} {entry.name} {entry.task} {state}\n".encode())
    return digest.hexdigest()


def merge(layout: SweepLayout) -> None:
    """Write ``merged.h5`` and ``summary.csv`` of a sweep, run by run.

    Memory grows by one row of ``/runs`` per run, not with the length of the series.

    Raises:
        UserError: the index is broken, no run could be read, or the output cannot be written.
    """
    source = fingerprint(layout)  # before reading: what changes meanwhile makes the merge stale
    entries = read_index(layout)
    rows: list[dict[str, Any]] = []
    with replace_atomically(layout.merged) as temporary, h5py.File(temporary, "w") as file:
        table = _SeriesTable(file.create_group("series", track_order=True))
        for number, entry in enumerate(track(entries, "merging runs")):
            found = read_record(layout, entry)
            rows.append(_row(layout, entry, found))
            if isinstance(found, Record):
                table.append(number, found.series)
        table.flush()
        runs = _runs_frame(rows)
        _require_one(layout, runs)
        _write_frame(file.create_group("runs", track_order=True), runs)
        problems = runs.loc[runs["status"].isin(PROBLEMS), ["name", "run_id", "status", "reason"]]
        _write_frame(file.create_group("problems", track_order=True), problems)
        file.attrs.update(_attributes(layout, source))
        # before merged.h5 is renamed: stopped in between, the merge still counts as due
        with replace_atomically(layout.summary) as summary:
            runs.to_csv(summary, index=False)


def _row(layout: SweepLayout, entry: IndexEntry, found: Record | Problem) -> dict[str, Any]:
    """One row of ``/runs``."""
    path = layout.run(entry.name).results
    row: dict[str, Any] = {"run_id": entry.run_id, "name": entry.name, "task": entry.task}
    if isinstance(found, Problem):
        row |= {"status": found.status, "reason": found.reason}
    else:
        copied = ("status", "seconds", "host", "device", "attempts")
        row |= {name: found.attributes[name] for name in copied}
        row |= {"rows": len(found.series["step"])}
        row |= {name: found.series[name][-1] for name in ("step", "loss", *METRICS)}
        row |= {f"heldout_{name}": number for name, number in found.heldout.items()}
    row["results"] = path.relative_to(layout.root).as_posix()
    return row | dict(flatten(entry.config))


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and values of a nested configuration; lists become JSON."""
    for key, value in config.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{path}.")
        else:
            yield path, json.dumps(value) if isinstance(value, list) else value


def _runs_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """All rows as a frame with a fixed order of columns."""
    first = ["run_id", "name", "task", "status", "reason", "seconds", "host", "device", "attempts"]
    first += ["results", "rows", "step", "loss", *METRICS]
    given = dict.fromkeys(key for row in rows for key in row)
    heldout = [key for key in given if key.startswith("heldout_")]
    rest = [key for key in given if key not in first and key not in heldout]
    return pd.DataFrame(rows, columns=first + heldout + rest)


def _require_one(layout: SweepLayout, runs: pd.DataFrame) -> None:
    status = runs["status"]
    if status.isin(READABLE).any():
        return
    if runs.empty:
        raise UserError(f"{layout.index}: has no runs. Launch the sweep again")
    counts = ", ".join(f"{n} {kind}" for kind in PROBLEMS if (n := (status == kind).sum()))
    raise UserError(
        f"{layout.root}: none of its {len(runs)} runs can be read ({counts}; for example "
        f"{runs['name'][0]}: {runs['reason'][0]}). Launch the sweep again to finish it"
    )


def _write_frame(group: h5py.Group, frame: pd.DataFrame) -> None:
    """One 1-D dataset per column: numbers as they are, everything else as text."""
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            group.create_dataset(name, data=column.to_numpy())
        else:
            texts = ["" if pd.isna(value) else str(value) for value in column]
            group.create_dataset(name, data=texts, dtype=h5py.string_dtype(), shape=len(texts))


def _attributes(layout: SweepLayout, source: str) -> dict[str, str]:
    versions = {
        "python": platform.python_version(),
        "h5py": h5py.__version__,
        "numpy": np.__version__,
        "pandas": pd.__version__,
    }
    return {
        "schema": SWEEP_SCHEMA,
        "sweep": layout.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": __version__,
        "versions": json.dumps(versions),
        "fingerprint": source,
    }


class _SeriesTable:
    """The long table: rows are collected and written in blocks, so that memory stays flat."""

    def __init__(self, group: h5py.Group) -> None:
        self._datasets = {
            name: group.create_dataset(
                name,
                shape=(0,),
                maxshape=(None,),
                dtype="int64" if name in ("run", "step") else "float64",
                chunks=(_CHUNK,),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            )
            for name in SERIES_COLUMNS
        }
        self._pending: list[dict[str, np.ndarray]] = []
        self._pending_rows = 0

    def append(self, run: int, series: dict[str, np.ndarray]) -> None:
        rows = len(series["step"])
        self._pending.append({"run": np.full(rows, run)} | series)
        self._pending_rows += rows
        if self._pending_rows >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        if not self._pending:
            return
        for name, dataset in self._datasets.items():
            block = np.concatenate([series[name] for series in self._pending])
            start = len(dataset)
            dataset.resize(start + len(block), axis=0)
            dataset[start:] = block
        self._pending, self._pending_rows = [], 0
