"""``attempts.jsonl``: every attempt at a run: where, from which step, how it ended, what it cost.

The file is appended to, a line for the start and a line for the end. An attempt without an end
was killed before it could say why.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from inr.files import append_line, retried

EndStatus = Literal[
    "complete", "diverged", "stopped", "failed", "out_of_memory", "disk_full", "killed"
]


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run.

    Attributes:
        number: from 1.
        started: ISO 8601, UTC.
        host, pid, job: where it ran; ``job`` is the Slurm job or "".
        cpus, gpus: what its task was given.
        status: how it ended; "killed" when it could not say, "" while its end is not known.
        reason: one line, or "".
        first_step, last_step: the step it went on from, and the one it reached; 0 when not known.
        wall_seconds, cpu_seconds: what it used; 0 when not known.
        members: how many runs the task trained at once; they share ``cpus`` and ``gpus``.
        node: Slurm's name of the host, or "".
    """

    number: int
    started: str
    host: str
    pid: int
    job: str
    cpus: int
    gpus: int
    status: EndStatus | Literal[""] = ""
    reason: str = ""
    first_step: int = 0
    last_step: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    members: int = 1
    node: str = ""


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
    attempts: dict[int, dict[str, Any]] = {}
    for line in content.decode("utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            event, number = record.pop("event"), int(record["number"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # cut off by a crash or a full disk
        if event == "start":
            attempts[number] = record
        elif event == "end" and number in attempts:
            attempts[number] |= record
    return [attempt for record in attempts.values() if (attempt := _attempt(record))]


def _attempt(record: dict[str, Any]) -> Attempt | None:
    try:
        return Attempt(**record)
    except TypeError:
        return None


def amend(path: Path, number: int, status: EndStatus, reason: str) -> None:
    """Say of an attempt that has ended, or was killed, how and why it ended."""
    record = {"event": "end", "number": number, "status": status, "reason": reason}
    append_line(path, json.dumps(record))


def cpu_seconds() -> float:
    """CPU time of this process, and of its children that have ended, s."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class AttemptLog:
    """Writes the start and the end of one attempt.

    Args:
        path: ``attempts.jsonl``.
        job: Slurm job, or "".
        cpus: cores given to the task.
        gpus: GPUs given to the task.
        last_life: last sign of life of an attempt that was killed, seconds since the epoch.
        last_step: the step that it reached.
        members: how many runs the task trains at once.
        in_process: how many of them this process trains; its CPU time counts to equal parts.
        cpu_before: CPU time of this process that does not count, s.
    """

    def __init__(
        self,
        path: Path,
        job: str,
        cpus: int,
        gpus: int,
        last_life: float | None = None,
        *,
        last_step: int = 0,
        members: int = 1,
        in_process: int = 1,
        cpu_before: float = 0.0,
    ) -> None:
        self.path = path
        earlier = read_attempts(path, strict=True)
        self.number = earlier[-1].number + 1 if earlier else 1
        if earlier and not earlier[-1].status:
            self._end_killed(earlier[-1], last_life, last_step)
        self._start = time.monotonic()
        self._static = {"job": job, "cpus": cpus, "gpus": gpus, "members": members}
        self._in_process, self._cpu_before = in_process, cpu_before

    def start(self) -> None:
        """Say that the attempt begins."""
        self._append(
            event="start",
            number=self.number,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            host=platform.node(),
            node=os.environ.get("SLURMD_NODENAME", ""),
            pid=os.getpid(),
            **self._static,
        )

    def end(self, status: EndStatus, reason: str, steps: Sequence[int]) -> None:
        """Say how it ended, and the steps it was seen at, first to last."""
        used = cpu_seconds() - self._cpu_before
        self._append(
            event="end",
            number=self.number,
            status=status,
            reason=reason,
            first_step=steps[0] if steps else 0,
            last_step=steps[-1] if steps else 0,
            wall_seconds=round(time.monotonic() - self._start, 3),
            cpu_seconds=round(used / self._in_process, 3),
        )

    def _end_killed(self, attempt: Attempt, last_life: float | None, last_step: int) -> None:
        begun = datetime.fromisoformat(attempt.started).timestamp()
        lived = max(0.0, last_life - begun) if last_life else 0.0
        self._append(
            event="end",
            number=attempt.number,
            status="killed",
            reason="ended without a word: killed, out of memory, or its node failed",
            last_step=last_step,
            wall_seconds=round(lived, 3),
        )

    def _append(self, **record: Any) -> None:
        append_line(self.path, json.dumps(record))
