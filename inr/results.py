"""The results contract: what a ``run.h5`` holds, and how to read it. Imports no torch.

Schema ``inr-run/1``::

    /                      attributes, see `ROOT_ATTRIBUTES`; `complete` is written last
    /series/<name>         float64 (step: int64) [row]: step, seconds, lr, loss and every metric
    /frames/<Q>/prediction float32 [frame, row, column]; gradient: [frame, 2, row, column], x, y
    /frames/<Q>/target     the same; both carry the attribute `units`, see `frame_units`
    /frames/time           float64 [frame], network time in [-1, 1]; original protocol: px^2
    /heldout               one record of float64, a field a metric, where nothing was trained; and
    /heldout_<set>         on further sets of points, see `HELDOUT`

Checksums cover the whole file (format of HDF5 1.10, Fletcher-32 on the datasets), so that damage
is an error and never a wrong number. Text attributes are of fixed length, UTF-8: the
variable-length texts of HDF5 lie in a heap, and a damaged heap can crash the library.

with <Q> one of value, gradient, laplacian, time_derivative. A row of ``/series`` describes the
network after ``step`` optimiser steps, over all frames; ``lr`` is the rate of the next step.
The writer is `inr.storage.run_writer`.
"""

import errno
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import h5py
import numpy as np
from h5py import h5a, h5t

from inr.errors import UserError
from inr.files import PASSING_ERRORS, retried
from inr.metrics import ADDED_METRICS, METRICS
from inr.quantities import UNITS, Quantity

SCHEMA = "inr-run/1"
SWEEP_SCHEMA = "inr-sweep/1"

Role = Literal["prediction", "target"]
Result = TypeVar("Result")

# Of runs of the original protocol: pixel centres lie on linspace(-1, 1, N), time is diffusion time
# in px^2. Its targets are in other units than the network's derivatives, a defect of that study.
_ORIGINAL_UNITS: dict[Role, dict[Quantity, str]] = {
    "prediction": UNITS | {"time_derivative": "1/px^2"},
    "target": {
        "value": "1",
        "gradient": "1/(8 px)",
        "laplacian": "1/px^2",
        "time_derivative": "grey levels/px^2 mod 256",
    },
}


def frame_units(protocol: str, role: Role) -> dict[Quantity, str]:
    """Units of the frames of a run of ``protocol``, by quantity."""
    return _ORIGINAL_UNITS[role] if protocol == "original" else UNITS


ROOT_ATTRIBUTES = (
    "schema",
    "run_id",
    "name",
    "config",  # JSON
    "status",  # "complete", or "diverged" when the loss became NaN or infinite
    "created",  # ISO 8601, UTC
    "code_version",
    "versions",  # JSON
    "host",
    "device",
    "slurm_job_id",
    "attempts",
    "seconds",
    "complete",
)
BASE_SERIES = ("step", "seconds", "lr", "loss")
# Sets of points where nothing was trained. They are not the harder ones: half-way between the first
# two frames a picture is already much smoother than in the first one.
HELDOUT = (
    "heldout",  # pixel corners, half-way between the frames
    "heldout_pixels",  # pixel corners, at the frames
    "heldout_frames",  # pixel centres, half-way between the frames
    "heldout_first",  # pixel corners, at five times between the first two frames
)
HELDOUT_TYPE = np.dtype([(name, "<f8") for name in METRICS])


class ResultsError(UserError):
    """A results file is missing, broken, unfinished or of another schema."""


class UnreadableError(ResultsError):
    """A results file cannot be read now: the file system fails. The file may be sound."""


@contextmanager
def open_run(path: Path) -> Iterator[h5py.File]:
    """Open a ``run.h5`` for reading.

    Raises `ResultsError` when the file is missing, is no HDF5 file, has another schema or no
    series, or when reading inside the ``with`` block fails; `UnreadableError` when that says
    nothing of the file.
    """
    try:
        # no lock: a file is replaced, never changed, and some file systems have no locks
        with retried(lambda: h5py.File(path, "r", locking=False)) as file:
            schema = read_attribute(file, "schema")
            if schema != SCHEMA:
                raise ResultsError(f"{path}: schema {schema!r}, expected {SCHEMA!r}")
            yield file
    except ResultsError:
        raise
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ResultsError(f"{path}: missing") from error
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        # h5py reports damage with any of these, depending on which structure is hit
        if failure := _failure_to_read(error):
            raise UnreadableError(f"{path}: cannot be read: {failure.strerror}") from failure
        raise ResultsError(f"{path}: broken: {' '.join(str(error).split())}") from error


def _failure_to_read(error: Exception) -> OSError | None:
    """What failed in the file system, if that failed and not the file; HDF5 says so in words."""
    told = re.search(r"errno = (\d+)", str(error))
    number = int(told[1]) if told else getattr(error, "errno", None)
    if number in PASSING_ERRORS or number in (errno.EACCES, errno.EPERM):
        return OSError(number, os.strerror(number))
    return None


def read_if_sound(path: Path, read: Callable[[h5py.File], Result | None]) -> Result | None:
    """What ``read`` finds in a ``run.h5``; None if that is missing, broken or of another schema.

    Raises `UnreadableError` if it cannot be read now.
    """

    def opened() -> Result | None:
        with open_run(path) as file:
            return read(file)

    try:
        return retried(opened)
    except UnreadableError:
        raise
    except ResultsError:
        return None


def outcome(path: Path, run_id: str | None = None) -> str | None:
    """Return "complete" or "diverged" when ``path`` holds a finished run, else None.

    It counts only with the mark that is written last, and as ``run_id`` if that is given.
    Raises `UnreadableError` if it cannot be read now.
    """

    def read(file: h5py.File) -> str | None:
        # not `file.attrs.get`: for that, what cannot be read is not there
        found = read_attribute(file, "run_id") if read_attribute(file, "complete") else None
        return str(read_attribute(file, "status")) if found and run_id in (None, found) else None

    return read_if_sound(path, read)


def plain(value: Any) -> Any:
    """An attribute's value in Python's own types: text, number, truth value."""
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode("utf-8") if isinstance(value, bytes) else value


def read_attribute(file: h5py.File, name: str) -> Any:
    """A root attribute as a plain Python value; None when there is no such attribute.

    Raises `ValueError` if it is not a single value.
    """
    # the low-level interface of h5py needs a fifth of the time
    if not h5a.exists(file.id, name.encode()):
        return None
    attribute = h5a.open(file.id, name.encode())
    if attribute.shape != ():
        raise ValueError(f"attribute {name}: not a single value")
    kind = attribute.get_type()
    if isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str():
        value = np.empty((), f"S{kind.get_size()}")
        attribute.read(value, mtype=kind)  # as it is stored: nothing to convert
    else:
        value = np.empty((), attribute.dtype)
        attribute.read(value)
    return plain(value[()])


def read_attributes(file: h5py.File) -> dict[str, Any]:
    """Root attributes as plain Python values; ``config`` and ``versions`` are parsed."""
    attributes = {name: read_attribute(file, name) for name in ROOT_ATTRIBUTES}
    for name in ("config", "versions"):
        attributes[name] = json.loads(attributes[name])
    return attributes


def read_series(file: h5py.File) -> dict[str, np.ndarray]:
    """All series by name, each [row]; NaN for those that came after the file was written.

    Raises `ResultsError` if their lengths differ.
    """
    group = file["series"]
    unknown = np.full(len(group["step"]), np.nan)
    series = {
        name: unknown if name in ADDED_METRICS and name not in group else group[name][:]
        for name in (*BASE_SERIES, *METRICS)
    }
    lengths = {len(column) for column in series.values()}
    if len(lengths) != 1:
        raise ResultsError(f"{file.filename}: series of different lengths {sorted(lengths)}")
    return series


def read_heldout(file: h5py.File, points: str = "heldout") -> dict[str, float]:
    """Held-out metrics by name, on one set of `HELDOUT`; empty when they were not measured.

    NaN for metrics that came after the file was written.
    """
    if points not in file:
        return {}
    record = file[points][()]
    known = [name for name in METRICS if name in record.dtype.names or name not in ADDED_METRICS]
    return dict.fromkeys(METRICS, math.nan) | {name: float(record[name]) for name in known}
