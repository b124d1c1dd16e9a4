"""What a task of an array, or of the local executor, does: train one run.

Nothing heavy is imported before it is needed: the launcher imports this module too.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from inr.attempts import AttemptLog, EndStatus
from inr.config import RunConfig
from inr.layout import RunLayout, SweepLayout
from inr.lock import RunLock
from inr.provenance import slurm_job_id
from jobs.lifeline import follow
from jobs.outcome import outcome
from jobs.progress_file import write_progress
from jobs.stopping import StopRequest

if TYPE_CHECKING:
    from inr.train import Progress

# Bytes set aside while a run trains, and given back to say why it ended on a full disk.
_RESERVE_BYTES = 32_768


def run_task(
    root: str,
    name: str,
    config_json: str,
    *,
    lifeline: str | None = None,
    cuda_device: str | None = None,
    wait: float = 0.0,
    stop: StopRequest | None = None,
) -> str:
    """Train one run of a sweep, unless it is finished already.

    Args:
        root: directory of the sweep.
        name: the run's directory below ``runs/``.
        config_json: the run's configuration.
        lifeline: end this process when the launcher that made this `Lifeline` ends.
        cuda_device: the device to use, as in ``CUDA_VISIBLE_DEVICES``; None: any that is visible.
        wait: seconds to wait for another process that is writing this run.
        stop: says when to stop; None: when this process gets one of `SIGNALS`.

    Returns:
        "complete" or "diverged"; "stopped" when a signal asked for it: the run goes on from its
        checkpoint when it is started again.

    Raises:
        Exception: whatever went wrong, after it was written to error.txt and attempts.jsonl.
    """
    with nullcontext(stop) if stop else StopRequest() as stop:
        if lifeline is not None:
            follow(lifeline)
        if cuda_device is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = cuda_device  # read when torch is loaded
        run = SweepLayout(Path(root)).run(name)
        config = RunConfig.model_validate_json(config_json)
        # `manage.py logs` knows a run's log by this line
        print(f"{name} ({config.run_id}), Slurm job {slurm_job_id() or 'none'}", flush=True)
        with RunLock(run.lock, slurm_job_id(), wait) as lock:
            finished = outcome(run, config.run_id)
            if finished is not None:
                return finished
            forget_last_attempt(run)
            log = AttemptLog(run.attempts, slurm_job_id(), _cpus(), _gpus(), lock.last_life)
            return _attempt(run, name, config, log, stop)


def _attempt(
    run: RunLayout, name: str, config: RunConfig, log: AttemptLog, stop: StopRequest
) -> str:
    """One attempt, with its story in attempts.jsonl."""
    steps: list[int] = []

    def tell(report: Progress) -> None:
        steps.append(report.step)
        write_progress(run.progress, report)

    reserve = run.root / ".reserve"
    try:
        reserve.write_bytes(bytes(_RESERVE_BYTES))
        log.start()
        status = "stopped"
        if not stop():  # asked before anything heavy was loaded
            _limit_threads()
            status = train(run, name, config, tell, attempt=log.number, should_stop=stop)
    except BaseException as error:
        reserve.unlink(missing_ok=True)
        with suppress(OSError):  # a full disk may hide the story, not the error itself
            run.error.write_text(traceback.format_exc(), encoding="utf-8")
            log.end(_kind(error), _one_line(error), steps)
        raise
    reserve.unlink(missing_ok=True)
    reason = f"asked to by {stop.received.name}" if status == "stopped" and stop.received else ""
    log.end(status, reason, steps)  # type: ignore[arg-type]
    return status


def train(
    run: RunLayout,
    name: str,
    config: RunConfig,
    on_progress: Callable[[Progress], None],
    *,
    attempt: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """Train one run in this process and record it. Returns how it ended, as `inr.train.fit`."""
    import inr.recorder
    import inr.train

    with inr.recorder.Recorder(run, config, name, attempt) as recorder:
        return inr.train.fit(config, recorder, on_progress=on_progress, should_stop=should_stop)


def forget_last_attempt(run: RunLayout) -> None:
    """Remove what an earlier attempt said about itself, so that it cannot pass for this one."""
    run.progress.unlink(missing_ok=True)
    run.error.unlink(missing_ok=True)


def _kind(error: BaseException) -> EndStatus:
    """What sort of failure an exception is."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    for each in chain:
        if isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT):
            return "disk_full"
        # torch.OutOfMemoryError on a GPU; on the CPU torch raises a RuntimeError of these words
        words = str(each).lower()
        if isinstance(each, MemoryError) or "out of memory" in words or "can't allocate" in words:
            return "out_of_memory"
    return "stopped" if isinstance(error, KeyboardInterrupt) else "failed"


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")[:500]


def _cpus() -> int:
    given = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("OMP_NUM_THREADS") or ""
    return int(given) if given.isdigit() and int(given) > 0 else len(os.sched_getaffinity(0))


def _gpus() -> int:
    given = os.environ.get("SLURM_GPUS_ON_NODE", "")
    if given.isdigit():
        return int(given)
    return len(
        [device for device in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if device]
    )


def _limit_threads() -> None:
    """Use the cores given to this task, not all that the machine has."""
    import torch

    torch.set_num_threads(_cpus())
