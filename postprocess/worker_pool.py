"""Work on files in child processes, so that a file that crashes a C library costs only itself.

HDF5 checks much of what it reads, but not all: a damaged file can end the process, or keep it busy
for ever. Children are plain interpreters that load only what their work needs, and start in a
quarter of a second; several of them use several cores. A thread waits for each.
"""

import importlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing, suppress
from multiprocessing.connection import Connection, Pipe
from threading import Lock
from typing import Any

from inr.cpus import core_count
from inr.errors import UserError
from inr.storage.provenance import ROOT, import_path

TIMEOUT = 60.0  # seconds that one item may take, a slow network file system included
_START = 120.0  # seconds that a child may take to start
_AHEAD = 32  # items a child that are given out, or done, before the reply whose turn it is


class ChildLostError(Exception):
    """A child died or hangs; says why."""


def usable_cores() -> int:
    """Cores that this process may use: those of its Slurm task, which may not be bound to them."""
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return int(given) if given.isdigit() and int(given) > 0 else core_count()


def run_isolated(
    work: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    workers: int | None = None,
    timeout: float = TIMEOUT,
) -> Generator[Any]:
    """Apply ``work`` to every item in child processes; yield the replies in order.

    When a child dies, or hangs for ``timeout`` seconds, another one does the item again; when that
    is lost too, a `ChildLostError` takes the place of the reply. ``work`` is a function at the top
    of a module, imported by name; items and replies are plain data. There are at most ``workers``
    children (default: the cores that this process may use).

    Raises `UserError` if ``work`` did, or a child could not start.
    """
    limit = max(1, workers or usable_cores())
    children = [_Child(work, timeout) for _ in range(limit)]
    idle = deque(children)

    def reply(item: Any) -> Any:
        child = idle.pop()
        try:
            return child.reply(item)
        finally:
            idle.append(child)

    threads = ThreadPoolExecutor(limit)
    waiting: deque[Future[Any]] = deque()
    try:
        for item in items:
            waiting.append(threads.submit(reply, item))
            if len(waiting) >= _AHEAD * limit:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.end()
        threads.shutdown()


class _Child:
    """A child process, and the pipe to it; started when it is needed, again when it was lost."""

    def __init__(self, work: Callable[[Any], Any], timeout: float) -> None:
        self._name = f"{work.__module__}:{work.__qualname__}"
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._lock = Lock()  # none is started once they were ended

    def reply(self, item: Any) -> Any:
        """The reply to an item, or why two children were lost. Raises as `run_isolated` does."""
        reason = None
        for _ in range(2):
            if self._process is None:
                self._start()
            try:
                with suppress(OSError):  # died since: `_receive` will say so
                    self._connection.send(item)
                return self._receive(self._timeout)
            except ChildLostError as lost:
                self._kill()
                self._process = None
                reason = lost
        return reason

    def _start(self) -> None:
        # one thread for numpy: the children are the parallelism
        environment = os.environ | {
            "PYTHONPATH": import_path(ROOT),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            # glibc would give HDF5's memory back to the system after each file, and ask again
            "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
            "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
        }
        self._connection, theirs = Pipe()
        command = [sys.executable, "-P", "-m", __name__, self._name, str(theirs.fileno())]
        with closing(theirs), self._lock:
            if self._ended:
                raise CancelledError
            self._process = subprocess.Popen(  # noqa: S603, our own interpreter
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment
            )
        try:
            self._receive(_START)
        except ChildLostError as lost:
            raise UserError(
                f"a reading process failed, and no run is to blame: it {lost}"
            ) from None

    def _receive(self, limit: float) -> Any:
        try:
            if not self._connection.poll(limit):
                raise ChildLostError(f"reading it takes longer than {limit:g} s")
            reply, error = self._connection.recv()
        except (EOFError, OSError):
            raise ChildLostError(self._cause()) from None
        if error:
            raise UserError(error)
        return reply

    def _cause(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        if code >= 0:
            return f"ends its reader (exit code {code})"
        if -code == signal.SIGKILL:
            return "its reader was killed, perhaps for lack of memory"
        return f"crashes the HDF5 library ({signal.Signals(-code).name})"

    def _kill(self) -> None:
        with self._lock:
            if self._process:
                self._process.kill()
                self._process.wait()

    def end(self) -> None:
        """Kill it for good; it holds nothing that is worth a farewell."""
        self._ended = True
        self._kill()


def _serve(name: str, descriptor: int) -> None:
    """The child: do items until the parent closes the pipe, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    module, _, function = name.partition(":")
    work: Callable[[Any], Any] = getattr(importlib.import_module(module), function)
    connection: Connection = Connection(descriptor)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send((None, ""))  # it has started
        while True:
            item = connection.recv()
            try:
                reply = work(item), ""
            except UserError as error:
                reply = None, str(error)
            connection.send(reply)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
