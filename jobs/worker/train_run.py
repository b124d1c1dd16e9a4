"""What a task of an array, or of the local executor, does for one run: train it.

For several runs see `jobs.worker.train_pack`. Nothing heavy is imported before it is needed: the
launcher imports this module too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from inr.config import RunConfig
from inr.progress import Progress
from inr.signals import StopRequest
from inr.storage.attempts import EndStatus
from inr.storage.paths import RunLayout, SweepLayout
from jobs.worker.attempt import RunAttempt, Share, given_cpus
from jobs.worker.child_process import threads_of_each
from jobs.worker.devices import require_gpu
from jobs.worker.parent_watchdog import follow

_WHOLE = Share()


def run_task(
    root: str,
    name: str,
    config_json: str,
    *,
    watchdog: str | None = None,
    cuda_device: str | None = None,
    wait: float = 0.0,
    stop: StopRequest | None = None,
    share: Share = _WHOLE,
    steps_in_all: int | None = None,
) -> str:
    """Train one run of a sweep, unless it is finished already.

    Args:
        root: directory of the sweep.
        name: the run's directory below ``runs/``.
        config_json: the run's configuration.
        watchdog: end this process when the launcher that made this `ParentWatchdog` ends.
        cuda_device: the device to use, as in ``CUDA_VISIBLE_DEVICES``; None: any that is visible.
        wait: seconds to wait for another process that is writing this run.
        stop: says when to stop; None: when this process gets one of `SIGNALS`.
        share: what the run has of a task that it may share with others.
        steps_in_all: see `inr.training.fit.fit`.

    Returns:
        "complete" or "diverged"; "stopped" when a signal asked for it: the run goes on from its
        checkpoint when it is started again.

    Raises:
        Exception: whatever went wrong, after it was written to error.txt and attempts.jsonl.
    """
    with nullcontext(stop) if stop else StopRequest() as stop:
        tie(watchdog, cuda_device)
        layout = SweepLayout(Path(root))
        config = RunConfig.model_validate_json(config_json)
        run = layout.run(name)
        with RunAttempt(run, name, config, share, wait) as attempt:
            if attempt.finished is not None:
                return attempt.finished
            status = "stopped"
            if not stop():  # asked before anything heavy was loaded
                require_gpu()
                prepare_torch(layout, threads_of_each(share.cpus or given_cpus(), share.members))
                status = train(
                    run,
                    name,
                    config,
                    attempt.tell,
                    attempt=attempt.number,
                    should_stop=stop,
                    steps_in_all=steps_in_all,
                )
            attempt.end(*end_of(status, stop))
            return status


def train(
    run: RunLayout,
    name: str,
    config: RunConfig,
    on_progress: Callable[[Progress], None],
    *,
    attempt: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    steps_in_all: int | None = None,
) -> str:
    """Train one run in this process and record it. Returns how it ended, as `fit`."""
    import inr.storage.run_writer
    import inr.training.fit

    with inr.storage.run_writer.RunWriter(run, config, name, attempt) as recorder:
        return inr.training.fit.fit(
            config,
            recorder,
            on_progress=on_progress,
            should_stop=should_stop,
            steps_in_all=steps_in_all,
        )


def tie(watchdog: str | None, cuda_device: str | None) -> None:
    """Tie this process to its launcher and to its device, where they are given."""
    if watchdog is not None:
        follow(watchdog)
    if cuda_device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = cuda_device  # read when torch is loaded


def prepare_torch(layout: SweepLayout, threads: int) -> None:
    """Use the cores given, not all that the machine has, and the sweep's compiled steps."""
    import torch

    from inr.training.compilation import share_cache

    torch.set_num_threads(threads)
    if note := share_cache(layout.compiled):
        print(note, flush=True)


def end_of(status: str, stop: StopRequest) -> tuple[EndStatus, str]:
    """Status and reason of an attempt that ended as ``status``."""
    reason = f"asked to by {stop.received.name}" if status == "stopped" and stop.received else ""
    return status, reason  # type: ignore[return-value]
