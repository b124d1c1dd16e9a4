"""Submission of runs to Slurm as job arrays: split, recorded, never twice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from inr.errors import UserError
from inr.storage.paths import SweepLayout
from inr.storage.provenance import snapshot_folder, take_snapshot
from inr.storage.sweep_index import IndexEntry, Submission
from jobs.sweeps.grouping import SINGLE, Packing
from slurm.arrays import (
    DEFAULT_MAX_ARRAY_SIZE,
    ask_max_array_size,
    max_array_size,
    plan_arrays,
)
from slurm.batch_script import JobScript, RefusedError, array_script, post_script
from slurm.commands import SlurmUnavailable
from slurm.job_queue import accounted, find_job
from slurm.journal import Journal, in_queue, steady_queue
from slurm.profile import Profile

_FAILED = ("FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY", "DEADLINE")


def preview(
    layout: SweepLayout,
    runs: Sequence[IndexEntry],
    profile: Profile,
    packing: Packing = SINGLE,
) -> str:
    """What `submit` would do: the number of tasks and arrays, and every distinct sbatch script.

    Needs no cluster. Without one, Slurm's default for the size of an array is assumed. The token
    of a submission is made when it is submitted; here it is called TOKEN.
    """
    asked = ask_max_array_size(profile)
    limit = DEFAULT_MAX_ARRAY_SIZE if asked is None else asked
    source = ", Slurm's default: no cluster answers" if asked is None else ""
    tasks = packing.groups(runs)
    parts = plan_arrays(len(tasks), limit)
    code = snapshot_folder(layout)
    packs = "" if packing.size == 1 else f"# {packing.describe(len(runs), len(tasks))}\n"
    blocks = [
        f"{packs}# tasks: {len(tasks)}, arrays: {len(parts)} "
        f"(an array holds at most {limit}{source})"
    ]
    kinds: dict[tuple[int, bool], list[str]] = {}
    for number, part in enumerate(parts):
        waits = _before(profile, len(parts), number) is not None
        kinds.setdefault((part.stop - part.start, waits), []).append(str(number + 1))
    for (size, waits), arrays in kinds.items():
        script = _array(layout, profile, "TOKEN", code, size, len(parts), "JOB" if waits else "")
        blocks.append(f"# array {', '.join(arrays)}: tasks: {size}\n{script.text}")
    return "\n\n".join(blocks)


def largest_array(layout: SweepLayout, tasks: int, profile: Profile, code: Path) -> JobScript:
    """The first script that `submit` will send for ``tasks``, to be tested."""
    parts = plan_arrays(tasks, max_array_size(profile))
    return _array(layout, profile, "TOKEN", code, parts[-1].stop - parts[-1].start, len(parts))


def submit(
    layout: SweepLayout,
    runs: Sequence[IndexEntry],
    profile: Profile,
    code: Path | None = None,
    packing: Packing = SINGLE,
) -> list[Submission]:
    """Submit ``runs`` as job arrays, each recorded before and after. See also `find_waiting`.

    Args:
        layout: the sweep; its index must be there.
        runs: the runs to train.
        profile: what to ask of the cluster.
        code: the snapshot to run; None: one of the code that runs now.
        packing: how runs are put into tasks.

    Raises:
        UserError: there is no Slurm here, or it refused; names the arrays accepted before.
    """
    tasks = packing.groups(runs)
    parts = plan_arrays(len(tasks), max_array_size(profile))
    if not parts:
        return []
    code = code or take_snapshot(layout)
    _array(layout, profile, "TOKEN", code, 1, 1)  # refuses what cannot be submitted
    journal = Journal(layout)
    batches = [tasks[part] for part in parts]
    announced = journal.record_intent(batches, profile.source, code, mode=packing.mode)
    accepted: list[Submission] = []
    for submission in announced:
        earlier = _before(profile, len(parts), len(accepted))
        after = "" if earlier is None else str(accepted[earlier].job_id)
        script = _array(
            layout, profile, submission.token, code, submission.tasks, len(parts), after
        )
        try:
            accepted.append(_send(journal, submission, script))
        except (RefusedError, KeyboardInterrupt) as error:
            sure = isinstance(error, RefusedError) and error.certain
            journal.forget(announced[len(accepted) + (not sure) :])
            raise UserError(f"{str(error) or 'interrupted'}{_taken(accepted)}") from None
    return accepted


def find_waiting(layout: SweepLayout, pending: Sequence[IndexEntry]) -> set[str]:
    """Ids of the runs that wait in Slurm's queue, or run.

    First settles what an earlier launcher left open: a submission of which it did not live to
    learn the job id is looked up by its token, and forgotten if there is no such job.

    Args:
        layout: the sweep; its index must be there.
        pending: the runs that matter. Slurm is not asked if none of them was ever submitted.

    Raises:
        SlurmUnavailable: some were submitted, and Slurm cannot say what became of them.
    """
    journal = Journal(layout)
    runs = {s.token: journal.tasks(s) for s in journal.submissions}
    wanted = {run.run_id for run in pending}
    known = itertools.chain.from_iterable(itertools.chain.from_iterable(runs.values()))
    if wanted.isdisjoint(known) and all(submission.job_id for submission in journal.submissions):
        return set()
    try:
        _settle(journal)
        tasks = steady_queue(journal.submissions, layout.name)
    except SlurmUnavailable as error:
        raise SlurmUnavailable(
            f"{layout.root}: tasks of it were submitted, and Slurm does not say whether they "
            f"still wait or run ({error}). Launch again when it answers"
        ) from None
    return {
        run_id
        for submission, task in tasks
        if task.index < len(runs[submission.token])
        for run_id in runs[submission.token][task.index]
    }


def submit_postprocessing(
    layout: SweepLayout, profile: Profile, code: Path | None = None
) -> Submission | None:
    """Submit a job that merges and draws after all arrays that no such job is about yet.

    One that failed or was cancelled does not count, where accounting says so. It runs the
    snapshot ``code``; None: one of the code that runs now. Returns None if there are no such
    arrays. Raises `UserError` if Slurm refuses or does not answer.
    """
    journal = Journal(layout)
    jobs = {s.job_id: s for s in journal.submissions if s.job_id}
    ends = accounted([job for job, s in jobs.items() if not s.tasks])
    failed = {task.job_id for task in ends if task.state in _FAILED}
    done = [s for job, s in jobs.items() if job not in failed]
    covered = {job for s in done for job in journal.after(s)}
    about = [job for job, s in jobs.items() if s.tasks and job not in covered]
    if not about:
        return None
    code = code or take_snapshot(layout)
    # an earlier one may still wait: two must not merge at the same time
    waiting = {task.job_id for _, task in in_queue(journal.submissions, layout.name)}
    after = [job for job in jobs if job in waiting]
    (submission,) = journal.record_intent([()], profile.source, code, after=about)
    try:
        return _send(
            journal, submission, post_script(layout, profile, submission.token, code, after)
        )
    except RefusedError as error:
        if error.certain:
            journal.forget([submission])
        raise


def _array(
    layout: SweepLayout,
    profile: Profile,
    token: str,
    code: Path,
    count: int,
    arrays: int,
    after: str = "",
) -> JobScript:
    # Arrays run side by side and share the limit, but none can do with less than one task.
    share = max(1, profile.parallelism // arrays) if profile.parallelism else count
    return array_script(layout, profile, token, code, count, share, after)


def _before(profile: Profile, arrays: int, number: int) -> int | None:
    """The array that must end before array ``number`` starts, so that the limit holds."""
    limit = profile.parallelism or arrays
    return number - limit if arrays > limit <= number else None


def _send(journal: Journal, submission: Submission, script: JobScript) -> Submission:
    """Submit, and write down the job id. An answer that got lost is looked for."""
    try:
        job_id = script.send()
    except RefusedError:
        job_id = ""
        with suppress(SlurmUnavailable):  # a wrapper's words may hide that it was accepted
            job_id = find_job(submission.token) or ""
        if not job_id:
            raise
    return journal.record_job_id(submission, job_id)


def _settle(journal: Journal) -> None:
    """Give every submission its job id, and forget those without a job."""
    lost = []
    for submission in [s for s in journal.submissions if s.job_id is None]:
        job_id = find_job(submission.token)
        if job_id is None:
            lost.append(submission)
        else:
            journal.record_job_id(submission, job_id)
    journal.forget(lost)


def _taken(accepted: Sequence[Submission]) -> str:
    if not accepted:
        return ""
    ids = " ".join(str(submission.job_id) for submission in accepted)
    count = sum(submission.tasks for submission in accepted)
    return (
        f". Already submitted: {count} tasks as {ids}; launching again submits the others, "
        f"`scancel {ids}` takes these back"
    )
