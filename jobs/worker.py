"""An array task of Slurm: ``python -P -m jobs.worker SWEEP TOKEN`` trains one run.

Which one: the submission file ``submissions/<TOKEN>.json``, at position SLURM_ARRAY_TASK_ID.
When Slurm warns of preemption or of the time limit (USR2), the run is saved and the task puts
itself back into the queue; there it goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from inr.errors import UserError, run_main
from inr.layout import SweepLayout
from inr.provenance import slurm_job_id
from jobs.stopping import StopRequest
from jobs.task import run_task

# A node that lost touch with Slurm may still run the task that was given to another one.
WAIT_FOR_OTHER_WRITER = 900.0


def main() -> int:
    """Train the run of this task. Returns 0 when it is finished or back in the queue."""
    root, token = sys.argv[1:]
    # signals from here on, also those before training starts, mean: stop and go on later
    with StopRequest() as stop:
        run = _find_run(SweepLayout(Path(root)), token)
        config = json.dumps(run["config"])
        status = run_task(root, run["name"], config, stop=stop, wait=WAIT_FOR_OTHER_WRITER)
        print(f"{run['name']}: {status}", flush=True)
        if status == "stopped" and stop.received == signal.SIGUSR2:
            _requeue()
    return 0


def _find_run(layout: SweepLayout, token: str) -> dict[str, Any]:
    path = layout.submission(token)
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    try:
        run = json.loads(path.read_text(encoding="utf-8"))["runs"][index]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"{path}: no run for array task {index} ({error})") from error
    return dict(run)


def _requeue() -> None:
    """Back into the queue, with the same job id.

    Raises `UserError` if Slurm refuses; what was saved is there for the next launch.
    """
    job = slurm_job_id()
    answer = subprocess.run(  # noqa: S603
        ["scontrol", "requeue", job],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    # one that was preempted meanwhile is already on its way back
    if answer.returncode and "pending" not in answer.stderr.lower():
        raise UserError(
            f"Slurm did not requeue job {job} ({' '.join(answer.stderr.split())}). "
            "The run is saved: launch the sweep again to go on"
        )
    print(f"requeued job {job}", flush=True)


if __name__ == "__main__":
    sys.exit(run_main(main))
