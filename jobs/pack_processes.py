"""The runs of a pack in processes of their own, on one device.

``python -P -m jobs.pack_processes`` is such a process. It trains one run after the other, so that
what it has loaded and compiled serves them all.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from inr.attempts import cpu_seconds
from inr.config import RunConfig
from inr.layout import SweepLayout
from jobs.attempt import Share, given_cpus, one_line
from jobs.children import (
    Child,
    children_at_once,
    ended_at_last,
    listen,
    start_child,
    tell,
    threads_of_each,
)
from jobs.lifeline import Lifeline, follow
from jobs.stopping import StopRequest
from jobs.task import run_task

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
    with Lifeline() as lifeline:
        question = {
            "root": str(layout.root),
            "lifeline": str(lifeline.path),
            "wait": wait,
            "cpus": cpus,
            "members": at_once,
            # of each process, if the work is shared out evenly
            "steps": sum(config.training.steps for _, config in runs) // at_once,
        }
        with _Crew(question, threads_of_each(cpus, at_once)) as crew:
            ends = crew.train(runs, at_once, stop)
    return [ends.get(name, "stopped") for name, _ in runs]


class _Worker:
    """A process that trains runs in turn.

    Attributes:
        run: name of the one that it trains.
    """

    def __init__(self, question: dict[str, Any], threads: int) -> None:
        self.run = ""
        reading, writing = os.pipe()
        self.answers = os.fdopen(reading, encoding="utf-8")
        try:
            question = question | {"answers": writing}
            self.child = start_child(__name__, question, threads, pass_fds=[writing])
        finally:
            os.close(writing)

    def give(self, run: NamedConfig) -> None:
        """Let it train ``run``, and then answer how that ended; it must have nothing to do."""
        self.run, config = run
        tell(self.child, json.dumps({"name": self.run, "config": config.canonical_json()}))

    def take_end(self) -> str:
        """How its run ended; waits for the answer."""
        if end := self.answers.readline().strip():
            return end
        code = self.child.wait()  # it ended without a word
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        print(f"{self.run}: {how}", file=sys.stderr, flush=True)
        return "failed"

    def dismiss(self) -> None:
        """Let it end."""
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.answers.close()


class _Crew:
    """Processes that share the runs of a pack. A context manager; they end with it.

    Args:
        question: what every process is told first.
        threads: of each.
    """

    def __init__(self, question: dict[str, Any], threads: int) -> None:
        self._question, self._threads = question, threads
        self._children: list[Child] = []
        self._open = ExitStack()

    def __enter__(self) -> _Crew:
        self._at_work = self._open.enter_context(selectors.DefaultSelector())
        self._open.enter_context(ended_at_last(self._children))
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def train(self, runs: Sequence[NamedConfig], most: int, stop: StopRequest) -> dict[str, str]:
        """How each ended, by name; those that a signal left waiting are not named."""
        waiting, ends = deque(runs), dict[str, str]()
        told = False
        while True:
            while waiting and not stop() and len(self._at_work.get_map()) < most:
                self._hire().give(waiting.popleft())
            if not self._at_work.get_map():
                return ends
            for key, _ in self._at_work.select(_LOOK_SECONDS):
                worker: _Worker = key.data
                ends[worker.run] = end = worker.take_end()
                if end in _GOES_ON and waiting and not stop():
                    worker.give(waiting.popleft())
                else:
                    self._at_work.unregister(worker.answers)
                    worker.dismiss()
            if stop.received is not None and not told:
                told = True
                for child in self._children:
                    child.send_signal(stop.received)

    def _hire(self) -> _Worker:
        worker = _Worker(self._question, self._threads)
        self._children.append(worker.child)
        self._at_work.register(worker.answers, selectors.EVENT_READ, worker)
        return worker


def main() -> int:
    """Train the runs that are given, until there are no more, one fails, or a signal comes."""
    # Slurm's own signal and the task's may both come, one of them late
    with StopRequest(last=True) as stop:
        asked = listen()
        follow(asked["lifeline"])
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
    cpus, members = asked["cpus"], asked["members"]
    try:
        return run_task(
            asked["root"],
            name,
            config,
            wait=asked["wait"],
            stop=stop,
            share=Share(cpus=cpus, members=members, cpu_before=cpu_before),
            threads=threads_of_each(cpus, members),
            steps_in_all=asked["steps"],
        )
    except Exception as error:  # told in the run's own files; the others go on
        print(f"{name}: {one_line(error)}", file=sys.stderr, flush=True)
        return "failed"


if __name__ == "__main__":
    sys.exit(main())
