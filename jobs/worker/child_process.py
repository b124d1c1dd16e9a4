"""Processes that a task starts for its runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from inr.signals import signals_blocked
from inr.storage.provenance import ROOT, import_path
from jobs.worker.attempt import given_cpus
from jobs.worker.devices import cuda_devices

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_STOP_SECONDS = 15.0  # for children to save and end

Child = subprocess.Popen[str]


def children_at_once(runs: int) -> int:
    """How many of so many runs train at the same time, in a process each.

    All on a GPU, which shares itself out among processes; on the CPU one a core, and the others
    wait for their turn.
    """
    return runs if cuda_devices() else min(runs, given_cpus())


def threads_of_each(cpus: int, children: int) -> int:
    """Threads of every child, so that together they have one a core."""
    return max(1, cpus // children)


def start_child(
    module: str,
    question: Mapping[str, Any],
    threads: int,
    pass_fds: Sequence[int],
) -> Child:
    """Start ``python -P -m module`` and give it ``question``, which it takes with `receive`.

    Args:
        module: of this package.
        question: what it is about, as JSON.
        threads: for its arithmetic.
        pass_fds: open files that it inherits.
    """
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    environment["PYTHONPATH"] = import_path(ROOT)
    with signals_blocked():
        child = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-P", "-u", "-m", module],
            env=environment,
            stdin=subprocess.PIPE,
            pass_fds=pass_fds,
            text=True,
        )
    send(child, question)
    return child


def send(child: Child, message: Mapping[str, Any]) -> None:
    """Write a line of JSON to a child; nothing happens if it has ended."""
    assert child.stdin is not None
    with suppress(BrokenPipeError):
        child.stdin.write(json.dumps(message) + "\n")
        child.stdin.flush()


def receive() -> dict[str, Any]:
    """In a child: what it is to do."""
    return dict(json.loads(sys.stdin.readline()))


@contextmanager
def terminated_at_last(children: list[Child]) -> Iterator[None]:
    """Wait at the end of the block for children to end, and end them the hard way if need be."""
    try:
        yield
    finally:
        deadline = time.monotonic() + _STOP_SECONDS
        for child in children:
            if child.stdin is not None:
                with suppress(BrokenPipeError):
                    child.stdin.close()
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
