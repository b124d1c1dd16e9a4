"""``attempts.jsonl``: every attempt at a run: where, from which step, how it ended, what it cost.

The file is appended to, a line for the start and a line for the end. An attempt without an end
was killed before it could say why.
"""

import json
import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from inr.files import append_line, retried

EndStatus = Literal[
    "complete", "diverged", "stopped", "failed", "out_of_memory", "disk_full", "killed"
]


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run; numbers that are not known are 0."""

    number: int  # from 1
    started: str  # ISO 8601, UTC
    host: str
    pid: int
    job: str  # the Slurm job, or ""
    cpus: int  # what its task was given
    gpus: int
    status: EndStatus | Literal[""] = ""  # "killed" when it could not say, "" while not known
    reason: str = ""  # of its end, one line
    first_step: int = 0  # the step it went on from
    last_step: int = 0  # the one it reached
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    members: int = 1  # how many runs the task trained at once; they share ``cpus`` and ``gpus``
    node: str = ""  # Slurm's name of the host


def read_attempts(path: Path, *, strict: bool = False) -> list[Attempt]:
    """All attempts, oldest first; none if there is no file. Damaged lines are passed over.

    Nor are there any in a file that cannot be read, or `OSError` is raised if ``strict``.
    """
    try:
        content = retried(path.read_bytes)
    except OSError as error:
        if strict and not isinstance(error, FileNotFoundError):
            raise
        return []
    attempts: dict[int, Attempt] = {}
    for line in content.decode("utf-8", errors="replace").splitlines():
        # cut off by a crash or a full disk
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            record = json.loads(line)
            event, number = record.pop("event"), int(record["number"])
            if event == "start":
                attempts[number] = Attempt(**record)
            elif event == "end":
                attempts[number] = replace(attempts[number], **record)
    return list(attempts.values())


def read_error(path: Path) -> str:
    """The last line of the traceback that a failed attempt left in ``error.txt``, or ""."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""


def amend(path: Path, number: int, status: EndStatus, reason: str, **costs: Any) -> None:
    """Say of an attempt that has ended, or was killed, how and why, perhaps after which steps."""
    _append(path, "end", number, status=status, reason=reason, **costs)


def _append(path: Path, event: str, number: int, **record: Any) -> None:
    append_line(path, json.dumps({"event": event, "number": number, **record}))


def cpu_seconds() -> float:
    """CPU time of this process, and of its children that have ended, s."""
    return sum(os.times()[:4])


@dataclass
class AttemptLog:
    """Writes the start and the end of one attempt, and first the end of one that was killed."""

    path: Path  # ``attempts.jsonl``
    job: str  # Slurm job, or ""
    cpus: int  # given to the task
    gpus: int
    last_life: float | None = None  # of the one that was killed, seconds since the epoch
    _: KW_ONLY
    last_step: int = 0  # that it reached
    members: int = 1  # how many runs the task trains at once
    in_process: int = 1  # of them, this process trains so many; its CPU time counts to equal parts
    cpu_before: float = 0.0  # CPU time of this process that does not count, s

    def __post_init__(self) -> None:
        self.number = 1
        self._start = time.monotonic()
        if earlier := read_attempts(self.path, strict=True):
            self.number = earlier[-1].number + 1
            if not earlier[-1].status:
                begun = datetime.fromisoformat(earlier[-1].started).timestamp()
                lived = round(max(0.0, self.last_life - begun), 3) if self.last_life else 0.0
                why = "ended without a word: killed, out of memory, or its node failed"
                costs = {"last_step": self.last_step, "wall_seconds": lived}
                amend(self.path, earlier[-1].number, "killed", why, **costs)

    def start(self) -> None:
        """Say that the attempt begins."""
        about = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "host": platform.node(),
            "node": os.environ.get("SLURMD_NODENAME", ""),
            "pid": os.getpid(),
        }
        given = {name: getattr(self, name) for name in ("job", "cpus", "gpus", "members")}
        _append(self.path, "start", self.number, **about, **given)

    def end(self, status: EndStatus, reason: str, steps: Sequence[int]) -> None:
        """Say how it ended, and the steps it was seen at, first to last."""
        used = cpu_seconds() - self.cpu_before
        costs = {
            "first_step": steps[0] if steps else 0,
            "last_step": steps[-1] if steps else 0,
            "wall_seconds": round(time.monotonic() - self._start, 3),
            "cpu_seconds": round(used / self.in_process, 3),
        }
        amend(self.path, self.number, status, reason, **costs)
