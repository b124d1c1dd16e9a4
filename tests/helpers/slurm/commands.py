"""Ask the cluster under test, and wait for it."""

import subprocess
import time
from collections.abc import Callable
from typing import Any


def ask(*command: str) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


def wait_for(condition: Callable[[], Any], seconds: float = 180) -> None:
    """Wait until ``condition`` is true; fail with the queue when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, ask("squeue", "-l")
        time.sleep(0.25)


def jobs() -> set[str]:
    """Every job that is waiting or running, an array counting as one."""
    return set(ask("squeue", "-h", "--me", "-o", "%F").split())
