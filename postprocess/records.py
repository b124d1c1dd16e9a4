"""Read what is merged of one run, or find out why it cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from inr.index import IndexEntry
from inr.layout import SweepLayout
from inr.results import ResultsError, open_run, read_attributes, read_heldout, read_series

READABLE = ("complete", "diverged")
PROBLEMS = ("missing", "unfinished", "broken")


@dataclass(frozen=True)
class Problem:
    """Why a run cannot be merged."""

    status: str  # one of PROBLEMS
    reason: str


@dataclass(frozen=True)
class Record:
    """What is merged of one run."""

    attributes: dict[str, Any]
    series: dict[str, np.ndarray]  # each [row], at least one row
    heldout: dict[str, float]


def read_record(layout: SweepLayout, entry: IndexEntry) -> Record | Problem:
    """Read one run, or say why it cannot be read."""
    path = layout.run(entry.name).results
    if not path.is_file():
        return Problem("missing", "no run.h5" + _last_error(layout, entry))
    try:
        with open_run(path) as file:
            if not file.attrs.get("complete", False):
                reached = f"stopped at step {int(file['series/step'][-1])}" if _rows(file) else ""
                return Problem(
                    "unfinished", (reached or "no step done") + _last_error(layout, entry)
                )
            record = Record(read_attributes(file), read_series(file), read_heldout(file))
            _check(record, entry)
            return record
    except ResultsError as error:
        reason = str(error).removeprefix(f"{path}: ").removeprefix("broken: ")
        return Problem("broken", reason)


def _rows(file: h5py.File) -> int:
    return len(file["series/step"]) if "series/step" in file else 0


def _last_error(layout: SweepLayout, entry: IndexEntry) -> str:
    """The last line of the traceback that the run left behind, if it did."""
    try:
        text = layout.run(entry.name).error.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = text.strip().splitlines()
    return f"; last attempt failed: {lines[-1].strip()[:200]}" if lines else ""


def _check(record: Record, entry: IndexEntry) -> None:
    """Raise ValueError (reported as broken) if a readable file does not keep the contract."""
    if record.attributes["run_id"] != entry.run_id:
        raise ValueError(
            f"holds run {record.attributes['run_id']}, the index says {entry.run_id}: "
            "launch the sweep again"
        )
    if record.attributes["status"] not in READABLE:
        raise ValueError(f"status {record.attributes['status']!r}, expected one of {READABLE}")
    for name, column in record.series.items():
        if column.ndim != 1 or column.dtype.kind not in "fiu":
            raise ValueError(f"series/{name}: not a column of numbers")
        if len(column) == 0:
            raise ValueError("the series are empty")
