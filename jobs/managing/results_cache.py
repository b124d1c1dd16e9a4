"""Which runs are finished, and whose results files are damaged, without reading a file twice.

A results file is replaced as a whole, never changed. One with the same inode, size and times is
therefore the one that was read before. What is remembered can be deleted at any time.

Reading is left to ``postprocess/verify.py``: a damaged file can crash the HDF5 library.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from inr.errors import UserError
from inr.files import write_text
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT
from inr.storage.sweep_index import IndexEntry

_SCHEMA = "inr-finished/3"
_SETTLE_SECONDS = 3.0  # younger files may change once more within the resolution of their times

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
class _Known:
    """What reading a results file has told.

    Attributes:
        stamp: the file as it was; empty when it must be read again.
        frames: whether the frames were read too.
        finished: None when the file is damaged, or of an unfinished run.
        damage: what is wrong with it, or "".
    """

    stamp: _Stamp
    frames: bool
    finished: Finished | None
    damage: str


class ResultsCache:
    """Has results files read, or remembers what was in them.

    Args:
        layout: the sweep.
        frames: read the frames too, which are most of a file.
    """

    def __init__(self, layout: SweepLayout, *, frames: bool = False) -> None:
        self._layout = layout
        self._frames = frames
        self._known = _load(layout.finished)  # by name of the run

    def read(self, runs: Sequence[IndexEntry]) -> list[tuple[Finished | None, str]]:
        """For each run: what its file says if it is finished, and what is wrong with the file.

        Nothing is wrong with a file that is missing, unfinished, or of another configuration.

        Raises:
            UserError: the files cannot be read in another process.
        """
        paths = {run.name: self._layout.run(run.name).results for run in runs}
        stamps = {name: stamp for name, path in paths.items() if (stamp := _stamp(path))}
        due = {name: stamp for name, stamp in stamps.items() if not self._remembers(name, stamp)}
        fresh = self._inspect(due) if due else {}
        self._remember(fresh)
        answers: list[tuple[Finished | None, str]] = []
        for run in runs:
            known = fresh.get(run.name) or self._known.get(run.name)
            if known is None or run.name not in stamps:
                answers.append((None, ""))
                continue
            finished = known.finished
            mine = finished if finished and finished.run_id == run.run_id else None
            answers.append((mine, known.damage))
        return answers

    def _remembers(self, name: str, stamp: _Stamp) -> bool:
        """Whether what is known still holds, and goes as deep as is asked for."""
        known = self._known.get(name)
        if known is None or known.stamp != stamp:
            return False
        return known.frames or not (self._frames and known.finished)

    def _inspect(self, stamps: dict[str, _Stamp]) -> dict[str, _Known]:
        """What ``postprocess/verify.py`` says of results files; where it fails, it says why."""
        runs = [self._layout.run(name) for name in stamps]
        question = {"runs": [str(run.root) for run in runs], "frames": self._frames}
        done = subprocess.run(  # noqa: S603, our own command
            [sys.executable, "-P", str(ROOT / "postprocess" / "verify.py")],
            input=json.dumps(question),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise UserError("the results files could not be read, see above")
        fresh = {}
        for name, run, verdict in zip(stamps, runs, json.loads(done.stdout), strict=True):
            finished = Finished(**verdict) if "run_id" in verdict else None
            reason, status = verdict.get("reason", ""), verdict["status"]
            broken = "broken: " if status == "broken" else ""
            damage = f"{run.results}: {broken}{reason}" if reason else ""
            # what the file system did not let us read may be sound, and is read again next time
            stamp = [] if status == "unreadable" else stamps[name]
            fresh[name] = _Known(stamp, self._frames, finished, damage)
        return fresh

    def _remember(self, fresh: dict[str, _Known]) -> None:
        """Keep what was learnt, if the sweep can be written."""
        settled = time.time() - _SETTLE_SECONDS
        new = {k: v for k, v in fresh.items() if v.stamp and v.stamp[-1] / 1e9 < settled}
        if new:
            self._known |= new
            known = {name: asdict(each) for name, each in self._known.items()}
            with suppress(UserError):  # somebody else's sweep: it is read again the next time
                write_text(self._layout.finished, json.dumps({"schema": _SCHEMA, "runs": known}))


def _stamp(path: Path) -> _Stamp:
    """The file as it is; empty if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _load(path: Path) -> dict[str, _Known]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != _SCHEMA:
            return {}
        return TypeAdapter(dict[str, _Known]).validate_python(document["runs"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
