"""The three ways to start a sweep: on this machine, as a Slurm array, or a single run."""

import shutil
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from inr.config import RunConfig
from inr.cpus import core_count
from inr.errors import UserError
from inr.files import exists
from inr.memory import expected_memory
from inr.progress import Progress
from inr.storage.lock import RunLock
from inr.storage.paths import SweepLayout
from inr.storage.sweep_index import IndexEntry
from jobs.launching.plan import Plan
from jobs.launching.terminal import Display, describe_report, make_console, print_combinations, say
from jobs.sweeps.grouping import SINGLE, Packing, count_of
from jobs.worker.devices import cuda_devices, default_workers
from slurm.profile import Profile, load_profile


def start(options: Namespace, plan: Plan) -> int:
    """Start ``plan``, or only show it with ``--dry-run``. Returns the exit code."""
    packing = Packing(options.pack, options.pack_mode)
    say(f"{plan.sweep.name}: {plan.sweep.description}".rstrip(": "))
    say(plan.describe())
    if options.dry_run:
        _preview(options, plan, packing)
    elif options.mode == "debug":
        _debug(plan)
    elif options.mode == "array":
        _array(options, plan, packing)
    else:
        plan.write()
        return train_here(plan.layout, plan.pending, len(plan.runs), options, packing)
    return 0


def _preview(options: Namespace, plan: Plan, packing: Packing) -> None:
    """Show what would start."""
    tasks = packing.groups(plan.pending)
    numbers = {run.run_id: str(number) for number, task in enumerate(tasks) for run in task}
    pending = numbers if packing.size > 1 else dict.fromkeys(numbers, "")
    print_combinations(make_console(), plan.runs, pending)
    if options.mode == "array":
        from slurm.submit import preview

        profile = load_profile(options.profile)
        print(f"\nprofile {options.profile}")
        print(preview(plan.layout, plan.pending, profile, packing))
        gpus, cpus = profile.gpu_count, profile.cpus
    else:
        if packing.size > 1:
            print(f"\n{packing.describe(len(plan.pending), len(tasks))}")
        gpus, cpus = min(1, len(cuda_devices())), core_count()
    if tasks:
        configs = [[RunConfig.model_validate(run.config) for run in task] for task in tasks]
        steps = [config.training.steps for task in configs for config in task]
        span = " to ".join(f"{count:,}" for count in dict.fromkeys((min(steps), max(steps))))
        expected = [expected_memory(configs, packing.mode, gpus, cpus).describe()]
        if options.mode == "local" and not gpus:
            expected.insert(0, _duration(configs, options, packing))
        print("\nexpected:", ", ".join([*expected, f"{span} steps a run"]))


def _duration(configs: list[list[RunConfig]], options: Namespace, packing: Packing) -> str:
    from jobs.launching.duration import describe_duration

    with make_console().status("timing some steps of training"):
        return describe_duration(configs, _workers(options, packing, len(configs)), packing.mode)


def _workers(options: Namespace, packing: Packing, tasks: int) -> int:
    return min(options.workers or default_workers(packing.size), tasks)


def _debug(plan: Plan) -> None:
    """Train the only run of ``plan`` in this process, also if it is complete already.

    A debugger and a traceback reach it: exceptions pass through.
    """
    from inr.storage.run_writer import RunWriter
    from inr.training.fit import Run, fit_together
    from jobs.worker.attempt import clear_last_attempt

    (run,) = plan.runs
    files = plan.layout.run(run.name)
    shown: dict[str, Progress] = {}

    def show(report: Progress) -> None:
        shown[run.name] = report
        display.show(shown)

    with RunLock(files.lock), Display(make_console()) as display:
        plan.write()
        clear_last_attempt(files)
        files.checkpoint.unlink(missing_ok=True)  # from the first step on, whatever was before
        config = RunConfig.model_validate(run.config)
        with RunWriter(files, config, run.name) as recorder:
            (status,) = fit_together([Run(config, recorder, show)])
        if isinstance(status, Exception):
            raise status
    print(f"{run.name}: {status}. {describe_report(shown.get(run.name))}")
    print(f"results in {files.root}")


def train_here(
    layout: SweepLayout,
    pending: Sequence[IndexEntry],
    total: int,
    options: Namespace,
    packing: Packing = SINGLE,
) -> int:
    """Train runs that are not finished on this machine, and say how it went.

    For the process that is `jobs.launching.plan.launching`; the index of the sweep must be there.
    ``total`` counts the finished runs too. Of the options, ``workers``: tasks at a time, None for
    `default_workers`; ``post``: merge and draw at the end, unless all failed. Returns the exit
    code.
    """
    from inr.storage.provenance import take_snapshot
    from jobs.launching.local_pool import LocalPool
    from jobs.launching.postprocessing import describe_results, run_postprocessing

    failures = []
    code = take_snapshot(layout)
    if pending:
        tasks = packing.groups(pending)
        workers = _workers(options, packing, len(tasks))
        alone = packing.size == 1
        what = f"{len(pending)} runs" if alone else packing.describe(len(pending), len(tasks))
        at_once = count_of(workers, "run" if alone else "task")
        say(f"training {what} here, {at_once} at a time (Ctrl-C: save and go on later)")
        say("errors are MSE / variance: 0 is perfect, 1 is what predicting the mean gives")
        with Display(make_console()) as display:
            failures = LocalPool(layout, workers, code, packing.mode).train(tasks, display)
    exit_code = run_postprocessing(layout, code) if options.post and len(failures) < total else 0
    say(describe_results(layout))
    if failures:
        say("\n".join(["failed runs:", *(f"  {run.name}: {reason}" for run, reason in failures)]))
    return 1 if failures else exit_code


def _array(options: Namespace, plan: Plan, packing: Packing) -> None:
    profile = load_profile(options.profile)
    layout = plan.layout
    is_new = not (exists(layout.index) or exists(layout.specification))
    plan.write()
    try:
        checks, post = options.preflight, options.post
        submit_array(layout, plan.pending, profile, preflight=checks, post=post, packing=packing)
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
    """Submit runs that neither are finished nor wait in Slurm's queue, nor run; and say so.

    As for `train_here`. With ``preflight``, what the tasks need is checked first; ``post``: a job
    merges and draws when all have ended. Raises `UserError` if Slurm does not answer or refuses,
    or the preflight found a fault.
    """
    from inr.storage.provenance import take_snapshot
    from jobs.launching.preflight import check
    from slurm.batch_script import BatchScripts
    from slurm.submit import find_waiting, plan_arrays, submit

    waiting = find_waiting(layout, pending)
    runs = [run for run in pending if run.run_id not in waiting]
    if waiting:
        print(f"already queued or running: {count_of(len(pending) - len(runs), 'run')}")
    code = None
    if runs:
        code = take_snapshot(layout)
        arrays = plan_arrays(BatchScripts(layout, profile, code), runs, packing)
        tasks = packing.describe(len(runs), len(arrays.tasks))
        print(f"submitting {tasks} in {count_of(len(arrays.batches), 'array')}")
        if preflight:
            print(*check(arrays, post), sep="\n")
        for submission in submit(arrays):
            print(f"job {submission.job_id}: {count_of(submission.tasks, 'task')}")
    if post:
        _submit_post(layout, profile, code)
    if runs or waiting:
        print(f"Watch them with python jobs/manage.py status {layout.root}")


def _submit_post(layout: SweepLayout, profile: Profile, code: Path | None) -> None:
    """Submit post-processing, if there is any to do. Training goes on without it."""
    from slurm.submit import submit_postprocessing

    try:
        if submission := submit_postprocessing(layout, profile, code):
            print(f"job {submission.job_id}: merges and draws when they have ended")
    except UserError as error:
        print(f"note: no job for post-processing was submitted ({error})")
