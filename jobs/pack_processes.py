"""The runs of a pack side by side: a process each, on one device.

``python -P -m jobs.pack_processes`` is such a process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence

from inr.config import RunConfig
from inr.layout import SweepLayout
from jobs.attempt import Share, given_cpus, one_line
from jobs.children import Child, ended_at_last, listen, start_child, threads_of_each
from jobs.lifeline import Lifeline
from jobs.outcome import outcome
from jobs.stopping import StopRequest
from jobs.task import run_task

_LOOK_SECONDS = 0.1
_STOPPED = os.EX_TEMPFAIL  # exit code of a child that was asked to stop, and can go on


def train_in_processes(
    layout: SweepLayout, runs: Sequence[tuple[str, RunConfig]], wait: float, stop: StopRequest
) -> list[str]:
    """Train ``runs`` (name, configuration) at the same time, and wait for all.

    The children end when this process does, however it ends.

    Returns:
        "complete", "diverged", "stopped" or "failed" for each. A child writes its own story.
    """
    cpus = given_cpus()
    children: list[Child] = []
    with ended_at_last(children), Lifeline() as lifeline:
        for name, config in runs:
            question = {
                "root": str(layout.root),
                "name": name,
                "config": config.canonical_json(),
                "lifeline": str(lifeline.path),
                "wait": wait,
                "cpus": cpus,
                "members": len(runs),
            }
            threads = threads_of_each(cpus, len(runs))
            children.append(start_child(__name__, question, threads))
        _wait_for(children, stop)
    return [
        _end(layout, name, config, child)
        for (name, config), child in zip(runs, children, strict=True)
    ]


def _wait_for(children: Sequence[Child], stop: StopRequest) -> None:
    """Until all have ended; a signal to this process goes on to them."""
    told = False
    while any(child.poll() is None for child in children):
        if stop.received is not None and not told:
            told = True
            for child in children:
                child.send_signal(stop.received)
        time.sleep(_LOOK_SECONDS)


def _end(layout: SweepLayout, name: str, config: RunConfig, child: Child) -> str:
    if child.returncode == _STOPPED:
        return "stopped"
    if child.returncode < 0:
        print(f"{name}: killed by {signal.Signals(-child.returncode).name}", file=sys.stderr)
    ended = outcome(layout.run(name), config.run_id) if child.returncode == 0 else None
    return ended or "failed"


def main() -> int:
    """Train one run of a pack. Returns 0 when it is finished, `_STOPPED` when it was stopped."""
    # Slurm's own signal and the task's may both come, one of them late
    with StopRequest(last=True) as stop:
        asked = listen()
        try:
            status = run_task(
                asked["root"],
                asked["name"],
                asked["config"],
                lifeline=asked["lifeline"],
                wait=asked["wait"],
                stop=stop,
                share=Share(cpus=asked["cpus"], members=asked["members"]),
                threads=threads_of_each(asked["cpus"], asked["members"]),
            )
        except Exception as error:  # told in the run's own files; the others go on
            print(f"{asked['name']}: {one_line(error)}", file=sys.stderr)
            return 1
    return _STOPPED if status == "stopped" else 0


if __name__ == "__main__":
    sys.exit(main())
