"""Read what is merged of one run, or find out what is wrong with its results.

Reading uses the low-level interface of h5py: a run is twenty small datasets, and the comfort of
the high-level one costs three times as much as reading them.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from h5py import h5d, h5g, h5s, h5t

from inr.files import retried
from inr.metrics import ADDED_METRICS, METRICS
from inr.results import (
    BASE_SERIES,
    HELDOUT,
    HELDOUT_TYPE,
    ResultsError,
    UnreadableError,
    open_run,
    read_attribute,
)
from inr.storage.attempts import Attempt, read_attempts, read_error
from inr.storage.paths import RunLayout
from postprocess.dataset.run_frames import RunFrames

SERIES = (*BASE_SERIES, *METRICS)
READABLE = ("complete", "diverged")
UNREADABLE = "unreadable"  # now: the file may be sound
PROBLEMS = ("missing", "unfinished", UNREADABLE, "broken")
DROPPED = "dropped"  # taken out of the sweep: its row tells only what it cost
# columns of the summary that `account` fills
USAGE = ("attempts", "hosts", "wall_seconds", "cpu_hours", "gpu_hours", "cpu_efficiency")
_SAYS = {"run_id": str, "status": str, "host": str, "slurm_job_id": str, "attempts": int}

Row = dict[str, Any]
Record = tuple[Row, np.ndarray | None]
T = TypeVar("T")

# looked up once: h5py would translate numpy's types at every read
_HELDOUT = h5t.py_create(HELDOUT_TYPE)
_EARLIER = h5t.py_create(np.dtype([(n, "<f8") for n in METRICS if n not in ADDED_METRICS]))
_FLOAT, _INTEGER = h5t.py_create(np.dtype("<f8")), h5t.py_create(np.dtype("<i8"))


def read_run(asked: tuple[RunLayout, str, str]) -> Record:
    """The summary row of a run, and its series; None if it has none.

    ``asked``: its files, its id, and when it was dropped, or "".

    The row holds ``status``, what the attempts at the run used, and ``reason`` if there is a
    problem; or else what was recorded: attributes, last row of the series, held-out metrics. The
    series are [column of `SERIES`, row].
    """
    run, run_id, dropped = asked
    if dropped:
        row, series = {"status": DROPPED, "reason": f"by manage.py drop, {dropped}"}, None
    else:
        record, problem = read_finished(run.results, lambda file: read_complete(file, run_id))
        row, series = record or (problem, None)
    if row["status"] in ("missing", "unfinished"):
        error = read_error(run.error)[:500]
        row["reason"] += f"; last attempt failed: {error}" if error else ""
    attempts = read_attempts(run.attempts)
    return row | account(attempts) if attempts else row, series


def read_finished(path: Path, read: Callable[[h5py.File], T]) -> tuple[T | None, Row]:
    """What ``read`` makes of the file of a finished run, or None and the problem with it.

    A problem has a ``status``, one of `PROBLEMS`, and a ``reason``. Passing errors are waited out.
    """
    if not path.is_file():
        return None, {"status": "missing", "reason": "no run.h5"}

    def attempt() -> tuple[T | None, Row]:
        with open_run(path) as file:
            if read_attribute(file, "complete"):
                return read(file), {}
            rows = len(file["series/step"]) if "series/step" in file else 0
            reached = f"stopped at step {file['series/step'][-1]}" if rows else "no step done"
            return None, {"status": "unfinished", "reason": reached}

    try:
        return retried(attempt)
    except ResultsError as error:
        reason = str(error).removeprefix(f"{path}: ").removeprefix("broken: ")
        status = UNREADABLE if isinstance(error, UnreadableError) else "broken"
        return None, {"status": status, "reason": reason}


def find_verdict(asked: tuple[Path, bool]) -> Row:
    """What is said of the results of the run in a directory; ``True`` has the frames read too.

    They are broken when merging finds them broken or, if the frames are read, when no video can be
    made of them. A verdict has ``status``: complete or diverged; or one of `PROBLEMS`. A broken or
    unreadable file has a ``reason``; a finished one has what else it `_SAYS` of itself.
    """
    directory, frames = asked

    def read(file: h5py.File) -> Row:
        says = {name: read_attribute(file, name) for name in _SAYS}
        if not all(isinstance(says[name], kind) for name, kind in _SAYS.items()):
            raise ValueError(f"attributes {says}")
        read_complete(file, says["run_id"])
        if frames:
            RunFrames(file)
        return says

    says, problem = read_finished(RunLayout(directory).results, read)
    if problem.get("status") in ("missing", "unfinished"):  # nothing is wrong with the file
        return {"status": problem["status"]}
    return says or problem


def read_complete(file: h5py.File, run_id: str) -> tuple[Row, np.ndarray]:
    """The summary row of a complete run, and its series, [column of `SERIES`, row].

    NaN for metrics that came after the file was written.
    Raises what `open_run` reports as broken when the file does not keep the contract.
    """
    row = _attributes(file, run_id) | _heldout(file)
    columns = _columns(file)
    series = np.full((len(SERIES), *columns["step"].shape), np.nan)
    for name, numbers in zip(SERIES, series, strict=True):
        if name in columns:
            columns[name].read(h5s.ALL, h5s.ALL, numbers, _FLOAT)
    last = dict(zip(SERIES, series[:, -1].tolist(), strict=True)) | {"step": int(series[0, -1])}
    return row | {name: last[name] for name in ("step", "loss", *METRICS)}, series


def _attributes(file: h5py.File, run_id: str) -> Row:
    found = read_attribute(file, "run_id")
    if found != run_id:
        raise ValueError(f"holds run {found}, the index says {run_id}: launch the sweep again")
    status = read_attribute(file, "status")
    if status not in READABLE:
        raise ValueError(f"status {status!r}, expected one of {READABLE}")
    json.loads(read_attribute(file, "config"))  # the index has it too, but the contract promises it
    kinds = {"seconds": float, "host": str, "device": str, "attempts": int}
    return {"status": status} | {n: kind(read_attribute(file, n)) for n, kind in kinds.items()}


def _heldout(file: h5py.File) -> Row:
    """Held-out metrics as columns; none of sets of points that were not measured."""
    row: Row = {}
    for points in filter(file.__contains__, HELDOUT):
        dataset = h5d.open(file.id, points.encode())
        if dataset.shape != () or dataset.get_type() not in (_HELDOUT, _EARLIER):
            raise ValueError(f"{points}: not one record of a float a metric")
        record = np.array((math.nan,) * len(METRICS), HELDOUT_TYPE)  # fields not in the file stay
        dataset.read(h5s.ALL, h5s.ALL, record, _HELDOUT)
        names = (f"{points}_{name}" for name in METRICS)
        row |= zip(names, record.item(), strict=True)
    return row


def _columns(file: h5py.File) -> dict[str, h5d.DatasetID]:
    """The series by name: not empty, of one length, all of it in the file.

    The contract knows no compression, so that stored bytes can be counted.
    """
    group = h5g.open(file.id, b"series")
    present = [n for n in SERIES if n not in ADDED_METRICS or n.encode() in group]
    columns = {name: h5d.open(group, name.encode()) for name in present}
    lengths: set[int] = set()
    for name, column in columns.items():
        shape, kind = column.shape, _INTEGER if name == "step" else _FLOAT
        if len(shape) != 1 or column.get_type() != kind:
            raise ValueError(f"series/{name}: not a column of 64-bit numbers")
        # HDF5 would fill a hole with zeros, and a damaged length could ask for all memory
        stored, needed = column.get_storage_size(), shape[0] * 8
        if stored < needed:
            raise ValueError(f"series/{name}: {stored} of {needed} bytes are in the file")
        lengths |= set(shape)
    if len(lengths) > 1:
        raise ValueError(f"series of different lengths {sorted(lengths)}")
    if lengths == {0}:
        raise ValueError("the series are empty")
    return columns


def account(attempts: Sequence[Attempt]) -> dict[str, float | str]:
    """What a run cost, by the names in `USAGE`: the sum over all attempts at it.

        wall_seconds   = sum(wall)
        cpu_hours      = sum(wall x cpus / members) / 3600
        gpu_hours      = sum(wall x gpus / members) / 3600
        cpu_efficiency = sum(cpu) / sum(wall x cpus / members)

    Runs that were trained as one task share what it was given; ``members`` is their number. An
    attempt that was killed has no CPU time on record, so it is left out of the efficiency, which is
    NaN when nothing is known; its wall time lasts until its last sign of life. One that still runs
    counts with nothing. ``hosts`` are names with spaces between, in the order of the attempts.

    Example:
        >>> account([Attempt(1, "", "n1", 1, "", cpus=2, gpus=1, wall_seconds=7200.0,
        ...                  cpu_seconds=3600.0)])["gpu_hours"]
        2.0
    """
    timed = [attempt for attempt in attempts if attempt.cpu_seconds > 0]
    given = sum(attempt.wall_seconds * attempt.cpus / attempt.members for attempt in timed)
    used = sum(attempt.cpu_seconds for attempt in timed)
    return {
        "attempts": len(attempts),
        "hosts": " ".join(dict.fromkeys(attempt.host for attempt in attempts)),
        "wall_seconds": sum(attempt.wall_seconds for attempt in attempts),
        "cpu_hours": sum(a.wall_seconds * a.cpus / a.members for a in attempts) / 3600,
        "gpu_hours": sum(a.wall_seconds * a.gpus / a.members for a in attempts) / 3600,
        "cpu_efficiency": used / given if given > 0 else math.nan,
    }
