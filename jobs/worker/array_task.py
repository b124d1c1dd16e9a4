"""An array task of Slurm: it trains one run, or a pack.

The command is ``python -P -m jobs.worker.array_task SWEEP TOKEN``.

Which: the submission file ``submissions/<TOKEN>.json``, at position SLURM_ARRAY_TASK_ID. When
Slurm is about to end it, what trains is saved and the task goes on later, see `slurm.requeue`.
"""

import json
import os
import sys
from pathlib import Path
from typing import cast

from inr.errors import UserError, run_main
from inr.files import retried
from inr.signals import StopRequest
from inr.storage.paths import SweepLayout
from jobs.sweeps.grouping import PackMode, tasks_of
from jobs.worker.train import train_runs
from slurm.requeue import go_on, require_progress

# A node that lost touch with Slurm may still run the task that was given to another one.
WAIT_FOR_OTHER_WRITER = 900.0


def main() -> int:
    """Do the work of this task. Returns 0 unless a run failed."""
    root, token = sys.argv[1:]
    # signals from here on, also those before training starts, mean: stop and go on later
    with StopRequest() as stop:
        layout = SweepLayout(Path(root))
        work, mode = _find_work(layout, token)
        runs = [layout.run(name) for name, _ in work]
        require_progress(runs)  # Slurm itself requeues what was killed with its node
        ends = train_runs(root, work, mode, wait=WAIT_FOR_OTHER_WRITER, stop=stop)
        for (name, _), status in zip(work, ends, strict=True):
            print(f"{name}: {status}", flush=True)
        if "stopped" in ends:
            go_on(stop.received, runs)
    return 1 if "failed" in ends else 0


def _find_work(layout: SweepLayout, token: str) -> tuple[list[tuple[str, str]], PackMode]:
    """Runs (name, configuration as JSON), and how to train several."""
    path = layout.submission(token)
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    try:
        document = json.loads(retried(path.read_bytes))
        by_id = {run["run_id"]: run for run in document["runs"]}
        runs = [by_id[run_id] for run_id in tasks_of(document)[index]]
        mode = cast(PackMode, document.get("pack_mode", "auto"))
        return [(run["name"], json.dumps(run["config"])) for run in runs], mode
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: no run for array task {index} ({error})") from error


if __name__ == "__main__":
    sys.exit(run_main(main))
