"""Join the series of many archives into the long table of the merged file.

HDF5 lays the table out: plain columns whose place in the file is fixed (`reserve`). The numbers
then go there as bytes (`fill`), without HDF5: several threads copy at the same time, which the
library cannot, and a full disk is an error like any other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from postprocess.archive import SERIES, Source, require_space, series_type
from postprocess.isolation import usable_cores

_BLOCK = 131_072  # rows copied at a time: 1 MiB of a column
_ITEM = 8  # bytes of a number in any series


@dataclass(frozen=True)
class _Segment:
    """Rows that lie one after the other in one archive, and where they go in the table."""

    archive: Path
    start: int
    stop: int
    to: int


@dataclass(frozen=True)
class _Copy:
    """Bytes to copy from one file to another."""

    start: int
    stop: int
    to: int


def reserve(file: h5py.File, sources: Sequence[Source]) -> dict[str, int]:
    """Make ``/series`` of a merged file: the column ``run``, and the series of all sources.

    Returns the position in the file of each column's first number.

    The numbers are not compressed: their digits are noise, gzip would save a tenth and take most
    of the time of a merge.

    Raises:
        UserError: there is no room for them.
    """
    rows = sum(source.rows for source in sources)
    names = ("run", *SERIES)
    require_space(Path(file.filename), rows * _ITEM * len(names))
    group = file.create_group("series", track_order=True)
    return {name: _reserve_column(group, name, rows) for name in names}


def _reserve_column(group: h5py.Group, name: str, rows: int) -> int:
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_layout(h5d.CONTIGUOUS)
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    kind, space = h5t.py_create(series_type(name)), h5s.create_simple((rows,))
    return int(h5d.create(group.id, name.encode(), kind, space, properties).get_offset())


def fill(path: Path, columns: dict[str, int], sources: Sequence[Source]) -> None:
    """Copy the series of all sources into a merged file, which must be closed.

    Args:
        path: the merged file.
        columns: what `reserve` returned for it.
        sources: the same as then.

    Raises:
        OSError: reading or writing fails.
    """
    descriptor = os.open(path, os.O_WRONLY)
    try:
        _number(descriptor, columns["run"], [source.rows for source in sources])
        by_archive = [list(run) for _, run in groupby(_segments(sources), lambda s: s.archive)]
        with ThreadPoolExecutor(usable_cores()) as pool:
            for _ in pool.map(lambda some: _copy_segments(some, descriptor, columns), by_archive):
                pass
    finally:
        os.close(descriptor)


def _segments(sources: Sequence[Source]) -> Iterator[_Segment]:
    """The sources in order, neighbours in one archive taken together."""
    current: _Segment | None = None
    position = 0
    for source in sources:
        if source.rows == 0:
            continue
        stop = source.start + source.rows
        if current and (source.archive, source.start) == (current.archive, current.stop):
            current = _Segment(current.archive, current.start, stop, current.to)
        else:
            if current:
                yield current
            current = _Segment(source.archive, source.start, stop, position)
        position += source.rows
    if current:
        yield current


def _copy_segments(segments: Sequence[_Segment], target: int, columns: dict[str, int]) -> None:
    """Copy all columns of segments of one archive."""
    archive = segments[0].archive
    copies: list[_Copy] = []
    with h5py.File(archive, "r", locking=False) as file:
        for name in SERIES:
            extents = _extents(h5d.open(file.id, f"series/{name}".encode()))
            for segment in segments:
                copies += _copies(extents, segment, columns[name])
    source = os.open(archive, os.O_RDONLY)
    try:
        for copy in copies:
            _copy_bytes(source, target, copy)
    finally:
        os.close(source)


def _extents(dataset: h5d.DatasetID) -> list[tuple[int, int]]:
    """Where the rows of a column lie in its file: per extent, position and number of rows."""
    (rows,) = dataset.shape
    if dataset.get_create_plist().get_layout() == h5d.CONTIGUOUS:
        return [(dataset.get_offset(), rows)]
    (chunk,) = dataset.get_create_plist().get_chunk()
    chunks = [dataset.get_chunk_info_by_coord((first,)) for first in range(0, rows, chunk)]
    return [(info.byte_offset, chunk) for info in chunks]


def _copies(extents: Sequence[tuple[int, int]], segment: _Segment, column: int) -> Iterator[_Copy]:
    """The bytes of one segment in one column, block by block."""
    first = 0  # row at which the extent begins
    for position, rows in extents:
        low, high = max(segment.start, first), min(segment.stop, first + rows)
        for start in range(low, high, _BLOCK):
            stop = min(start + _BLOCK, high)
            yield _Copy(
                start=position + (start - first) * _ITEM,
                stop=position + (stop - first) * _ITEM,
                to=column + (segment.to + start - segment.start) * _ITEM,
            )
        first += rows


def _copy_bytes(source: int, target: int, copy: _Copy) -> None:
    data = memoryview(os.pread(source, copy.stop - copy.start, copy.start))
    if len(data) < copy.stop - copy.start:
        raise OSError("a part became shorter while it was read")
    _write(target, data, copy.to)


def _write(target: int, data: memoryview, position: int) -> None:
    while data:  # a write may stop short of all that was asked for
        written = os.pwrite(target, data, position)
        data, position = data[written:], position + written


def _number(target: int, column: int, lengths: Sequence[int]) -> None:
    """Write to every row the position of its run."""
    ends = np.cumsum(lengths, dtype=np.int64)
    for start in range(0, int(ends[-1]), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, int(ends[-1])))
        numbers = np.searchsorted(ends, rows, side="right").astype(series_type("run"))
        _write(target, memoryview(numbers.tobytes()), column + start * _ITEM)
