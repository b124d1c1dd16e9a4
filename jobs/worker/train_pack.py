"""What a task does for several runs of one shape: train them together, each to its own end.

Nothing heavy is imported before it is needed: the launcher imports this module too.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inr.config import RunConfig
from inr.errors import UserError
from inr.results import outcome
from inr.signals import StopRequest
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from jobs.sweeps.grouping import PackMode
from jobs.worker.attempt import RunAttempt, Share, given_cpus, one_line
from jobs.worker.child_process import children_at_once
from jobs.worker.devices import cuda_devices, require_gpu
from jobs.worker.train_run import end_of, prepare_torch, tie

if TYPE_CHECKING:
    from inr.training.fit import Outcome

NamedConfig = tuple[str, RunConfig]

_PROCESS_MIB = 700  # what a training process of a small network needs, torch included


def run_pack(
    root: str,
    runs: Sequence[tuple[str, str]],
    mode: PackMode,
    *,
    watchdog: str | None = None,
    cuda_device: str | None = None,
    wait: float = 0.0,
    stop: StopRequest | None = None,
) -> list[str]:
    """Train those runs of a pack that are not finished.

    Args:
        root: directory of the sweep.
        runs: name (directory below ``runs/``) and configuration as JSON of each, all of one
            `RunConfig.fusing_key`.
        mode: see `jobs.sweeps.grouping.Packing`.
        watchdog: end this process when the launcher that made this `ParentWatchdog` ends.
        cuda_device: the device to use, as in ``CUDA_VISIBLE_DEVICES``; None: any that is visible.
        wait: seconds to wait for other processes that are writing these runs.
        stop: says when to stop; None: when this process gets one of `SIGNALS`.

    Returns:
        How each ended: "complete", "diverged", "stopped", or "failed" with the reason in its
        error.txt and attempts.jsonl and on standard error. A run that another process writes
        fails alone, and leaves no trace in its files.
    """
    with nullcontext(stop) if stop else StopRequest() as stop:
        tie(watchdog, cuda_device)
        layout = SweepLayout(Path(root))
        named = [(name, RunConfig.model_validate_json(config)) for name, config in runs]
        ends = {name: outcome(layout.run(name).results, config.run_id) for name, config in named}
        left = [(name, config) for name, config in named if ends[name] is None]
        train = _train_fused
        if choose_mode(len(left), mode) == "processes":
            from jobs.worker.pack_processes import train_in_processes as train
        ended = train(layout, left, wait, stop) if left else []
        ends |= dict(zip((name for name, _ in left), ended, strict=True))
        return [str(ends[name]) for name, _ in runs]


def choose_mode(runs: int, mode: PackMode) -> PackMode:
    """How to train so many runs, where ``mode`` leaves it open.

    Fused on a GPU, whose launches that saves; in processes on a CPU, where these were faster at
    every width measured (docs/performance.md), as far as the memory that Slurm gave allows.
    """
    if mode != "auto" and runs > 1:
        return mode
    if runs < 2 or cuda_devices():
        return "fused"
    given = os.environ.get("SLURM_MEM_PER_NODE", "")  # MiB; absent or 0 without a limit
    needed = children_at_once(runs) * _PROCESS_MIB
    if given.isdigit() and 0 < int(given) < needed:
        print(f"pack of {runs}: fused, processes may need {needed} of {given} MiB", flush=True)
        return "fused"
    return "processes"


def _train_fused(
    layout: SweepLayout, runs: Sequence[NamedConfig], wait: float, stop: StopRequest
) -> list[str]:
    """Train ``runs`` as one in this process. Returns how each ended."""
    share = Share(members=len(runs), in_process=len(runs))
    ends: dict[str, str] = {}
    attempts: list[RunAttempt] = []
    locks = claim({name: RunLock(layout.run(name).lock) for name, _ in runs}, wait)
    with ExitStack() as stack:
        for lock in locks.values():
            stack.callback(lock.release)
        for name, config in runs:
            attempt = RunAttempt(layout.run(name), name, config, share, lock=locks.get(name))
            try:
                stack.enter_context(attempt)
            except Exception as error:  # of this run alone
                ends[name] = _failed(name, error)
                continue
            if attempt.finished:
                ends[name] = attempt.finished
            else:
                attempts.append(attempt)
        ends |= _fit(layout, attempts, stop)
    return [ends[name] for name, _ in runs]


def claim(locks: Mapping[str, RunLock], wait: float) -> dict[str, RunLock]:
    """Take all locks at once, or wait without holding any: who else needs some could wait for us.

    After ``wait`` seconds, those that are free. What cannot be written is not waited for.
    """
    deadline = time.monotonic() + wait
    while True:
        last = time.monotonic() >= deadline
        taken: dict[str, RunLock] = {}
        held = False
        for name, lock in locks.items():
            with suppress(UserError):
                if lock.take():
                    taken[name] = lock
                elif not last:
                    held = True
                    break
        if not held:
            return taken
        for lock in taken.values():
            lock.release()
        time.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - not in step with the others


def _fit(layout: SweepLayout, attempts: Sequence[RunAttempt], stop: StopRequest) -> dict[str, str]:
    """Train the runs of ``attempts`` as one. Returns how each ended, by name."""
    ends: dict[str, str] = {}

    def end(attempt: RunAttempt, ended: Outcome) -> None:
        ends[attempt.name] = _end(attempt, ended, stop)

    if stop() or not attempts:  # asked before anything heavy is loaded
        for attempt in attempts:
            end(attempt, "stopped")
        return ends
    require_gpu()
    prepare_torch(layout, given_cpus())
    from inr.storage.run_writer import RunWriter
    from inr.training.fit import Run, fit_together

    runs: list[Run] = []
    for attempt in attempts:
        try:
            files = RunWriter(attempt.run, attempt.config, attempt.name, attempt.number)
        except Exception as error:  # of this run alone
            end(attempt, error)
            continue
        recorder = attempt.hold(files)
        runs.append(Run(attempt.config, recorder, attempt.tell, partial(end, attempt)))
    fit_together(runs, should_stop=stop)
    return ends


def _end(attempt: RunAttempt, ended: Outcome, stop: StopRequest) -> str:
    """Write down how one run ended, and let go of it: others may go on for long."""
    try:
        if isinstance(ended, Exception):
            attempt.fail(ended)
            return _failed(attempt.name, ended)
        attempt.end(*end_of(ended, stop))
        return ended
    except OSError as error:  # a full disk, for this run's story
        return _failed(attempt.name, error)
    finally:
        attempt.close()


def _failed(name: str, error: Exception) -> str:
    print(f"{name}: {one_line(error)}", file=sys.stderr, flush=True)
    return "failed"
