"""Archives: HDF5 files that hold the series of many runs, one after the other.

``merged.h5`` is one, and so are the parts that a merge collects on the way. What an archive holds
of a run whose files have not changed since need not be read from the run again.

::

    /                  attributes: archive (`VERSION`)
    /series/<column>   1-D, the runs one after the other; more columns may lie beside them
    /sources           JSON as bytes: per run [key, rows of the series, row of the summary]
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5s, h5t

from inr import __version__
from inr.errors import UserError
from inr.results import BASE_SERIES, METRICS

SERIES = (*BASE_SERIES, *METRICS)
VERSION = f"inr-archive/1 {__version__}"

_BUFFER = 65_536  # rows held in memory: 9 MiB
_ROW_BYTES = 8 * len(SERIES)
_RESERVE = 16 * 2**20  # bytes, for what HDF5 writes beside the series
_CHUNK = 16_384  # rows; 128 KiB a chunk


@dataclass(frozen=True)
class Source:
    """What an archive holds of one run.

    Attributes:
        archive: the file.
        start: first row of the run in its series.
        rows: length of the run's series; 0 when it could not be read.
        row: status, reason and final values, as columns of the summary.
    """

    archive: Path
    start: int
    rows: int
    row: dict[str, Any]


def series_type(column: str) -> np.dtype[Any]:
    """The number type of a series."""
    return np.dtype("int64" if column in ("run", "step") else "float64")


# looked up once: h5py would translate numpy's types at every read
_MEMORY_TYPES = [h5t.py_create(series_type(name)) for name in SERIES]


def write_sources(file: h5py.File, sources: Iterable[tuple[str, int, dict[str, Any]]]) -> None:
    """Write the list of runs: key, rows and summary row of each, in the order of the series."""
    text = json.dumps(list(sources), separators=(",", ":")).encode()
    data = np.frombuffer(text, dtype=np.uint8)
    file.create_dataset("sources", data=data, compression="gzip", compression_opts=1)
    file.attrs["archive"] = VERSION


def read_sources(path: Path) -> dict[str, Source]:
    """What an archive holds, by key; nothing if it is missing, damaged or of another version."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("archive") != VERSION:
                return {}
            listed = json.loads(file["sources"][:].tobytes())
            lengths = {len(file["series"][column]) for column in SERIES}
        sources: dict[str, Source] = {}
        start = 0
        for key, rows, row in listed:
            sources[key] = Source(path, start, rows, row)
            start += rows
        return sources if lengths == {start} else {}
    except (OSError, KeyError, ValueError, RuntimeError, TypeError):
        return {}


def require_space(path: Path, size: int) -> None:
    """Raise `UserError` if there is no room for ``size`` more bytes in the file system of ``path``.

    To be asked before HDF5 writes: libhdf5 itself crashes when the disk is full.
    """
    if shutil.disk_usage(path.parent).free < size + _RESERVE:
        raise UserError(
            f"{path.parent}: no space left on the device for {size / 2**20:.0f} MiB more. Make "
            "room, then merge again: what was read so far is kept"
        )


class SeriesWriter:
    """Appends runs to the series of a new archive; memory is one buffer, however long a run."""

    def __init__(self, file: h5py.File) -> None:
        group = file.create_group("series")
        self._path = Path(file.filename)
        self._datasets = [
            group.create_dataset(
                name, shape=(0,), maxshape=(None,), dtype=series_type(name), chunks=(_CHUNK,)
            )
            for name in SERIES
        ]
        self._buffers = [np.empty(_BUFFER, series_type(name)) for name in SERIES]
        self._written = self._filled = 0  # rows in the datasets, and after them in the buffers

    def append(self, columns: Sequence[h5d.DatasetID]) -> None:
        """Copy one run: its series in the order of `SERIES`, all of the same length.

        If reading fails the archive is as it was before, and the error goes on.

        Raises:
            UserError: the archive cannot be written.
        """
        start = self._written + self._filled
        try:
            self._copy(columns, columns[0].shape[0])
        except BaseException:
            self._written = min(self._written, start)
            self._filled = start - self._written
            raise

    def _copy(self, columns: Sequence[h5d.DatasetID], rows: int) -> None:
        done = 0
        while done < rows:
            if self._filled == _BUFFER:
                self.flush()
            count = min(rows - done, _BUFFER - self._filled)
            memory = selected = h5s.ALL
            if count < rows:
                memory, selected = h5s.create_simple((count,)), h5s.create_simple((rows,))
                selected.select_hyperslab((done,), (count,))
            place = slice(self._filled, self._filled + count)
            for column, buffer, kind in zip(columns, self._buffers, _MEMORY_TYPES, strict=True):
                column.read(memory, selected, buffer[place], kind)
            done += count
            self._filled += count

    def last(self) -> dict[str, float]:
        """The last row appended."""
        return {
            name: buffer[self._filled - 1].item()
            for name, buffer in zip(SERIES, self._buffers, strict=True)
        }

    def flush(self) -> None:
        """Write what is in memory. Raises `UserError` if that fails."""
        stop = self._written + self._filled
        require_space(self._path, self._filled * _ROW_BYTES)
        try:
            for dataset, buffer in zip(self._datasets, self._buffers, strict=True):
                dataset.resize(stop, axis=0)
                if self._filled:
                    dataset[self._written :] = buffer[: self._filled]
        except (OSError, RuntimeError) as error:
            # not an OSError any more: it must not pass for damage of the run that is being read
            reason = " ".join(str(error).split())
            raise UserError(
                f"{self._datasets[0].file.filename}: cannot be written: {reason}"
            ) from error
        self._written, self._filled = stop, 0
