"""Why a task ended, from the end of its log: for tasks that could not say it themselves.

Slurm writes there too, also where accounting is off; and only there, without cgroups, that it
ended a task for its memory.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path

_LINES = 50
_SLURM = ("slurmstepd", "srun:", "slurmd")
# What Slurm writes -> the state that accounting would tell.
_STATES = (
    (re.compile(r"oom.?kill|out of memory|exceeded (job )?memory limit", re.I), "OUT_OF_MEMORY"),
    (re.compile(r"DUE TO TIME LIMIT"), "TIMEOUT"),
    (re.compile(r"DUE TO PREEMPTION"), "PREEMPTED"),
    (re.compile(r"DUE TO NODE FAILURE"), "NODE_FAIL"),
)


@dataclass(frozen=True)
class ExitReason:
    """The end of a log.

    Attributes:
        state: Slurm's word for how the task ended, or "".
        line: the last line that is not Slurm's, or "".
    """

    state: str = ""
    line: str = ""


def tail(path: Path, lines: int) -> list[str]:
    """The last ``lines`` lines of a text file; none if it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
    except OSError:
        return []


def read_exit_reason(log: Path) -> ExitReason:
    """The end of a log; nothing if there is none."""
    state = line = ""
    for text in map(str.strip, reversed(tail(log, _LINES))):
        if not text.startswith(_SLURM):
            line = line or text
        elif not state:
            state = next((state for words, state in _STATES if words.search(text)), "")
    return ExitReason(state, line)
