"""Merge the runs of a sweep into one file, schema `inr-sweep/1`.

::

    /                   attributes: schema, sweep, created, code_version, versions, fingerprint
    /series/<column>    1-D, all runs one after the other: `run` (row of /runs), then the series
    /runs/<column>      1-D, one row per run of index.json, in task order:
                        run_id, name, task, status, reason, seconds, host, device,
                        what all attempts used (`postprocess.dataset.usage.COLUMNS`),
                        results (path of run.h5 from the sweep directory, for the frames),
                        rows (length of the series), step, loss and every metric at the last row,
                        heldout_<metric>, and the configuration as dotted columns
    /problems/<column>  name, run_id, status, reason of the runs that could not be read
    /sources            what a later merge needs to copy a run from here, see `sweep_tables`

A run is `complete` or `diverged`, or it has a problem: `missing`, `unfinished`, `unreadable` (the
file system failed: it is read again the next time) or `broken`. A run with a problem keeps its row
in /runs (numbers NaN, texts empty) and has no series.

Several processes read the runs; those that have not changed are copied from the previous merged
file.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from inr import __version__
from inr.errors import UserError
from inr.files import remove_leftovers, replace_atomically
from inr.quantities import METRICS
from inr.results import SWEEP_SCHEMA
from inr.storage.lock import RunLock
from inr.storage.paths import RunLayout, SweepLayout
from inr.storage.sweep_index import IndexEntry, read_index
from postprocess.command_line import track
from postprocess.dataset import usage
from postprocess.dataset.run_reader import PROBLEMS, UNREADABLE, Record, read_record
from postprocess.dataset.sweep_tables import (
    VERSION,
    SeriesReader,
    SeriesTable,
    read_sources,
    write_sources,
)
from postprocess.worker_pool import Batch, run_isolated, usable_cores

_BATCH_RUNS = 16  # at most: what is in memory at once, and read again after a crash
_LOCK_SECONDS = 600.0  # how long to wait for another merge of the same sweep


def fingerprint(layout: SweepLayout) -> str:
    """Identify the inputs of a merge: the index, and size and time of change of every run file."""
    return _fingerprint(_keys(layout, read_index(layout)))


def _fingerprint(keys: Sequence[str]) -> str:
    return hashlib.sha256("\n".join((SWEEP_SCHEMA, VERSION, *keys)).encode()).hexdigest()


def _keys(layout: SweepLayout, entries: Sequence[IndexEntry]) -> list[str]:
    """Per run, a text that changes with everything that its row and its series come from."""
    keys = []
    for entry in entries:
        run = layout.run(entry.name)
        states = " ".join(_state(path) for path in (run.results, run.error, run.attempts))
        keys.append(f"{entry.run_id} {entry.name} {states}")
    return keys


def _state(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


def merge(layout: SweepLayout, *, reuse: bool = True) -> None:
    """Write ``merged.h5`` and ``summary.csv`` of a sweep.

    Memory grows by one row of ``/runs`` per run, not with the series of all.

    Args:
        layout: the sweep.
        reuse: copy runs that have not changed from the merged file, instead of reading all again.

    Raises:
        UserError: the index is broken or empty, the output cannot be written, or another process
            has been merging the sweep for ten minutes.
    """
    entries = read_index(layout)
    if not entries:
        raise UserError(f"{layout.index}: has no runs. Launch the sweep again")
    with RunLock(layout.merge_lock, wait=_LOCK_SECONDS):
        remove_leftovers(layout.merged)  # of a merge that was killed
        keys = _keys(layout, entries)  # before reading: what changes meanwhile is due again
        with replace_atomically(layout.merged) as temporary:
            with h5py.File(temporary, "w", locking=False) as file:
                runs = _write(layout, file, entries, keys, reuse)
            # before merged.h5 is renamed: stopped in between, the merge still counts as due
            with replace_atomically(layout.summary) as summary:
                runs.to_csv(summary, index=False)


def _write(
    layout: SweepLayout,
    file: h5py.File,
    entries: Sequence[IndexEntry],
    keys: Sequence[str],
    reuse: bool,
) -> pd.DataFrame:
    """Write all of a merged file; the frame of its ``/runs``."""
    table = SeriesTable(file)
    sources, rows = [], []
    for number, (row, series) in enumerate(_copy_or_read(layout, entries, keys, reuse)):
        length = 0
        if series is not None:
            table.append(number, series)
            length = series.shape[1]
        if row["status"] != UNREADABLE:  # that is read again the next time
            sources.append((keys[number], length, row))
        rows.append(_row(layout, entries[number], row, length))
    table.flush()
    runs = _runs_frame(rows)
    _write_frame(file.create_group("runs", track_order=True), runs)
    bad = runs.loc[runs["status"].isin(PROBLEMS), ["name", "run_id", "status", "reason"]]
    _write_frame(file.create_group("problems", track_order=True), bad)
    write_sources(file, sources)
    complete = len(sources) == len(keys)
    file.attrs.update(_attributes(layout, _fingerprint(keys) if complete else ""))
    return runs


def _copy_or_read(
    layout: SweepLayout, entries: Sequence[IndexEntry], keys: Sequence[str], reuse: bool
) -> Iterator[Record]:
    """The row and the series of every run: from the previous merged file, else from the run."""
    known = read_sources(layout.merged) if reuse else {}
    due = [entry for entry, key in zip(entries, keys, strict=True) if key not in known]
    with ExitStack() as stack:
        if known:
            old = stack.enter_context(h5py.File(layout.merged, "r", locking=False))
            reader = SeriesReader(old)
        read = stack.enter_context(closing(_read(layout, due)))
        for key in keys:
            if key in known:
                yield known[key].row, reader.read(known[key])
            else:
                yield next(read)


def _read(layout: SweepLayout, entries: Sequence[IndexEntry]) -> Generator[Record]:
    """Read runs in reading processes; the row and the series of each, in order."""
    size = min(_BATCH_RUNS, max(1, len(entries) // (4 * usable_cores())))
    runs = [(layout.run(entry.name).root, entry.run_id) for entry in entries]
    blocks = [runs[first : first + size] for first in range(0, len(runs), size)]
    with closing(run_isolated(read_batch, [Batch(block, len(block)) for block in blocks])) as done:
        for records in track(done, "merging runs", total=len(blocks)):
            yield from records


def read_batch(runs: list[tuple[Path, str]], crashed: dict[int, str]) -> Iterator[Record]:
    """Read runs (directory, run id), one after the other; see `postprocess.worker_pool`."""
    for number, (directory, run_id) in enumerate(runs):
        if number in crashed:
            yield {"status": "broken", "reason": crashed[number]}, None
        else:
            yield read_record(RunLayout(directory), run_id)


def _row(
    layout: SweepLayout, entry: IndexEntry, found: dict[str, Any], length: int
) -> dict[str, Any]:
    """One row of ``/runs``: what was found of a run, and the length of its series."""
    row: dict[str, Any] = {"run_id": entry.run_id, "name": entry.name, "task": entry.task}
    row |= found
    if length:
        row["rows"] = length
    row["results"] = layout.run(entry.name).results.relative_to(layout.root).as_posix()
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
    first = ["run_id", "name", "task", "status", "reason", "seconds", "host", "device"]
    first += usage.COLUMNS
    first += ["results", "rows", "step", "loss", *METRICS]
    given = dict.fromkeys(key for row in rows for key in row)
    heldout = [key for key in given if key.startswith("heldout_")]
    rest = [key for key in given if key not in first and key not in heldout]
    return pd.DataFrame(rows, columns=first + heldout + rest)


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
