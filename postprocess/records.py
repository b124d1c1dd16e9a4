"""Read what is merged of one run, or find out why it cannot be read.

Reading uses the low-level interface of h5py: a run is twenty small datasets, and the comfort of
the high-level one costs three times as much as reading them.
"""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5s, h5t

from inr.attempts import read_attempts
from inr.layout import RunLayout
from inr.results import METRICS, ResultsError, open_run, plain
from postprocess.accounting import account
from postprocess.archive import SERIES, SeriesWriter

READABLE = ("complete", "diverged")
PROBLEMS = ("missing", "unfinished", "broken")


def read_record(run: RunLayout, run_id: str, writer: SeriesWriter) -> tuple[int, dict[str, Any]]:
    """Append the series of a run to an archive, and give their length and its summary row.

    The row holds ``status``, what the attempts at the run used, and, for a run with a problem,
    ``reason``; or else what was recorded of the run: attributes, last row of the series, held-out
    metrics.

    Raises:
        UserError: the archive cannot be written.
    """
    rows, row = _read_results(run, run_id, writer)
    attempts = read_attempts(run.attempts)
    return rows, row | account(attempts) if attempts else row


def _read_results(run: RunLayout, run_id: str, writer: SeriesWriter) -> tuple[int, dict[str, Any]]:
    path = run.results
    if not path.is_file():
        return 0, _problem("missing", "no run.h5" + _last_error(run))
    try:
        with open_run(path) as file:
            if not file.attrs.get("complete", False):
                return 0, _problem("unfinished", _reached(file) + _last_error(run))
            return _read(file, run_id, writer)
    except ResultsError as error:
        reason = str(error).removeprefix(f"{path}: ").removeprefix("broken: ")
        return 0, _problem("broken", reason)


def _problem(status: str, reason: str) -> dict[str, Any]:
    return {"status": status, "reason": reason}


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
    return f"; last attempt failed: {lines[-1].strip()[:200]}" if lines else ""


def _read(file: h5py.File, run_id: str, writer: SeriesWriter) -> tuple[int, dict[str, Any]]:
    """Everything of a complete run. Any ValueError is reported as broken by `open_run`."""
    row = _attributes(file, run_id) | _heldout(file)
    columns = _columns(file)
    writer.append(columns)
    last = writer.last()
    row |= {name: last[name] for name in ("step", "loss", *METRICS)}
    return columns[0].shape[0], row


def _attributes(file: h5py.File, run_id: str) -> dict[str, Any]:
    found = _attribute(file, "run_id")
    if found != run_id:
        raise ValueError(f"holds run {found}, the index says {run_id}: launch the sweep again")
    status = _attribute(file, "status")
    if status not in READABLE:
        raise ValueError(f"status {status!r}, expected one of {READABLE}")
    json.loads(_attribute(file, "config"))  # promised by the contract, though the index has it too
    return {
        "status": status,
        "seconds": float(_attribute(file, "seconds")),
        "host": str(_attribute(file, "host")),
        "device": str(_attribute(file, "device")),
        "attempts": int(_attribute(file, "attempts")),
    }


def _attribute(file: h5py.File, name: str) -> Any:
    attribute = h5a.open(file.id, name.encode())
    if attribute.shape != ():
        raise ValueError(f"attribute {name}: not a single value")
    value = np.empty((), attribute.dtype)
    attribute.read(value)
    return plain(value[()])


def _heldout(file: h5py.File) -> dict[str, float]:
    """Held-out metrics as columns; none when the run ended before they were measured."""
    if "heldout" not in file:
        return {}
    group = h5g.open(file.id, b"heldout")
    row: dict[str, float] = {}
    for link in group:
        name = link.decode()
        dataset = h5d.open(group, link)
        if name not in METRICS or dataset.shape != () or dataset.dtype.kind not in "fiu":
            raise ValueError(f"heldout/{name}: not a float of a known metric")
        value = np.empty((), np.float64)
        dataset.read(h5s.ALL, h5s.ALL, value, h5t.NATIVE_DOUBLE)
        row[f"heldout_{name}"] = float(value)
    return row


def _columns(file: h5py.File) -> list[h5d.DatasetID]:
    """The series in the order of `SERIES`: not empty, of one length, all of it in the file.

    The contract knows no compression, so that stored bytes can be counted.
    """
    group = h5g.open(file.id, b"series")
    columns = [h5d.open(group, name.encode()) for name in SERIES]
    lengths = set()
    for name, column in zip(SERIES, columns, strict=True):
        shape, kind = column.shape, column.dtype
        if len(shape) != 1 or kind.kind not in "fiu":
            raise ValueError(f"series/{name}: not a column of numbers")
        # HDF5 would fill a hole with zeros, and a damaged length could ask for all memory
        stored, needed = column.get_storage_size(), shape[0] * kind.itemsize
        if stored < needed:
            raise ValueError(f"series/{name}: {stored} of {needed} bytes are in the file")
        lengths |= set(shape)
    if len(lengths) != 1:
        raise ValueError(f"series of different lengths {sorted(lengths)}")
    if lengths == {0}:
        raise ValueError("the series are empty")
    return columns
