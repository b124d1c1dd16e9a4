"""Peak memory of one training step above what the process held before, on Linux.

Run in a process of its own: ``python -m tests.benchmarks.memory CONTESTANT POINTS``.
"""

import ctypes
import subprocess
import sys
from pathlib import Path

from tests.benchmarks import steps

CONTESTANTS = {
    "nested autograd": steps.nested,
    "adjoint form, autograd": steps.adjoint_autograd,
    "ours": steps.ours,
    "ours, compiled": steps.ours_compiled,
}


def peak_of_step(contestant: str, points: int) -> float:
    """MiB that a step adds at its peak, measured in a new process."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", contestant, str(points)]
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return float(answer.stdout.split()[-1])


def measure(contestant: str, points: int) -> float:
    """The same in this process."""
    build = CONTESTANTS[contestant]
    build(steps.make_problem(steps.Case(points=64)))()  # libraries start up
    step = build(steps.make_problem(steps.Case(points=points)))
    ctypes.CDLL(None).malloc_trim(0)  # the compiled step was tried: what it freed is no reserve
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is held now
    step()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    """MiB, from /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    print(measure(sys.argv[1], int(sys.argv[2])))
