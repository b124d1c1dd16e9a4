"""Processes of the machine: whether they live, which belong to jobs, and their end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

STOP_SECONDS = 15.0


class TestbedError(Exception):
    """Something the caller can act on."""


def start_time(pid: int) -> str | None:
    """Start time of a live process in clock ticks since boot, as the kernel writes it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll ``condition``; False when it is still false after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def of_jobs(conf: Path) -> list[int]:
    """Step managers of Slurm, and whatever was started inside a job, of one cluster.

    Args:
        conf: the cluster's ``slurm.conf``, which lies in its directory.

    A step manager leaves slurmd's process tree and overwrites its environment, but keeps files of
    the cluster open; its children carry the cluster and their job in the environment.
    """
    mine = f"SLURM_CONF={conf}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            in_job = mine in variables and any(v.startswith(b"SLURM_JOB_ID=") for v in variables)
            step = (process / "comm").read_text().strip() == "slurmstepd"
            if in_job or (step and holds_file_in(process, conf.parent)):
                found.append(int(process.name))
        except OSError:  # it ended while we looked
            continue
    return found


def holds_file_in(process: Path, directory: Path) -> bool:
    """True when a process (its directory in /proc) has a file below ``directory`` open."""
    links = [process / "cwd", *(process / "fd").iterdir()]
    return any(link.readlink().is_relative_to(directory) for link in links)


def kill(pids: list[int]) -> None:
    """Kill processes and wait until they are gone."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if not wait_until(lambda: not any(start_time(pid) for pid in pids), STOP_SECONDS):
        raise TestbedError(f"processes {pids} do not end after SIGKILL")
