"""Train one run in this process, where a debugger and a traceback reach it."""

from __future__ import annotations

from inr.config import RunConfig
from inr.progress import Progress
from inr.storage.lock import RunLock
from jobs.launching.plan import Plan
from jobs.launching.progress_bars import Display, describe_report
from jobs.launching.run_table import make_console
from jobs.worker.attempt import forget_last_attempt
from jobs.worker.train_run import train


def run_debug(plan: Plan) -> int:
    """Train the only run of ``plan`` with a progress bar, also if it is complete already.

    Exceptions pass through.
    """
    (run,) = plan.runs
    files = plan.layout.run(run.name)
    last: Progress | None = None

    def show(report: Progress) -> None:
        nonlocal last
        last = report
        display.show({run.name: report})

    with RunLock(files.lock), Display(make_console()) as display:
        plan.write()
        forget_last_attempt(files)
        files.checkpoint.unlink(missing_ok=True)  # from the first step on, whatever was before
        status = train(files, run.name, RunConfig.model_validate(run.config), show)
    print(f"{run.name}: {status}. {describe_report(last)}")
    print(f"results in {files.root}")
    return 0
