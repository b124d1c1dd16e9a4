"""Read what is merged of one run, or find out why it cannot be read.

Reading uses the low-level interface of h5py: a run is twenty small datasets, and the comfort of
the high-level one costs three times as much as reading them.
"""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5g, h5s, h5t

from inr.files import retried
from inr.quantities import METRICS
from inr.results import (
    BASE_SERIES,
    HELDOUT_TYPE,
    ResultsError,
    UnreadableError,
    open_run,
    read_attribute,
)
from inr.storage.attempts import read_attempts
from inr.storage.paths import RunLayout
from postprocess.dataset.usage import account

SERIES = (*BASE_SERIES, *METRICS)
READABLE = ("complete", "diverged")
UNREADABLE = "unreadable"  # now: the file may be sound
PROBLEMS = ("missing", "unfinished", UNREADABLE, "broken")


Record = tuple[dict[str, Any], np.ndarray | None]

# looked up once: h5py would translate numpy's types at every read
_HELDOUT = h5t.py_create(HELDOUT_TYPE)
_HELDOUT_COLUMNS = [f"heldout_{name}" for name in METRICS]
_FLOAT, _INTEGER = h5t.py_create(np.dtype("<f8")), h5t.py_create(np.dtype("<i8"))


def read_record(run: RunLayout, run_id: str) -> Record:
    """The summary row of a run, and its series, [column of `SERIES`, row]; None if it has none.

    The row holds ``status``, what the attempts at the run used, and, for a run with a problem,
    ``reason``; or else what was recorded of the run: attributes, last row of the series, held-out
    metrics.
    """
    row, series = _read_results(run, run_id)
    attempts = read_attempts(run.attempts)
    return row | account(attempts) if attempts else row, series


def _read_results(run: RunLayout, run_id: str) -> Record:
    if not run.results.is_file():
        return _problem("missing", "no run.h5" + _last_error(run))

    def read() -> Record:
        with open_run(run.results) as file:
            if not read_attribute(file, "complete"):
                return _problem("unfinished", _reached(file) + _last_error(run))
            return read_complete(file, run_id)

    try:
        return retried(read)
    except ResultsError as error:
        reason = str(error).removeprefix(f"{run.results}: ").removeprefix("broken: ")
        return _problem(UNREADABLE if isinstance(error, UnreadableError) else "broken", reason)


def _problem(status: str, reason: str) -> Record:
    return {"status": status, "reason": reason}, None


def _reached(file: h5py.File) -> str:
    rows = len(file["series/step"]) if "series/step" in file else 0
    return f"stopped at step {int(file['series/step'][-1])}" if rows else "no step done"


def _last_error(run: RunLayout) -> str:
    """The last line of the traceback that the run left behind, if it did."""
    try:
        text = run.error.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = text.strip().splitlines()
    return f"; last attempt failed: {lines[-1].strip()[:500]}" if lines else ""


def read_complete(file: h5py.File, run_id: str) -> tuple[dict[str, Any], np.ndarray]:
    """The summary row of a complete run, and its series, [column of `SERIES`, row].

    Raises what `open_run` reports as broken when the file does not keep the contract.
    """
    row = _attributes(file, run_id) | _heldout(file)
    columns = _columns(file)
    series = np.empty((len(SERIES), *columns[0].shape))
    for column, numbers in zip(columns, series, strict=True):
        column.read(h5s.ALL, h5s.ALL, numbers, _FLOAT)
    last = dict(zip(SERIES, series[:, -1].tolist(), strict=True)) | {"step": int(series[0, -1])}
    return row | {name: last[name] for name in ("step", "loss", *METRICS)}, series


def _attributes(file: h5py.File, run_id: str) -> dict[str, Any]:
    found = read_attribute(file, "run_id")
    if found != run_id:
        raise ValueError(f"holds run {found}, the index says {run_id}: launch the sweep again")
    status = read_attribute(file, "status")
    if status not in READABLE:
        raise ValueError(f"status {status!r}, expected one of {READABLE}")
    json.loads(read_attribute(file, "config"))  # the index has it too, but the contract promises it
    return {
        "status": status,
        "seconds": float(read_attribute(file, "seconds")),
        "host": str(read_attribute(file, "host")),
        "device": str(read_attribute(file, "device")),
        "attempts": int(read_attribute(file, "attempts")),
    }


def _heldout(file: h5py.File) -> dict[str, float]:
    """Held-out metrics as columns; none when the run ended before they were measured."""
    if "heldout" not in file:
        return {}
    dataset = h5d.open(file.id, b"heldout")
    if dataset.shape != () or dataset.get_type() != _HELDOUT:
        raise ValueError("heldout: not one record of a float a metric")
    record = np.empty((), HELDOUT_TYPE)
    dataset.read(h5s.ALL, h5s.ALL, record, _HELDOUT)
    return dict(zip(_HELDOUT_COLUMNS, record.item(), strict=True))


def _columns(file: h5py.File) -> list[h5d.DatasetID]:
    """The series in the order of `SERIES`: not empty, of one length, all of it in the file.

    The contract knows no compression, so that stored bytes can be counted.
    """
    group = h5g.open(file.id, b"series")
    columns = [h5d.open(group, name.encode()) for name in SERIES]
    lengths = set()
    for name, column in zip(SERIES, columns, strict=True):
        shape, kind = column.shape, _INTEGER if name == "step" else _FLOAT
        if len(shape) != 1 or column.get_type() != kind:
            raise ValueError(f"series/{name}: not a column of 64-bit numbers")
        # HDF5 would fill a hole with zeros, and a damaged length could ask for all memory
        stored, needed = column.get_storage_size(), shape[0] * 8
        if stored < needed:
            raise ValueError(f"series/{name}: {stored} of {needed} bytes are in the file")
        lengths |= set(shape)
    if len(lengths) != 1:
        raise ValueError(f"series of different lengths {sorted(lengths)}")
    if lengths == {0}:
        raise ValueError("the series are empty")
    return columns
