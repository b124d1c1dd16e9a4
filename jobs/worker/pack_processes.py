"""The runs of a pack in processes of their own, on one device.

``python -P -m jobs.worker.pack_processes PIPE`` is such a process. It trains one run after the
other, so that what it has loaded and compiled serves them all.
"""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe
from multiprocessing.connection import wait as wait_for

from inr.config import RunConfig
from inr.signals import StopRequest, signals_blocked
from inr.storage.attempts import cpu_seconds
from inr.storage.paths import SweepLayout
from inr.storage.provenance import ROOT, import_path
from jobs.worker.attempt import Share, failed
from jobs.worker.devices import THREAD_VARIABLES, children_at_once, given_cpus
from jobs.worker.parent_watchdog import ParentWatchdog, follow
from jobs.worker.train import NamedConfig, train_together

_POLL_SECONDS = 0.1
_STOP_SECONDS = 15.0  # for children to save and end
_GOES_ON = ("complete", "diverged")  # how a run ends whose process can train the next one

# What a child is told of its task: sweep, its share of it, seconds to wait for other writers, steps
# of a child, watchdog.
_Task = tuple[SweepLayout, Share, float, int, str]


def train_in_processes(
    layout: SweepLayout, runs: Sequence[NamedConfig], wait: float, stop: StopRequest
) -> dict[str, str]:
    """Train ``runs`` (name, configuration), `children_at_once` at a time, and wait for all.

    A run that fails or is killed takes its process along, and no other run: a new process trains
    those that wait. The children end when this process does, however it ends. Returns how each run
    ended, by name, as `train_runs` says.
    """
    at_once = children_at_once(len(runs))
    share = Share(given_cpus(), members=at_once)
    # of each process, if the work is shared out evenly
    steps = sum(config.training.steps for _, config in runs) // at_once
    waiting, ends = deque(runs), {name: "stopped" for name, _ in runs}
    children: set[_Child] = set()
    idle: list[_Child] = []
    busy: list[_Child] = []
    told = False
    with ParentWatchdog() as watchdog, _ended_at_last(children):
        task = (layout, share, wait, steps, str(watchdog.path))
        while busy or (waiting and not stop()):
            while waiting and len(busy) < at_once and not stop():
                child = idle.pop() if idle else _Child(task)
                children.add(child)
                busy.append(child)
                child.begin(*waiting.popleft())
            ready = wait_for([child.pipe for child in busy], _POLL_SECONDS)
            for child in [each for each in busy if each.pipe in ready]:
                busy.remove(child)
                ends[child.run] = child.end()
                if ends[child.run] in _GOES_ON:
                    idle.append(child)
            if stop.received is not None and not told:
                told = True
                for child in busy:
                    child.process.send_signal(stop.received)
    return ends


class _Child:
    """A process that trains runs of a task in turn."""

    def __init__(self, task: _Task) -> None:
        self.run = ""
        self.pipe, theirs = Pipe()
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(task[1].threads))
        environment["PYTHONPATH"] = import_path(ROOT)
        with theirs, signals_blocked():
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-P", "-u", "-m", __name__, str(theirs.fileno())],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._send(task)

    def begin(self, name: str, config: RunConfig) -> None:
        """Let it train a run."""
        self.run = name
        self._send((name, config))

    def end(self) -> str:
        """Wait for the end of the run. Returns how it ended."""
        try:
            return str(self.pipe.recv())
        except (EOFError, OSError):  # it ended without a word
            code = self.process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        print(f"{self.run}: {how}", file=sys.stderr, flush=True)
        return "failed"

    def _send(self, message: object) -> None:
        with suppress(OSError):  # it has ended: its answer, or none, will tell
            self.pipe.send(message)


@contextmanager
def _ended_at_last(children: Collection[_Child]) -> Iterator[None]:
    """Let children end at the end of the block, and wait for them; the hard way if need be."""
    try:
        yield
    finally:
        for child in children:
            child.pipe.close()
            child.process.terminate()  # saves what it trains, if this process failed meanwhile
        deadline = time.monotonic() + _STOP_SECONDS
        for child in children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def main() -> int:
    """Train the runs that are given, until there are no more, one fails, or a signal comes."""
    # Slurm's own signal and the task's may both come, one of them late
    with StopRequest(last=True) as stop, Connection(int(sys.argv[1])) as pipe:
        os.set_inheritable(pipe.fileno(), False)
        end = _GOES_ON[0]
        with suppress(EOFError, ConnectionError):  # no more runs, or nobody who waits for this one
            layout, share, wait, steps, watchdog = pipe.recv()
            follow(watchdog)
            while end in _GOES_ON:  # what a failure leaves behind must not spoil the next run
                name, config = pipe.recv()
                try:
                    end = train_together(layout, [(name, config)], wait, stop, share, steps)[name]
                except Exception as error:  # told in the run's own files; the others go on
                    end = failed(name, error)
                pipe.send(end)
                share = replace(share, cpu_before=cpu_seconds())
    return 0


if __name__ == "__main__":
    sys.exit(main())
