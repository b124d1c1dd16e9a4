"""The long table of series in ``merged.h5``, and what a later merge needs to copy runs from it.

::

    /                  attributes: archive (`VERSION`)
    /series/<column>   1-D, the runs one after the other: `run`, then the series
    /sources           JSON as bytes: per run [key, rows of the series, row of the summary]
"""

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from inr import __version__
from inr.errors import UserError
from postprocess.dataset.run_reader import SERIES, Record

VERSION = f"inr-archive/4 {__version__}"

_BUFFER = 65_536  # rows held in memory: 13 MiB
_ROW_BYTES = 8 * (1 + len(SERIES))
_RESERVE = 16 * 2**20  # bytes, for what HDF5 writes beside the series
_CHUNK = 16_384  # rows; 128 KiB a chunk


class Archive(ExitStack):
    """Runs in a merged file, by key; none if it is missing, damaged or of another version.

    Their series are read from it many neighbours at once.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._runs: dict[str, tuple[slice, dict[str, Any]]] = {}
        with suppress(OSError, KeyError, ValueError, RuntimeError, TypeError):
            file = self.enter_context(h5py.File(path, "r", locking=False))
            if file.attrs.get("archive") == VERSION:
                self._load(file)

    def _load(self, file: h5py.File) -> None:
        self._columns = [file["series"][name] for name in SERIES]
        self._start, self._block = 0, np.empty((len(SERIES), 0))
        runs, stop = {}, 0
        for key, rows, row in json.loads(file["sources"][:].tobytes()):
            runs[key] = slice(stop, stop + rows), row
            stop += rows
        if {len(column) for column in self._columns} == {stop}:
            self._runs = runs

    def __contains__(self, key: str) -> bool:
        return key in self._runs

    def read(self, key: str) -> Record:
        """The summary row of a run, and its series; None if it has none."""
        place, row = self._runs[key]
        rows = place.stop - place.start
        if not rows:
            return row, None
        first = place.start - self._start
        if first < 0 or first + rows > self._block.shape[1]:
            stop = place.start + max(rows, _BUFFER)
            self._block = np.stack([column[place.start : stop] for column in self._columns])
            self._start, first = place.start, 0
        return row, self._block[:, first : first + rows]


class SeriesTable:
    """Writes ``/series`` and ``/sources`` of a new archive.

    The numbers are not compressed: their digits are noise, gzip would save a tenth and take most
    of the time of a merge. `append` and `finish` raise `UserError` if there is no room for the
    numbers, `OSError` if they cannot be written.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        group = file.create_group("series", track_order=True)
        empty = {"shape": (0,), "maxshape": (None,), "chunks": (_CHUNK,)}
        self._columns = [
            group.create_dataset(name, dtype="i8" if name in ("run", "step") else "f8", **empty)
            for name in ("run", *SERIES)
        ]
        self._waiting: list[np.ndarray] = []
        self._rows = self._due = 0  # in the file, and after them in memory

    def append(self, run: int, series: np.ndarray) -> None:
        """Add the series of a run, [column of `SERIES`, row]; ``run`` is its row of ``/runs``."""
        self._waiting.append(np.vstack([np.full(series.shape[1], run), series]))
        self._due += series.shape[1]
        if self._due >= _BUFFER:
            self._flush()

    def finish(self, sources: list[tuple[str, int, dict[str, Any]]]) -> None:
        """Write what is in memory, and key, rows and summary row of each run in order."""
        self._flush()
        text = json.dumps(sources, separators=(",", ":")).encode()
        data = np.frombuffer(text, dtype=np.uint8)
        self._file.create_dataset("sources", data=data, compression="gzip", compression_opts=1)
        self._file.attrs["archive"] = VERSION

    def _flush(self) -> None:
        folder = Path(self._file.filename).parent
        # asked before HDF5 writes: libhdf5 itself crashes when the disk is full
        if shutil.disk_usage(folder).free < self._due * _ROW_BYTES + _RESERVE:
            raise UserError(
                f"{folder}: no space left on the device to merge into. Make room, then merge again"
            )
        stop = self._rows + self._due
        if self._waiting:
            with _interrupted_afterwards():
                for column, data in zip(self._columns, np.hstack(self._waiting), strict=True):
                    column.resize(stop, axis=0)
                    column[self._rows :] = data
        self._waiting, self._rows, self._due = [], stop, 0


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Let signals interrupt when the block has ended: in a callback of h5py's it would be lost."""
    ours = [s for s in signal.valid_signals() if signal.getsignal(s) is signal.default_int_handler]
    received: list[int] = []
    for each in ours:
        signal.signal(each, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.default_int_handler)
    if received:
        raise KeyboardInterrupt
