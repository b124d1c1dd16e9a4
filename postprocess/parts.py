"""Parts of a merge: archives of some dozens of runs, written by reading processes.

A merge that was cut off finds the parts it had and goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py

from inr.files import replace_atomically
from inr.layout import RunLayout
from postprocess.archive import SeriesWriter, write_sources
from postprocess.records import read_record


@dataclass(frozen=True)
class PartRun:
    """One run to read."""

    key: str  # identity of the run and state of its files
    run_id: str
    directory: Path


@dataclass(frozen=True)
class Part:
    """One archive to write."""

    path: Path
    runs: list[PartRun]


def write_part(part: Part, crashed: dict[int, str]) -> Iterator[None]:
    """Read runs into an archive; yields after each of them.

    Args:
        part: what to read, and where to.
        crashed: position -> reason, for runs that took an earlier reader down.

    Raises:
        UserError: the archive cannot be written.
    """
    part_file = replace_atomically(part.path, durable=False)  # a merge can read the runs again
    with part_file as temporary, h5py.File(temporary, "w", locking=False) as file:
        writer = SeriesWriter(file)
        sources = []
        for number, run in enumerate(part.runs):
            if number in crashed:
                rows, row = 0, {"status": "broken", "reason": crashed[number]}
            else:
                rows, row = read_record(RunLayout(run.directory), run.run_id, writer)
            sources.append((run.key, rows, row))
            yield None
        writer.flush()
        write_sources(file, sources)
