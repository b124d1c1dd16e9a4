"""The three ways to start a sweep: on this machine, as a Slurm array, or a single run."""

from __future__ import annotations

import shutil

from inr.errors import UserError
from inr.index import IndexEntry
from jobs.options import Options
from jobs.plan import Plan, describe
from jobs.table import combinations_table, make_console


def start(options: Options, plan: Plan) -> int:
    """Start ``plan``, or only show it with ``--dry-run``. Returns the exit code."""
    if options.mode == "debug":
        plan = plan.only(options.run)
    pending = plan.pending()
    print(f"{plan.sweep.name}: {plan.sweep.description}".rstrip(": "))
    print(describe(plan, len(pending)))
    if options.dry_run:
        console = make_console()
        console.print(combinations_table(plan.runs, pending))
        if options.mode == "array":
            _preview(options, plan, pending)
        return 0
    if options.mode == "debug":
        from jobs.debug import run_debug

        return run_debug(plan)
    run = _array if options.mode == "array" else _local
    return run(options, plan, pending)


def _local(options: Options, plan: Plan, pending: list[IndexEntry]) -> int:
    from jobs.afterwards import describe_results, run_postprocessing
    from jobs.devices import core_count
    from jobs.display import Display, list_failures
    from jobs.local import LocalPool

    plan.write()
    failures = []
    if pending:
        workers = min(options.workers or core_count(), len(pending))
        print(f"training {len(pending)} runs here, {workers} at once")
        with Display(make_console()) as display:
            failures = LocalPool(plan.layout, workers).train(pending, display)
    code = 0
    if options.post and len(failures) < len(plan.runs):
        code = run_postprocessing(plan.layout)
    print(describe_results(plan.layout))
    if failures:
        print(list_failures(failures))
    return 1 if failures else code


def _preview(options: Options, plan: Plan, pending: list[IndexEntry]) -> None:
    from jobs.cluster import preview
    from jobs.profiles import load_profile

    profile = load_profile(options.profile)
    print(f"\nprofile {options.profile}")
    print(preview(plan.layout, pending, profile))


def _array(options: Options, plan: Plan, pending: list[IndexEntry]) -> int:
    from jobs.cluster import submit
    from jobs.profiles import load_profile

    profile = load_profile(options.profile)
    if not pending:
        return 0
    root = plan.layout.root
    new = [folder for folder in (root, *root.parents) if not folder.exists()]
    plan.write()
    print(f"submitting {len(pending)} tasks with profile {options.profile}")
    try:
        submissions = submit(plan.layout, pending, profile)
    except UserError:
        # keep nothing of a sweep of which no task was accepted
        if new and not any(plan.layout.submitit.glob("*_submitted.pkl")):
            shutil.rmtree(new[-1])
        raise
    for submission in submissions:
        print(f"job {submission.job_id}: {len(submission.tasks)} tasks")
    print(f"Watch them with squeue --me; logs are in {plan.layout.submitit}")
    print(f"When they are done: python postprocess/merge.py {root}, then figures.py and videos.py")
    print("Launching again trains only what is not complete: wait until these tasks have ended")
    return 0
