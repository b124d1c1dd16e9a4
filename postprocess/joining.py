"""Join the series of many archives into the long table of the merged file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby
from pathlib import Path

import h5py
import numpy as np

from postprocess.archive import SERIES, Source, require_space, series_type

_BLOCK = 131_072  # rows copied at a time: 1 MiB of a column
_ITEM = 8  # bytes of a number in any series


def join(file: h5py.File, sources: Sequence[Source]) -> None:
    """Write ``/series`` of a merged file: the column ``run``, and the series of all sources.

    The numbers are not compressed: their digits are noise, gzip would save a tenth and take most
    of the time of a merge.

    Raises:
        UserError: there is no room for them.
        OSError: reading or writing fails.
    """
    ends = list(accumulate(source.rows for source in sources))
    names = ("run", *SERIES)
    require_space(Path(file.filename), ends[-1] * _ITEM * len(names))
    group = file.create_group("series", track_order=True)
    table = {
        name: group.create_dataset(name, shape=(ends[-1],), dtype=series_type(name))
        for name in names
    }
    for start in range(0, ends[-1], _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, ends[-1]))
        table["run"][rows[0] : rows[-1] + 1] = np.searchsorted(ends, rows, side="right")
    placed = [(s, end - s.rows) for s, end in zip(sources, ends, strict=True) if s.rows]
    # runs that are neighbours in their archive and in the table are copied together
    for (archive, shift), some in groupby(placed, lambda p: (p[0].archive, p[1] - p[0].start)):
        together = [source for source, _ in some]
        stop = together[-1].start + together[-1].rows
        _copy(archive, range(together[0].start, stop), shift, table)


def _copy(archive: Path, rows: range, shift: int, table: dict[str, h5py.Dataset]) -> None:
    """Copy ``rows`` of all columns of an archive, to where they lie ``shift`` further on."""
    with h5py.File(archive, "r", locking="best-effort") as file:
        for name in SERIES:
            column = file["series"][name]
            for start in range(rows.start, rows.stop, _BLOCK):
                stop = min(start + _BLOCK, rows.stop)
                table[name][start + shift : stop + shift] = column[start:stop]
