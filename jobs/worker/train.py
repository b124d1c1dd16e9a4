"""What a task does, of an array or of the local executor: train its runs, each to its own end.

Nothing heavy is imported before it is needed: the launcher imports this module too.
"""

import os
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path

from inr.config import RunConfig
from inr.errors import UserError
from inr.memory import MIB, expected_memory
from inr.results import outcome
from inr.signals import StopRequest
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from inr.storage.provenance import slurm_job_id
from jobs.sweeps.grouping import PackMode
from jobs.worker.attempt import RunAttempt, Share, failed
from jobs.worker.devices import children_at_once, cuda_devices, given_cpus, require_gpu
from jobs.worker.parent_watchdog import follow

NamedConfig = tuple[str, RunConfig]


def train_runs(
    root: str,
    runs: Sequence[tuple[str, str]],
    mode: PackMode = "auto",
    *,
    watchdog: str | None = None,
    cuda_device: str | None = None,
    wait: float = 0.0,
    stop: StopRequest | None = None,
) -> list[str]:
    """Train those runs of a task that are not finished.

    Args:
        root: directory of the sweep.
        runs: name and configuration as JSON of each, all of one `RunConfig.fusing_key`.
        mode: how to train several, see `jobs.sweeps.grouping`.
        watchdog: end this process when the launcher that made this `ParentWatchdog` ends.
        cuda_device: the device to use, as in ``CUDA_VISIBLE_DEVICES``; None: any that is visible.
        wait: seconds to wait for other processes that are writing these runs.
        stop: says when to stop; None: when this process gets one of `SIGNALS`.

    Returns:
        How each ended: "complete" or "diverged"; "stopped" when a signal asked for it, to go on
        from its checkpoint; or "failed", with the reason in its files and on standard error. A run
        that another process writes fails alone, and leaves no trace in its files.
    """
    with nullcontext(stop) if stop else StopRequest() as stop:
        if watchdog is not None:
            follow(watchdog)
        if cuda_device is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = cuda_device  # read when torch is loaded
        layout = SweepLayout(Path(root))
        named = [(name, RunConfig.model_validate_json(config)) for name, config in runs]
        ends = {name: outcome(layout.run(name).results, config.run_id) for name, config in named}
        left = [(name, config) for name, config in named if ends[name] is None]
        if choose_mode([config for _, config in left], mode) == "processes":
            from jobs.worker.pack_processes import train_in_processes

            ends |= train_in_processes(layout, left, wait, stop)
        else:
            ends |= train_together(layout, left, wait, stop)
        return [str(ends[name]) for name, _ in runs]


def choose_mode(runs: Sequence[RunConfig], mode: PackMode) -> PackMode:
    """How to train such runs, where ``mode`` leaves it open.

    Fused on a GPU, whose launches that saves; in processes on a CPU, where these were faster at
    every width measured (docs/performance.md), as far as the memory that Slurm gave allows.
    """
    if mode != "auto" and len(runs) > 1:
        return mode
    if len(runs) < 2 or cuda_devices():
        return "fused"
    given = os.environ.get("SLURM_MEM_PER_NODE", "")  # MiB; absent or 0 without a limit
    needed = expected_memory([runs], "processes", 0, children_at_once(len(runs))).host // MIB
    if given.isdigit() and 0 < int(given) < needed:
        text = f"processes may need {needed} of {given} MiB"
        print(f"pack of {len(runs)}: fused, {text}", flush=True)
        return "fused"
    return "processes"


def train_together(
    layout: SweepLayout,
    runs: Sequence[NamedConfig],
    wait: float,
    stop: StopRequest,
    share: Share | None = None,
    steps_in_all: int | None = None,
) -> dict[str, str]:
    """Train one run in this process, or several as one. Returns how each ended, by name.

    ``share`` is what they have of a task that they share with others; for ``steps_in_all`` see
    `inr.training.fit.fit_together`, for the others `train_runs`.
    """
    share = share or Share(given_cpus(), members=len(runs), in_process=len(runs))
    for name, config in runs:  # `manage.py logs` knows a run's log by this line
        print(f"{name} ({config.run_id}), Slurm job {slurm_job_id() or 'none'}", flush=True)
    ends: dict[str, str] = {}
    attempts: list[RunAttempt] = []
    locks = claim({name: RunLock(layout.run(name).lock) for name, _ in runs}, wait)
    with ExitStack() as stack:
        for lock in locks.values():
            stack.callback(lock.release)
        for name, config in runs:
            files = layout.run(name)
            try:
                # if it is not ours, this says why
                lock = locks.get(name) or stack.enter_context(RunLock(files.lock))
                if finished := outcome(files.results, config.run_id):
                    ends[name] = finished
                else:
                    attempt = RunAttempt(files, name, config, share, lock, stop)
                    attempts.append(stack.enter_context(attempt))
            except Exception as error:  # of this run alone
                if name in locks:
                    locks[name].release()
                ends[name] = failed(name, error)
        _fit(layout, attempts, stop, steps_in_all)
    return ends | {attempt.name: attempt.ended for attempt in attempts}


def claim(locks: Mapping[str, RunLock], wait: float) -> dict[str, RunLock]:
    """Take all locks at once, or wait without holding any: who else needs some could wait for us.

    After ``wait`` seconds, those that are free. What cannot be written is not waited for.
    """
    deadline = time.monotonic() + wait
    while True:
        last = time.monotonic() >= deadline
        taken: dict[str, RunLock] = {}
        for name, lock in locks.items():
            with suppress(UserError):
                if lock.take():
                    taken[name] = lock
                elif not last:
                    break
        else:
            return taken
        for lock in taken.values():
            lock.release()
        time.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - not in step with the others


def _fit(
    layout: SweepLayout, attempts: Sequence[RunAttempt], stop: StopRequest, steps: int | None
) -> None:
    """Train the runs of ``attempts`` as one."""
    if stop() or not attempts:  # asked before anything heavy is loaded
        for attempt in attempts:
            attempt.end("stopped")
        return
    require_gpu()
    import torch

    from inr.storage.run_writer import RunWriter
    from inr.training.compilation import share_cache
    from inr.training.fit import Run, fit_together

    torch.set_num_threads(attempts[0].share.threads)  # not all that the machine has
    if note := share_cache(layout.compiled):
        print(note, flush=True)
    runs: list[Run] = []
    for attempt in attempts:
        try:
            files = RunWriter(attempt.run, attempt.config, attempt.name, attempt.number)
        except Exception as error:  # of this run alone
            attempt.end(error)
            continue
        recorder = attempt.enter_context(files)
        runs.append(Run(attempt.config, recorder, attempt.record_progress, attempt.end))
    fit_together(runs, should_stop=stop, steps_in_all=steps)
