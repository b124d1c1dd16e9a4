"""Merge the runs of a sweep into one file, schema `inr-sweep/1`, and read it as pandas frames.

::

    /                   attributes: schema, sweep, created, code_version, versions, fingerprint
    /series/<column>    1-D, all runs one after the other: `run` (row of /runs), then the series
    /runs/<column>      1-D, one row per run of index.json, in task order:
                        run_id, name, task, status, reason, seconds, host, device,
                        what all attempts used (`run_reader.USAGE`),
                        results (path of run.h5 from the sweep directory, for the frames),
                        rows (length of the series), step, loss and every metric at the last row,
                        <set>_<metric> for every set of `inr.results.HELDOUT`, and the configuration
                        as dotted columns
    /problems/<column>  name, run_id, status, reason of the runs that could not be read
    /sources            what a later merge needs to copy a run from here, see `sweep_tables`

A run is `complete` or `diverged`, or it has a problem: `missing`, `unfinished`, `unreadable` (the
file system failed: it is read again the next time) or `broken`; or it is `dropped`. A run with a
problem or dropped keeps its row in /runs (numbers NaN, texts empty) and has no series.

Several processes read the runs; those that have not changed are copied from the previous merged
file.
"""

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from inr import __version__
from inr.errors import UserError
from inr.files import remove_leftovers, replace_atomically
from inr.metrics import METRICS
from inr.progress import track
from inr.results import SWEEP_SCHEMA
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry, flatten_config, read_index
from postprocess.dataset.run_reader import (
    DROPPED,
    PROBLEMS,
    READABLE,
    UNREADABLE,
    USAGE,
    Record,
    Row,
    read_run,
)
from postprocess.dataset.sweep_tables import VERSION, Archive, SeriesTable
from postprocess.worker_pool import ChildLostError, run_isolated

_LOCK_SECONDS = 600.0  # how long to wait for another merge of the same sweep


def find_inputs(layout: SweepLayout) -> dict[str, IndexEntry]:
    """Every run, by a text that changes with everything that its row and its series come from."""

    def state(path: Path) -> str:
        try:
            status = path.stat()
        except OSError:
            return "missing"
        return f"{status.st_size} {status.st_mtime_ns}"

    inputs = {}
    for entry in read_index(layout):
        run = layout.run(entry.name)
        states = map(state, (run.results, run.error, run.attempts))
        inputs[" ".join([entry.run_id, entry.name, *states, entry.dropped])] = entry
    return inputs


def fingerprint(inputs: Iterable[str]) -> str:
    """Identify the inputs of a merge: the index, and size and time of change of every run file."""
    return hashlib.sha256("\n".join((SWEEP_SCHEMA, VERSION, *inputs)).encode()).hexdigest()


def merge(layout: SweepLayout, *, reuse: bool = True) -> None:
    """Write ``merged.h5`` and ``summary.csv`` of a sweep.

    Memory grows by one row of ``/runs`` per run, not with the series of all. With ``reuse``, runs
    that have not changed are copied from the merged file, instead of reading all again.

    Raises `UserError` if the index is broken or empty, the output cannot be written, or another
    process has been merging the sweep for ten minutes.
    """
    with RunLock(layout.merge_lock, wait=_LOCK_SECONDS):
        remove_leftovers(layout.merged)  # of a merge that was killed
        inputs = find_inputs(layout)  # before reading: what changes meanwhile is due again
        if not inputs:
            raise UserError(f"{layout.index}: has no runs. Launch the sweep again")
        with replace_atomically(layout.merged) as temporary:
            with h5py.File(temporary, "w", locking=False) as file:
                runs = _write(layout, file, inputs, reuse)
            # before merged.h5 is renamed: stopped in between, the merge still counts as due
            with replace_atomically(layout.summary) as summary:
                _by_target(runs).to_csv(summary, index=False)


def _write(
    layout: SweepLayout, file: h5py.File, inputs: dict[str, IndexEntry], reuse: bool
) -> pd.DataFrame:
    """Write all of a merged file; the frame of its ``/runs``."""
    table = SeriesTable(file)
    sources: list[tuple[str, int, Row]] = []
    rows: list[Row] = []
    records = _copy_or_read(layout, inputs, reuse)
    for (key, entry), (found, series) in zip(inputs.items(), records, strict=True):
        row = {"run_id": entry.run_id, "name": entry.name, "task": entry.task} | found
        row["results"] = layout.run(entry.name).results.relative_to(layout.root).as_posix()
        length = 0
        if series is not None:
            table.append(len(rows), series)
            length = row["rows"] = series.shape[1]
        if found["status"] != UNREADABLE:  # that is read again the next time
            sources.append((key, length, found))
        rows.append(row | flatten(entry.config))
    table.finish(sources)
    runs = _runs_frame(rows)
    bad = runs.loc[runs["status"].isin(PROBLEMS), ["name", "run_id", "status", "reason"]]
    _write_frame(file.create_group("runs", track_order=True), runs)
    _write_frame(file.create_group("problems", track_order=True), bad)
    versions = {each.__name__: each.__version__ for each in (h5py, np, pd)}
    file.attrs.update(
        schema=SWEEP_SCHEMA,
        sweep=layout.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=__version__,
        versions=json.dumps({"python": platform.python_version()} | versions),
        fingerprint=fingerprint(inputs) if len(sources) == len(inputs) else "",
    )
    return runs


def _copy_or_read(
    layout: SweepLayout, inputs: dict[str, IndexEntry], reuse: bool
) -> Iterator[Record]:
    """The row and the series of every run: from the previous merged file, else from the run."""
    with Archive(layout.merged) as old:
        known = {key for key in inputs if reuse and key in old}
        unknown = [entry for key, entry in inputs.items() if key not in known]
        due = [(layout.run(each.name), each.run_id, each.dropped) for each in unknown]
        with closing(run_isolated(read_run, due)) as replies:
            fresh = iter(track(replies, "merging runs", total=len(due)))
            for key in inputs:
                if key in known:
                    yield old.read(key)
                elif isinstance(reply := next(fresh), ChildLostError):
                    yield {"status": "broken", "reason": str(reply)}, None
                else:
                    yield reply


def flatten(config: Mapping[str, Any]) -> Row:
    """Values of a configuration by their dotted paths; lists become JSON."""
    fields = flatten_config(config)
    return {k: json.dumps(value) if isinstance(value, list) else value for k, value in fields}


def _runs_frame(rows: list[Row]) -> pd.DataFrame:
    """All rows as a frame with a fixed order of columns."""
    first = ["run_id", "name", "task", "status", "reason", "seconds", "host", "device"]
    first += [*USAGE, "results", "rows", "step", "loss", *METRICS]
    given = dict.fromkeys(key for row in rows for key in row)
    heldout = [key for key in given if key.startswith("heldout_")]
    rest = [key for key in given if key not in first and key not in heldout]
    return pd.DataFrame(rows, columns=first + heldout + rest)


def _by_target(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of each combination of varied ``data.*`` fields together, these fields in front.

    Errors of runs that learned different things are not comparable.
    """
    varied = [name for name in runs if name.startswith("data.") and runs[name].nunique() > 1]
    if not varied:
        return runs
    order = runs.groupby(varied, sort=False, dropna=False).ngroup().sort_values(kind="stable")
    return runs.loc[order.index, [*varied, *runs.columns.difference(varied, sort=False)]]


def _write_frame(group: h5py.Group, frame: pd.DataFrame) -> None:
    """One 1-D dataset per column: numbers as they are, everything else as text."""
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column):
            group.create_dataset(name, data=column.to_numpy())
        else:
            texts = ["" if pd.isna(value) else str(value) for value in column]
            group.create_dataset(name, data=texts, dtype=h5py.string_dtype(), shape=len(texts))


@dataclass(frozen=True)
class MergedSweep:
    """A merged file: its rows per run, and its series on demand."""

    path: Path
    sweep: str
    runs: pd.DataFrame  # every run that was not dropped; row label = `run` in the series
    dropped: pd.DataFrame  # rows of the others
    problems: pd.DataFrame  # name, run_id, status, reason

    @property
    def readable(self) -> pd.DataFrame:
        """The rows of ``runs`` that have results: complete and diverged runs."""
        return self.runs[self.runs["status"].isin(READABLE)]

    def series(self, *columns: str) -> pd.DataFrame:
        """The columns ``run``, ``step`` and ``columns`` of the long table; no other is read."""
        with h5py.File(self.path, "r", locking=False) as file:
            group = file["series"]
            return pd.DataFrame({name: group[name][:] for name in ("run", "step", *columns)})


def is_current(layout: SweepLayout) -> bool:
    """True when ``merged.h5`` and ``summary.csv`` exist and no input has changed since."""
    if not layout.summary.is_file():
        return False
    try:
        with h5py.File(layout.merged, "r", locking=False) as file:
            stored = (file.attrs.get("schema"), file.attrs.get("fingerprint"))
    except OSError:  # missing or damaged
        return False
    return stored == (SWEEP_SCHEMA, fingerprint(find_inputs(layout)))


def read_merged(layout: SweepLayout) -> MergedSweep:
    """Read ``merged.h5`` as it is. Raises `UserError` when it is damaged."""
    try:
        with h5py.File(layout.merged, "r", locking=False) as file:
            rows = _read_frame(file["runs"])
            dropped = rows["status"] == DROPPED
            return MergedSweep(
                path=layout.merged,
                sweep=str(file.attrs["sweep"]),
                runs=rows[~dropped],
                dropped=rows[dropped],
                problems=_read_frame(file["problems"]),
            )
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{layout.merged}: broken ({reason}). Merge again with --force") from error


def ensure_merged(layout: SweepLayout, *, empty: bool = False, force: bool = False) -> MergedSweep:
    """Merge if ``merged.h5`` is missing or older than a run, then read it.

    With ``force``, merge whatever there is, and read every run again. Raises `UserError` when the
    merged file cannot be written, or, unless ``empty`` will do, when no run can be read.
    """
    if force or not is_current(layout):
        merge(layout, reuse=not force)
    merged = read_merged(layout)
    if not empty and merged.readable.empty:
        status, first = merged.runs["status"], merged.runs.iloc[0]
        counts = ", ".join(f"{n} {kind}" for kind in PROBLEMS if (n := (status == kind).sum()))
        raise UserError(
            f"{layout.root}: none of its {len(status)} runs can be read ({counts}; for example "
            f"{first['name']}: {first['reason']}). Launch the sweep again to finish it"
        )
    return merged


def _read_frame(group: h5py.Group) -> pd.DataFrame:
    def read(dataset: h5py.Dataset) -> object:
        return dataset.asstr()[:] if h5py.check_string_dtype(dataset.dtype) else dataset[:]

    return pd.DataFrame({name: read(group[name]) for name in group})
