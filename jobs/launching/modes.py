"""The three ways to start a sweep: on this machine, as a Slurm array, or a single run."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from inr.errors import UserError
from inr.files import exists
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry
from jobs.launching.plan import Plan, describe
from jobs.launching.run_table import combinations_table, make_console, say
from jobs.sweeps.grouping import SINGLE, Packing, count_of, task_numbers
from slurm.profile import Profile


def start(options: Namespace, plan: Plan) -> int:
    """Start ``plan``, or only show it with ``--dry-run``. Returns the exit code."""
    if options.mode == "debug":
        plan = plan.only(options.run)
    pending = plan.pending()
    packing = Packing(options.pack, options.pack_mode)
    say(f"{plan.sweep.name}: {plan.sweep.description}".rstrip(": "))
    say(describe(plan, len(pending)))
    if options.dry_run:
        _preview(options, plan, pending, packing)
        return 0
    if options.mode == "debug":
        from jobs.launching.debug import run_debug

        return run_debug(plan)
    if options.mode == "array":
        _array(options, plan, pending, packing)
        return 0
    plan.write()
    return train_here(
        plan.layout,
        pending,
        workers=options.workers,
        post=options.post,
        total=len(plan.runs),
        packing=packing,
    )


def _preview(options: Namespace, plan: Plan, pending: list[IndexEntry], packing: Packing) -> None:
    """Show what would start."""
    tasks = packing.groups(pending)
    numbers = task_numbers(tasks) if packing.size > 1 else None
    make_console().print(combinations_table(plan.runs, pending, numbers))
    if options.mode == "array":
        from slurm.profile import load_profile
        from slurm.submit import preview

        profile = load_profile(options.profile)
        print(f"\nprofile {options.profile}")
        print(preview(plan.layout, pending, profile, packing))
    elif packing.size > 1:
        print(f"\n{packing.describe(len(pending), len(tasks))}")


def train_here(
    layout: SweepLayout,
    pending: Sequence[IndexEntry],
    *,
    total: int,
    workers: int | None,
    post: bool,
    packing: Packing = SINGLE,
) -> int:
    """Train the runs of ``pending`` on this machine, and say how it went. Returns the exit code.

    For the process that is `jobs.launching.plan.launching`; the index of the sweep must be there.

    Args:
        layout: the sweep.
        pending: runs that are not finished.
        total: how many runs there are, finished ones included.
        workers: how many tasks at a time; None: `jobs.worker.devices.default_workers`.
        post: merge and draw at the end, unless all runs failed.
        packing: how runs are put into tasks.
    """
    from inr.storage.provenance import take_snapshot
    from jobs.launching.local_pool import LocalPool
    from jobs.launching.postprocessing import describe_results, run_postprocessing
    from jobs.launching.progress_bars import Display
    from jobs.worker.devices import default_workers

    failures = []
    code = take_snapshot(layout)
    if pending:
        tasks = packing.groups(pending)
        workers = min(workers or default_workers(packing.size), len(tasks))
        what = (
            f"{len(pending)} runs"
            if packing.size == 1
            else packing.describe(len(pending), len(tasks))
        )
        tasks_at_once = count_of(workers, "run" if packing.size == 1 else "task")
        say(f"training {what} here, {tasks_at_once} at a time (Ctrl-C: save and go on later)")
        say("errors are MSE / variance: 0 is perfect, 1 is what predicting the mean gives")
        with Display(make_console()) as display:
            pool = LocalPool(layout, workers, code, packing.mode)
            try:
                failures = pool.train(tasks, display)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(_describe_interruption(pool.unsaved())) from None
    exit_code = 0
    if post and len(failures) < total:
        exit_code = run_postprocessing(layout, code)
    say(describe_results(layout))
    if failures:
        reasons = [f"  {run.name}: {reason}" for run, reason in failures]
        say("\n".join(["failed runs:", *reasons]))
    return 1 if failures else exit_code


def _describe_interruption(unsaved: Sequence[str]) -> str:
    if not unsaved:
        return "what was trained is saved, the same command goes on"
    return (
        f"{', '.join(unsaved)} did not save in time, and will go on from an earlier checkpoint, "
        "or from the start. The same command goes on"
    )


def _array(options: Namespace, plan: Plan, pending: list[IndexEntry], packing: Packing) -> None:
    from slurm.profile import load_profile

    profile = load_profile(options.profile)
    layout = plan.layout
    is_new = not (exists(layout.index) or exists(layout.specification))
    plan.write()
    try:
        submit_array(
            layout,
            pending,
            profile,
            preflight=options.preflight,
            post=options.post,
            packing=packing,
        )
    except (UserError, KeyboardInterrupt):
        # keep nothing of a sweep of which no task can have been accepted
        if is_new and not any(layout.submissions.glob("*.json")):
            for folder in (layout.code, layout.submitit, layout.submissions):
                shutil.rmtree(folder, ignore_errors=True)
            for file in (layout.index, layout.specification):
                file.unlink(missing_ok=True)
        raise


def submit_array(
    layout: SweepLayout,
    pending: Sequence[IndexEntry],
    profile: Profile,
    *,
    preflight: bool,
    post: bool,
    packing: Packing = SINGLE,
) -> None:
    """Submit the runs of ``pending`` that neither wait in Slurm's queue nor run, and say so.

    For the process that is `jobs.launching.plan.launching`; the index of the sweep must be there.

    Args:
        layout: the sweep.
        pending: runs that are not finished.
        profile: the cluster profile.
        preflight: check first what the tasks need.
        post: let a job merge and draw when all have ended.
        packing: how runs are put into tasks.

    Raises:
        UserError: Slurm does not answer or refuses, or the preflight found a fault.
    """
    from inr.storage.provenance import take_snapshot
    from jobs.launching.preflight import check
    from slurm.arrays import max_array_size, plan_arrays
    from slurm.submit import find_waiting, submit

    waiting = find_waiting(layout, pending)
    runs = [run for run in pending if run.run_id not in waiting]
    if waiting:
        print(f"already queued or running: {count_of(len(pending) - len(runs), 'run')}")
    code = None
    if runs:
        code = take_snapshot(layout)
        tasks = len(packing.groups(runs))
        arrays = len(plan_arrays(tasks, max_array_size(profile)))
        print(f"submitting {packing.describe(len(runs), tasks)} in {count_of(arrays, 'array')}")
        if preflight:
            print(*check(layout, runs, profile, code, post, packing), sep="\n")
        for submission in submit(layout, runs, profile, code, packing):
            print(f"job {submission.job_id}: {count_of(submission.tasks, 'task')}")
    if post:
        _submit_post(layout, profile, code)
    if runs or waiting:
        print(f"Watch them with python jobs/manage.py status {layout.root}")


def _submit_post(layout: SweepLayout, profile: Profile, code: Path | None) -> None:
    """Submit post-processing, if there is any to do. Training goes on without it."""
    from slurm.submit import submit_postprocessing

    try:
        submission = submit_postprocessing(layout, profile, code)
    except UserError as error:
        print(f"note: no job for post-processing was submitted ({error})")
        return
    if submission:
        print(f"job {submission.job_id}: merges and draws when they have ended")
