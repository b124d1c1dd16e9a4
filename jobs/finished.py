"""Which runs are finished, without opening every results file again.

A results file is replaced as a whole, never changed. One with the same inode, size and times is
therefore the one that was read before. What is remembered can be deleted at any time.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from inr.errors import UserError
from inr.files import write_text
from inr.layout import RunLayout, SweepLayout

_SCHEMA = "inr-finished/1"
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


class FinishedRuns:
    """Reads results files, or remembers them.

    Args:
        layout: the sweep.
    """

    def __init__(self, layout: SweepLayout) -> None:
        self._root = layout.root
        self._path = layout.finished
        self._known = _load(self._path)
        self._changed = False

    def read(self, run: RunLayout, run_id: str) -> tuple[Finished | None, str]:
        """The finished run ``run_id``, or None and what is wrong with its results file.

        Nothing is wrong with a file that is missing, unfinished, or of another configuration.
        """
        try:
            stamp = _stamp(run.results.stat())
        except OSError:
            return None, ""
        found: Finished | None
        known = self._known.get(self._key(run))
        if known is not None and known[0] == stamp:
            found, damage = known[1], ""
        else:
            found, damage = self._open(run, stamp)
        return (found if found and found.run_id == run_id else None), damage

    def save(self) -> None:
        """Keep what was learnt, if the sweep can be written."""
        if not self._changed:
            return
        runs = {key: [stamp, asdict(found)] for key, (stamp, found) in self._known.items()}
        with suppress(UserError):  # somebody else's sweep: it is read again the next time
            write_text(self._path, json.dumps({"schema": _SCHEMA, "runs": runs}))
        self._changed = False

    def _open(self, run: RunLayout, stamp: _Stamp) -> tuple[Finished | None, str]:
        found, damage = _read_file(run)
        if found and time.time() - stamp[-1] / 1e9 > _SETTLE_SECONDS:
            self._known[self._key(run)] = stamp, found
            self._changed = True
        return found, damage

    def _key(self, run: RunLayout) -> str:
        return str(run.root.relative_to(self._root))


def _read_file(run: RunLayout) -> tuple[Finished | None, str]:
    from inr.results import ResultsError, open_run, plain  # only now: it loads h5py

    try:
        with open_run(run.results) as file:
            if not file.attrs.get("complete", False):
                return None, ""
            says = {name: plain(file.attrs[name]) for name in Finished.__annotations__}
            found = Finished(**says)
            if not _makes_sense(found):
                raise ResultsError(f"{run.results}: broken: attributes {says}")
            return found, ""
    except ResultsError as error:
        return None, str(error)


def _makes_sense(found: Finished) -> bool:
    texts = (found.run_id, found.status, found.host, found.slurm_job_id)
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(found.attempts, int)
        and found.status in ("complete", "diverged")
    )


def _stamp(stat: os.stat_result) -> _Stamp:
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _load(path: Path) -> dict[str, tuple[_Stamp, Finished]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != _SCHEMA:
            return {}
        return {key: (list(s), Finished(**found)) for key, (s, found) in document["runs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
