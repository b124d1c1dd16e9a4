"""The runs of a pack in processes of their own, on one device.

``python -P -m jobs.worker.pack_processes`` is such a process. It trains one run after the other,
so that what it has loaded and compiled serves them all.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any

from inr.config import RunConfig
from inr.signals import StopRequest
from inr.storage.attempts import cpu_seconds
from inr.storage.paths import SweepLayout
from jobs.worker.attempt import Share, given_cpus, one_line
from jobs.worker.child_process import (
    Child,
    children_at_once,
    receive,
    send,
    start_child,
    terminated_at_last,
    threads_of_each,
)
from jobs.worker.parent_watchdog import ParentWatchdog, follow
from jobs.worker.train_run import run_task

_LOOK_SECONDS = 0.1
_GOES_ON = ("complete", "diverged")  # how a run ends whose process can train the next one

NamedConfig = tuple[str, RunConfig]


def train_in_processes(
    layout: SweepLayout, runs: Sequence[NamedConfig], wait: float, stop: StopRequest
) -> list[str]:
    """Train ``runs`` (name, configuration), `children_at_once` at a time, and wait for all.

    A run that fails or is killed takes its process along, and no other run: a new process trains
    those that wait. The children end when this process does, however it ends.

    Returns:
        "complete", "diverged", "stopped" or "failed" for each. A child writes the story of a run.
    """
    cpus, at_once = given_cpus(), children_at_once(len(runs))
    waiting, ends = iter(runs), dict[str, str]()
    children: list[Child] = []
    with (
        ThreadPoolExecutor(at_once) as pool,
        ParentWatchdog() as watchdog,
        terminated_at_last(children),
    ):
        question = {
            "root": str(layout.root),
            "watchdog": str(watchdog.path),
            "wait": wait,
            "cpus": cpus,
            "members": at_once,
            # of each process, if the work is shared out evenly
            "steps": sum(config.training.steps for _, config in runs) // at_once,
        }

        def start() -> _Worker:
            worker = _Worker(question, threads_of_each(cpus, at_once))
            children.append(worker.child)
            return worker

        at_work = [pool.submit(_train_in_turn, start, waiting, ends, stop) for _ in range(at_once)]
        told = 0
        while wait_for(at_work, _LOOK_SECONDS).not_done:
            while stop.received is not None and told < len(children):
                children[told].send_signal(stop.received)
                told += 1
        for each in at_work:
            each.result()  # raises what kept a process from starting
    return [ends.get(name, "stopped") for name, _ in runs]


def _train_in_turn(
    start: Callable[[], _Worker],
    waiting: Iterator[NamedConfig],
    ends: dict[str, str],
    stop: StopRequest,
) -> None:
    """Train runs that wait, one after the other, while there are any."""
    worker = None
    while not stop() and (run := next(waiting, None)):
        worker = worker or start()
        ends[run[0]] = worker.train(run)
        if ends[run[0]] not in _GOES_ON:
            worker.close()
            worker = None
    if worker:
        worker.close()


class _Worker:
    """A process that trains runs in turn."""

    def __init__(self, question: dict[str, Any], threads: int) -> None:
        reading, writing = os.pipe()
        self._answers = os.fdopen(reading, encoding="utf-8")
        try:
            question = question | {"answers": writing}
            self.child = start_child(__name__, question, threads, [writing])
        finally:
            os.close(writing)

    def train(self, run: NamedConfig) -> str:
        """Let it train ``run``. Returns how that ended."""
        name, config = run
        send(self.child, {"name": name, "config": config.canonical_json()})
        if end := self._answers.readline().strip():
            return end
        code = self.child.wait()  # it ended without a word
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        print(f"{name}: {how}", file=sys.stderr, flush=True)
        return "failed"

    def close(self) -> None:
        """Let it end."""
        assert self.child.stdin is not None
        self.child.stdin.close()
        self._answers.close()


def main() -> int:
    """Train the runs that are given, until there are no more, one fails, or a signal comes."""
    # Slurm's own signal and the task's may both come, one of them late
    with StopRequest(last=True) as stop:
        asked = receive()
        follow(asked["watchdog"])
        os.set_inheritable(asked["answers"], False)
        with os.fdopen(asked["answers"], "w", encoding="utf-8") as answers:
            before = 0.0
            for line in sys.stdin:
                run = json.loads(line)
                end = _train(asked, run["name"], run["config"], before, stop)
                print(end, file=answers, flush=True)
                if end not in _GOES_ON:
                    break  # what a failure leaves behind must not spoil the next run
                before = cpu_seconds()
    return 0


def _train(
    asked: dict[str, Any], name: str, config: str, cpu_before: float, stop: StopRequest
) -> str:
    """Train one run. Returns how it ended."""
    try:
        return run_task(
            asked["root"],
            name,
            config,
            wait=asked["wait"],
            stop=stop,
            share=Share(asked["cpus"], asked["members"], cpu_before=cpu_before),
            steps_in_all=asked["steps"],
        )
    except Exception as error:  # told in the run's own files; the others go on
        print(f"{name}: {one_line(error)}", file=sys.stderr, flush=True)
        return "failed"


if __name__ == "__main__":
    sys.exit(main())
