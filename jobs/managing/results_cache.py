"""Which runs are finished, and whose results files are damaged, without reading a file twice.

A results file is replaced as a whole, never changed. One with the same inode, size and times is
therefore the one that was read before. What is remembered can be deleted at any time.

Files are read in other processes: a damaged one can crash the HDF5 library.
"""

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from inr.errors import UserError
from inr.files import write_text
from inr.progress import track
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry

_SCHEMA = "inr-finished/3"
_MOST_WORKERS = 8  # on a login node with many cores, which others use too
_MIN_AGE_SECONDS = 3.0  # younger files may change once more within the resolution of their times

_Stamp = list[int]


@dataclass(frozen=True)
class Finished:
    """What the results file of a finished run says of itself."""

    run_id: str
    status: str  # "complete" or "diverged"
    attempts: int
    host: str
    slurm_job_id: str


@dataclass(frozen=True)
class _Entry:
    """What reading a results file has told."""

    stamp: _Stamp  # the file as it was; empty when it must be read again
    frames: bool  # whether the frames were read too
    finished: Finished | None  # None when the file is damaged, or of an unfinished run
    damage: str  # what is wrong with it, or ""


_NO_FILE = _Entry([], frames=False, finished=None, damage="")
_ENTRIES = TypeAdapter(dict[str, _Entry])  # by name of the run


class ResultsCache:
    """Has results files of a sweep read, or remembers what was in them.

    With ``frames`` these are read too, which are most of a file.
    """

    def __init__(self, layout: SweepLayout, *, frames: bool = False) -> None:
        self._layout, self._frames = layout, frames
        self._cached: dict[str, _Entry] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(layout.finished.read_text(encoding="utf-8"))
            if document["schema"] == _SCHEMA:
                self._cached = _ENTRIES.validate_python(document["runs"])

    def read(self, runs: Sequence[IndexEntry]) -> list[tuple[Finished | None, str]]:
        """For each run: what its file says if it is finished, and what is wrong with the file.

        Nothing is wrong with a file that is missing, unfinished, or of another configuration.
        Raises `UserError` if the files cannot be read in another process.
        """
        stamps = {run.name: _stamp(self._layout.run(run.name).results) for run in runs}
        due = {k: stamp for k, stamp in stamps.items() if stamp and not self._holds(k, stamp)}
        fresh = self._inspect(due) if due else {}
        self._save(fresh)
        entries = self._cached | fresh
        answers: list[tuple[Finished | None, str]] = []
        for run in runs:
            entry = entries[run.name] if stamps[run.name] else _NO_FILE
            is_of_run = entry.finished and entry.finished.run_id == run.run_id
            answers.append((entry.finished if is_of_run else None, entry.damage))
        return answers

    def _holds(self, name: str, stamp: _Stamp) -> bool:
        """Whether what was read still holds, and goes as deep as is asked for."""
        entry = self._cached.get(name)
        if entry is None or entry.stamp != stamp:
            return False
        return entry.frames or not (self._frames and entry.finished)

    def _inspect(self, stamps: dict[str, _Stamp]) -> dict[str, _Entry]:
        """What `find_verdict` says of results files."""
        # only now: mostly nothing is due
        from postprocess.dataset.run_reader import find_verdict
        from postprocess.worker_pool import ChildLostError, run_isolated, usable_cores

        runs = [self._layout.run(name) for name in stamps]
        asked = [(run.root, self._frames) for run in runs]
        workers = min(_MOST_WORKERS, usable_cores())
        verdicts: Iterable[Any] = run_isolated(find_verdict, asked, workers=workers)
        if self._frames:  # this takes long
            verdicts = track(verdicts, "reading runs", total=len(runs))
        fresh = {}
        for name, run, verdict in zip(stamps, runs, verdicts, strict=True):
            if isinstance(verdict, ChildLostError):
                verdict = {"status": "broken", "reason": str(verdict)}
            finished = Finished(**verdict) if "run_id" in verdict else None
            reason, status = verdict.get("reason", ""), verdict["status"]
            broken = "broken: " if status == "broken" else ""
            damage = f"{run.results}: {broken}{reason}" if reason else ""
            # what the file system did not let us read may be sound, and is read again next time
            stamp = [] if status == "unreadable" else stamps[name]
            fresh[name] = _Entry(stamp, self._frames, finished, damage)
        return fresh

    def _save(self, fresh: dict[str, _Entry]) -> None:
        """Remember what was learnt, and keep it if the sweep can be written."""
        newest = time.time() - _MIN_AGE_SECONDS
        new = {k: v for k, v in fresh.items() if v.stamp and v.stamp[-1] / 1e9 < newest}
        if new:
            self._cached |= new
            document = {"schema": _SCHEMA, "runs": _ENTRIES.dump_python(self._cached)}
            with suppress(UserError):  # somebody else's sweep: it is read again the next time
                write_text(self._layout.finished, json.dumps(document))


def _stamp(path: Path) -> _Stamp:
    """The file as it is; empty if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
