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
from inr.storage.paths import RunLayout, SweepLayout
from inr.storage.provenance import ROOT

_SCHEMA = "inr-finished/2"
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
        stamp: the file as it was.
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
        self._root = layout.root
        self._path = layout.finished
        self._frames = frames
        self._known = _load(self._path)

    def read(self, runs: Sequence[tuple[RunLayout, str]]) -> list[tuple[Finished | None, str]]:
        """For each run and its id: the finished run or None, and what is wrong with its file.

        Nothing is wrong with a file that is missing, unfinished, or of another configuration.

        Raises:
            UserError: the files cannot be read in another process.
        """
        stamps = {run: stamp for run, _ in runs if (stamp := _stamp(run.results))}
        due = [run for run, stamp in stamps.items() if not self._remembers(run, stamp)]
        fresh = dict(zip(due, self._inspect(due, stamps), strict=True))
        self._remember(fresh)
        answers: list[tuple[Finished | None, str]] = []
        for run, run_id in runs:
            known = fresh.get(run) or (self._known[self._key(run)] if run in stamps else None)
            found = known.finished if known else None
            mine = found if found and found.run_id == run_id else None
            answers.append((mine, known.damage if known else ""))
        return answers

    def _remembers(self, run: RunLayout, stamp: _Stamp) -> bool:
        """Whether what is known still holds, and goes as deep as is asked for."""
        known = self._known.get(self._key(run))
        if known is None or known.stamp != stamp:
            return False
        return known.frames or not (self._frames and known.finished)

    def _inspect(self, runs: Sequence[RunLayout], stamps: dict[RunLayout, _Stamp]) -> list[_Known]:
        """What ``postprocess/verify.py`` says of results files; where it fails, it says why."""
        if not runs:
            return []
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
        known = []
        for run, verdict in zip(runs, json.loads(done.stdout), strict=True):
            finished = Finished(**verdict) if "run_id" in verdict else None
            reason = verdict.get("reason", "")
            broken = "broken: " if verdict["status"] == "broken" else ""
            damage = f"{run.results}: {broken}{reason}" if reason else ""
            # what the file system did not let us read may be sound, and is read again next time
            stamp = [] if verdict["status"] == "unreadable" else stamps[run]
            known.append(_Known(stamp, self._frames, finished, damage))
        return known

    def _remember(self, fresh: dict[RunLayout, _Known]) -> None:
        """Keep what was learnt, if the sweep can be written."""
        now = time.time()
        settled = {
            self._key(run): known
            for run, known in fresh.items()
            if known.stamp and now - known.stamp[-1] / 1e9 > _SETTLE_SECONDS
        }
        if not settled:
            return
        self._known |= settled
        document = {
            "schema": _SCHEMA,
            "runs": {key: asdict(known) for key, known in self._known.items()},
        }
        with suppress(UserError):  # somebody else's sweep: it is read again the next time
            write_text(self._path, json.dumps(document))

    def _key(self, run: RunLayout) -> str:
        return str(run.root.relative_to(self._root))


def _stamp(path: Path) -> _Stamp | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _load(path: Path) -> dict[str, _Known]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != _SCHEMA:
            return {}
        return TypeAdapter(dict[str, _Known]).validate_python(document["runs"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
