"""What a task of an array, or of the local executor, does: train one run.

Nothing heavy is imported before it is needed: the launcher imports this module too.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from inr.config import RunConfig
from inr.layout import RunLayout, SweepLayout
from jobs.lifeline import follow
from jobs.progress_file import write_progress

if TYPE_CHECKING:
    from inr.train import Progress


def run_task(
    root: str,
    name: str,
    config_json: str,
    *,
    lifeline: str | None = None,
    cuda_device: str | None = None,
) -> str:
    """Train one run of a sweep, unless it is finished already.

    Args:
        root: directory of the sweep.
        name: the run's directory below ``runs/``.
        config_json: the run's configuration.
        lifeline: end when this is cut, see `jobs.lifeline`.
        cuda_device: the device to use, as in ``CUDA_VISIBLE_DEVICES``; None: any that is visible.

    Returns:
        "complete" or "diverged".

    Raises:
        Exception: whatever went wrong, after its traceback was written to the run's error.txt.
    """
    if lifeline is not None:
        follow(lifeline)
    if cuda_device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = cuda_device  # read when torch is loaded
    run = SweepLayout(Path(root)).run(name)
    try:
        run.root.mkdir(parents=True, exist_ok=True)
        forget_last_attempt(run)
        config = RunConfig.model_validate_json(config_json)
        from jobs.outcome import outcome

        finished = outcome(run, config.run_id)
        if finished is not None:
            return finished
        _limit_threads()
        return train(run, name, config, lambda report: write_progress(run.progress, report))
    except Exception:
        run.error.write_text(traceback.format_exc(), encoding="utf-8")
        raise


def train(
    run: RunLayout, name: str, config: RunConfig, on_progress: Callable[[Progress], None]
) -> str:
    """Train one run in this process and record it. Returns "complete" or "diverged"."""
    import inr.recorder
    import inr.train

    with inr.recorder.Recorder(run, config, name) as recorder:
        return inr.train.fit(config, recorder, on_progress=on_progress)


def forget_last_attempt(run: RunLayout) -> None:
    """Remove what an earlier attempt said about itself, so that it cannot pass for this one."""
    run.progress.unlink(missing_ok=True)
    run.error.unlink(missing_ok=True)


def _limit_threads() -> None:
    """Use the cores given to this task, not all that the machine has."""
    given = os.environ.get("OMP_NUM_THREADS") or os.environ.get("SLURM_CPUS_PER_TASK")
    if given and given.isdigit() and int(given) > 0:
        import torch

        torch.set_num_threads(int(given))
