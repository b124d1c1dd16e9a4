"""Work on files in child processes, so that a file that crashes a C library costs only itself.

HDF5 checks much of what it reads, but not all: a damaged file can end the process, or keep it busy
for ever. Children are plain interpreters that load only what their work needs, and start in a
quarter of a second; several of them use several cores.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from inr.cpus import core_count
from inr.errors import UserError
from inr.storage.provenance import ROOT

TIMEOUT = 60.0  # seconds that one item may take, a slow network file system included
_REPLY_SECONDS = 0.2  # between the messages of a child
_START = 120.0  # seconds that a child may take to start
_AHEAD = 2  # batches a child that may be done before the one whose turn it is

# Works on a batch. Yields one reply per item, in order; items in the second argument (position ->
# reason) took a child down and must not be touched again. Replies are plain data.
Work = Callable[[Any, dict[int, str]], Iterator[Any]]


@dataclass(frozen=True)
class Batch:
    """Some items that one child works on, one after the other."""

    payload: Any  # plain data
    size: int  # number of items


@dataclass
class _Job:
    number: int
    batch: Batch
    crashed: dict[int, str] = field(default_factory=dict)
    careful: bool = False  # after a loss: every reply at once, to see which item it was
    replies: list[Any] = field(default_factory=list)


def usable_cores() -> int:
    """Cores that this process may use: those of its Slurm task, which may not be bound to them."""
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return core_count()


def run_isolated(
    work: Work, batches: Sequence[Batch], *, workers: int | None = None, timeout: float = TIMEOUT
) -> Generator[list[Any]]:
    """Apply ``work`` to every batch in child processes; yield the replies of each, in order.

    When a child dies or hangs, the batch is done again by a new child that replies item by item;
    when that one is lost too, the item that it was at is marked, and the batch is done once more.

    Args:
        work: a function at the top of a module; the child imports it by name.
        batches: what to do; a child does one batch at a time.
        workers: children at most (default: the cores that this process may use).
        timeout: seconds without a reply after which a child counts as hung.

    Raises:
        UserError: what ``work`` raised as one, or a child died while it was at no item, or it
            could not start.
    """
    pending = deque(_Job(number, batch) for number, batch in enumerate(batches))
    idle: list[_Child] = []
    busy: dict[Connection, _Child] = {}
    ended: dict[int, list[Any]] = {}
    limit = max(1, workers or usable_cores())
    try:
        for due in range(len(batches)):
            while due not in ended:
                last = due + _AHEAD * limit
                while pending and len(busy) < limit and pending[0].number < last:
                    child = idle.pop() if idle else _Child(work, timeout)
                    child.start(pending.popleft())
                    busy[child.connection] = child
                for child in _answering(busy):
                    try:
                        job = child.receive()
                    except _ChildLostError as lost:
                        del busy[child.connection]
                        pending.appendleft(child.abandon(str(lost)))
                        continue
                    if job:
                        idle.append(busy.pop(child.connection))
                        ended[job.number] = job.replies
            yield ended.pop(due)
    finally:
        for child in (*idle, *busy.values()):
            child.end()


class _ChildLostError(Exception):
    """The child died or hangs; says why."""


def _answering(busy: dict[Connection, _Child]) -> list[_Child]:
    """The children that have said something, died, or been silent for too long."""
    nearest = min(child.deadline for child in busy.values())
    ready = wait(list(busy), max(0.0, nearest - time.monotonic()))
    now = time.monotonic()
    return [c for connection, c in busy.items() if connection in ready or c.deadline <= now]


class _Child:
    """A child process and the pipe to it."""

    def __init__(self, work: Work, timeout: float) -> None:
        self.connection, theirs = Pipe()
        self._timeout = timeout
        self._started = False
        root = str(ROOT)
        inherited = os.environ.get("PYTHONPATH")
        paths = [root, inherited] if inherited else [root]
        # one thread for numpy: the children are the parallelism
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            # glibc would give HDF5's memory back to the system after each file, and ask again
            "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
            "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
        }
        name = f"{work.__module__}:{work.__qualname__}"
        command = [sys.executable, "-P", "-m", __name__, name, str(theirs.fileno())]
        with closing(theirs):
            self._process = subprocess.Popen(  # noqa: S603, our own interpreter
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment
            )

    def start(self, job: _Job) -> None:
        """Hand a batch to the child."""
        self.job = job
        job.replies = []
        self.deadline = time.monotonic() + (self._timeout if self._started else _START)
        with suppress(BrokenPipeError):  # died at once: `receive` will say so
            self.connection.send((job.batch.payload, job.crashed, job.careful))

    def receive(self) -> _Job | None:
        """Take one message; the job once it is done. Raises `_ChildLostError`."""
        if not self.connection.poll():
            raise _ChildLostError(f"reading it takes longer than {self._timeout:g} s")
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            raise _ChildLostError(self._cause()) from None
        self.deadline = time.monotonic() + self._timeout
        if kind == "started":
            self._started = True
            return None
        if kind == "error":
            raise UserError(content)
        self.job.replies += content
        return self.job if kind == "done" else None

    def _cause(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"ends its reader (exit code {code})"
        if -code == signal.SIGKILL:
            return "its reader was killed, perhaps for lack of memory"
        return f"crashes the HDF5 library ({signal.Signals(-code).name})"

    def abandon(self, reason: str) -> _Job:
        """End a lost child; its job, with the item marked that it was at."""
        self.end()
        job, item = self.job, len(self.job.replies)
        if self._started and not job.careful:
            job.careful = True
            return job
        if not self._started or item >= job.batch.size or item in job.crashed:
            raise UserError(f"a reading process failed, and no run is to blame: it {reason}")
        job.crashed[item] = reason
        return job

    def end(self) -> None:
        """Kill the child; it holds nothing that is worth a farewell."""
        self.connection.close()
        self._process.kill()
        self._process.wait()


def _serve(name: str, descriptor: int) -> None:
    """The child: work on batches until the parent closes the pipe, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    module, _, function = name.partition(":")
    work: Work = getattr(importlib.import_module(module), function)
    connection: Connection = Connection(descriptor)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(("started", None))
        while True:
            payload, crashed, careful = connection.recv()
            try:
                _work(connection, work(payload, crashed), careful)
            except UserError as error:
                connection.send(("error", str(error)))


def _work(connection: Connection, replies: Iterator[Any], careful: bool) -> None:
    """Send all replies; unless ``careful`` some at a time, because each wakes the parent."""
    kept: list[Any] = []
    sent = time.monotonic()
    for reply in replies:
        kept.append(reply)
        if careful or time.monotonic() - sent > _REPLY_SECONDS:
            connection.send(("replies", kept))
            kept, sent = [], time.monotonic()
    connection.send(("done", kept))


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
