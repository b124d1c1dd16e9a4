"""Join the series of many archives into the long table of the merged file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from postprocess.archive import SERIES, Source, require_space, series_type

_BLOCK = 131_072  # rows copied at a time: 1 MiB of a column


@dataclass(frozen=True)
class _Segment:
    """Rows that lie one after the other in one archive."""

    archive: Path
    start: int
    stop: int


def join(file: h5py.File, sources: Sequence[Source]) -> None:
    """Write ``/series`` of a merged file: the column ``run``, and the series of all sources.

    The numbers of the series are not compressed: their digits are noise, gzip would save a tenth
    and take most of the time of a merge. ``run`` and ``step`` shrink to almost nothing.
    """
    lengths = np.array([source.rows for source in sources], dtype=np.int64)
    total = int(lengths.sum())
    require_space(Path(file.filename), total * 8 * (1 + len(SERIES)))
    group = file.create_group("series", track_order=True)
    datasets = {name: _create(group, name, total) for name in ("run", *SERIES)}
    position = 0
    for segment in _segments(sources):
        with h5py.File(segment.archive, "r", locking="best-effort") as archive:
            for name in SERIES:
                _copy(archive["series"][name], segment, datasets[name], position)
        position += segment.stop - segment.start
    _number(datasets["run"], lengths)


def _create(group: h5py.Group, name: str, rows: int) -> h5py.Dataset:
    kind = series_type(name)
    if kind.kind == "f":
        return group.create_dataset(name, shape=(rows,), dtype=kind)
    chunk = (min(rows, 16_384),)
    return group.create_dataset(
        name, (rows,), kind, chunks=chunk, compression="gzip", compression_opts=1, shuffle=True
    )


def _segments(sources: Sequence[Source]) -> Iterator[_Segment]:
    """The sources in order, neighbours in one archive taken together."""
    current: _Segment | None = None
    for source in sources:
        if source.rows == 0:
            continue
        stop = source.start + source.rows
        if current and (source.archive, source.start) == (current.archive, current.stop):
            current = _Segment(current.archive, current.start, stop)
            continue
        if current:
            yield current
        current = _Segment(source.archive, source.start, stop)
    if current:
        yield current


def _copy(source: h5py.Dataset, segment: _Segment, target: h5py.Dataset, position: int) -> None:
    for start in range(segment.start, segment.stop, _BLOCK):
        block = source[start : min(start + _BLOCK, segment.stop)]
        target[position : position + len(block)] = block
        position += len(block)


def _number(target: h5py.Dataset, lengths: np.ndarray) -> None:
    """Write to every row the position of its run."""
    ends = lengths.cumsum()
    for start in range(0, len(target), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(target)))
        target[start : start + len(rows)] = np.searchsorted(ends, rows, side="right")
