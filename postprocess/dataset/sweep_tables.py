"""The long table of series in ``merged.h5``, and what a later merge needs to copy runs from it.

::

    /                  attributes: archive (`VERSION`)
    /series/<column>   1-D, the runs one after the other: `run`, then the series
    /sources           JSON as bytes: per run [key, rows of the series, row of the summary]
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from inr import __version__
from inr.errors import UserError
from postprocess.dataset.run_reader import SERIES

VERSION = f"inr-archive/2 {__version__}"

_BUFFER = 65_536  # rows held in memory: 13 MiB
_ROW_BYTES = 8 * (1 + len(SERIES))
_RESERVE = 16 * 2**20  # bytes, for what HDF5 writes beside the series
_CHUNK = 16_384  # rows; 128 KiB a chunk


@dataclass(frozen=True)
class Source:
    """What an archive holds of one run.

    Attributes:
        start: first row of the run in its series.
        rows: length of the run's series; 0 when it could not be read.
        row: status, reason and final values, as columns of the summary.
    """

    start: int
    rows: int
    row: dict[str, Any]


def write_sources(file: h5py.File, sources: Sequence[tuple[str, int, dict[str, Any]]]) -> None:
    """Write the list of runs: key, rows and summary row of each, in the order of the series."""
    text = json.dumps(sources, separators=(",", ":")).encode()
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
            sources[key] = Source(start, rows, row)
            start += rows
        return sources if lengths == {start} else {}
    except (OSError, KeyError, ValueError, RuntimeError, TypeError):
        return {}


class SeriesReader:
    """Reads the series of runs from an archive, many neighbours at once."""

    def __init__(self, file: h5py.File) -> None:
        self._columns = [file["series"][name] for name in SERIES]
        self._start, self._block = 0, np.empty((len(SERIES), 0))

    def read(self, source: Source) -> np.ndarray | None:
        """The series of a run, [column of `SERIES`, row]; None if there is none."""
        if not source.rows:
            return None
        first = source.start - self._start
        if first < 0 or first + source.rows > self._block.shape[1]:
            stop = source.start + max(source.rows, _BUFFER)
            self._block = np.stack([column[source.start : stop] for column in self._columns])
            self._start, first = source.start, 0
        return self._block[:, first : first + source.rows]


class SeriesTable:
    """Writes ``/series`` of a new archive.

    The numbers are not compressed: their digits are noise, gzip would save a tenth and take most
    of the time of a merge.
    """

    def __init__(self, file: h5py.File) -> None:
        group = file.create_group("series", track_order=True)
        self._path = Path(file.filename)
        self._columns = [
            group.create_dataset(
                name,
                shape=(0,),
                maxshape=(None,),
                dtype="int64" if name in ("run", "step") else "float64",
                chunks=(_CHUNK,),
            )
            for name in ("run", *SERIES)
        ]
        self._waiting: list[np.ndarray] = []
        self._rows = self._due = 0  # in the file, and after them in memory

    def append(self, run: int, series: np.ndarray) -> None:
        """Add the series of a run, [column of `SERIES`, row]; ``run`` is its row of ``/runs``.

        Raises:
            UserError: there is no room for them.
            OSError: they cannot be written.
        """
        self._waiting.append(np.vstack([np.full(series.shape[1], run), series]))
        self._due += series.shape[1]
        if self._due >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory. Raises as `append` does."""
        # asked before HDF5 writes: libhdf5 itself crashes when the disk is full
        if shutil.disk_usage(self._path.parent).free < self._due * _ROW_BYTES + _RESERVE:
            raise UserError(
                f"{self._path.parent}: no space left on the device to merge into. Make room, then "
                "merge again"
            )
        stop = self._rows + self._due
        if self._waiting:
            for column, data in zip(self._columns, np.hstack(self._waiting), strict=True):
                column.resize(stop, axis=0)
                column[self._rows :] = data
        self._waiting, self._rows, self._due = [], stop, 0
