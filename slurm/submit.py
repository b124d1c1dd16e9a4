"""Submission of runs to Slurm as job arrays: split, recorded, never twice."""

import itertools
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from inr.errors import UserError
from inr.storage.paths import SweepLayout
from inr.storage.provenance import snapshot_folder, take_snapshot
from inr.storage.sweep_index import IndexEntry, Submission
from jobs.sweeps.grouping import SINGLE, Group, Packing, PackMode
from slurm.batch_script import BatchScripts
from slurm.commands import SlurmUnavailable, ask_slurm
from slurm.job_queue import JobMap, accounted, find_job
from slurm.journal import Journal
from slurm.profile import Profile
from slurm.sbatch import RefusedError, send, send_test

Task = TypeVar("Task")

ENDING_SECONDS = 60.0  # for tasks that were cancelled to leave the queue, or to be queued again
_DEFAULT_LIMIT = 1001  # Slurm's own default of MaxArraySize
_FAILED = ("FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY", "DEADLINE")


@dataclass(frozen=True)
class JobArrays:
    """The tasks of a launch, split into job arrays."""

    scripts: BatchScripts
    batches: list[Sequence[Group]]  # the tasks of each array
    mode: PackMode = "auto"  # how a task trains several runs

    @property
    def tasks(self) -> list[Group]:
        """The tasks of all arrays."""
        return list(itertools.chain.from_iterable(self.batches))

    def script(self, number: int, token: str, after: str = "") -> str:
        """The script of array ``number``; it starts when job ``after`` has ended, if given."""
        count = len(self.batches[number])
        # arrays run side by side and share the limit, but none can do with less than one task
        limit = self.scripts.profile.parallelism
        share = max(1, limit // len(self.batches)) if limit else count
        return self.scripts.array(token, count, share, after)

    def before(self, number: int) -> int | None:
        """The array that must end before array ``number`` starts, so that the limit holds."""
        arrays = len(self.batches)
        limit = self.scripts.profile.parallelism or arrays
        return number - limit if arrays > limit <= number else None

    def test(self, post: bool) -> list[str]:
        """What keeps the jobs from starting just now, with ``post`` also post-processing.

        Raises `UserError` for one that Slurm refuses.
        """
        scripts = [self.script(-1, "TOKEN")]  # none has more tasks
        if post:
            scripts.append(self.scripts.post("TOKEN", after=[]))
        return [text for each in scripts if (text := send_test(each, self.scripts.profile))]


def plan_arrays(
    scripts: BatchScripts, runs: Sequence[IndexEntry], packing: Packing = SINGLE
) -> JobArrays:
    """Put runs into tasks, and these into as few arrays as the cluster allows, which is asked here.

    Raises `UserError` where there is no cluster, or no answer.
    """
    missing = [program for program in ("sbatch", "srun") if shutil.which(program) is None]
    if missing:
        raise UserError(
            f"no {' and no '.join(missing)} here, so nothing can be submitted. Go to a machine of "
            "the cluster (perhaps `module load slurm` first), or run here with --local"
        )
    limit = _max_array_size(scripts.profile)
    if limit is None:
        raise UserError(
            "Slurm does not answer `scontrol show config`. Try again when the cluster is back, "
            "or run here with --local"
        )
    return JobArrays(scripts, split(packing.groups(runs), limit), packing.mode)


def preview(
    layout: SweepLayout, runs: Sequence[IndexEntry], profile: Profile, packing: Packing = SINGLE
) -> str:
    """What `submit` would do: the number of tasks and arrays, and every distinct sbatch script.

    Without a cluster, Slurm's default for the size of an array is assumed. The token of a
    submission is made when it is submitted; here it is called TOKEN.
    """
    limit, source = _max_array_size(profile), ""
    if limit is None:
        limit, source = _DEFAULT_LIMIT, ", Slurm's default: no cluster answers"
    tasks = packing.groups(runs)
    arrays = JobArrays(BatchScripts(layout, profile, snapshot_folder(layout)), split(tasks, limit))
    packs = "" if packing.size == 1 else f"# {packing.describe(len(runs), len(tasks))}\n"
    counts = f"# tasks: {len(tasks)}, arrays: {len(arrays.batches)}"
    blocks = [f"{packs}{counts} (an array holds at most {limit}{source})"]
    kinds: dict[str, list[int]] = {}
    for number in range(len(arrays.batches)):
        after = "" if arrays.before(number) is None else "JOB"
        kinds.setdefault(arrays.script(number, "TOKEN", after), []).append(number)
    for script, numbers in kinds.items():
        names = ", ".join(str(number + 1) for number in numbers)
        blocks.append(f"# array {names}: tasks: {len(arrays.batches[numbers[0]])}\n{script}")
    return "\n\n".join(blocks)


def split(tasks: Sequence[Task], limit: int) -> list[Sequence[Task]]:
    """Split tasks into as few arrays as allowed, of sizes that differ by at most one.

    An array has at most ``limit`` tasks; of clusters that forbid arrays it is 0 or 1.
    """
    arrays = -(-len(tasks) // max(1, limit))
    edges = [number * len(tasks) // max(1, arrays) for number in range(arrays + 1)]
    return [tasks[start:stop] for start, stop in itertools.pairwise(edges)]


def _max_array_size(profile: Profile) -> int | None:
    """The profile's limit, otherwise the cluster's; None when there is no cluster to ask."""
    if profile.max_array_size is not None:
        return profile.max_array_size
    try:
        answer = ask_slurm("scontrol", "show", "config")
    except SlurmUnavailable:
        return None
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer, re.MULTILINE)
    return int(found[1]) if found else None


def submit(arrays: JobArrays) -> list[Submission]:
    """Submit arrays, each recorded before and after. See also `find_waiting`.

    The index of the sweep must be there. Raises `UserError` if Slurm refused; it names the arrays
    accepted before.
    """
    profile, code = arrays.scripts.profile, arrays.scripts.code
    journal = Journal(arrays.scripts.layout)
    announced = journal.record_intent(arrays.batches, profile.source, code, mode=arrays.mode)
    accepted: list[Submission] = []
    for number, submission in enumerate(announced):
        earlier = arrays.before(number)
        after = "" if earlier is None else str(accepted[earlier].job_id)
        script = arrays.script(number, submission.token, after)
        try:
            accepted.append(_send(journal, submission, script, profile))
        except (RefusedError, KeyboardInterrupt) as error:
            sure = isinstance(error, RefusedError) and error.certain
            journal.withdraw(announced[number + (not sure) :])
            message = str(error) or "interrupted"
            if accepted:
                ids = " ".join(str(each.job_id) for each in accepted)
                message += (
                    f". Already submitted: {sum(each.tasks for each in accepted)} tasks as {ids}; "
                    f"launching again submits the others, `scancel {ids}` takes these back"
                )
            raise UserError(message) from None
    return accepted


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
    covered = {job for each, s in jobs.items() if each not in failed for job in journal.after(s)}
    about = [job for job, s in jobs.items() if s.tasks and job not in covered]
    if not about:
        return None
    code = code or take_snapshot(layout)
    # an earlier one may still wait: two must not merge at the same time
    waiting = {task.job_id for task in JobMap(journal).ask_queue()}
    after = [job for job in jobs if job in waiting]
    (submission,) = journal.record_intent([()], profile.source, code, after=about)
    script = BatchScripts(layout, profile, code).post(submission.token, after)
    try:
        return _send(journal, submission, script, profile)
    except RefusedError as error:
        if error.certain:
            journal.withdraw([submission])
        raise


def find_waiting(layout: SweepLayout, pending: Sequence[IndexEntry]) -> set[str]:
    """Ids of those runs of ``pending`` that wait in Slurm's queue, or run.

    The index of the sweep must be there. Slurm is not asked if none of the runs was submitted.
    Raises `SlurmUnavailable` if some were, and Slurm cannot say what became of them.
    """
    journal = Journal(layout)
    try:
        # of which an earlier launcher did not live to learn the job id
        for submission in [s for s in journal.submissions if s.job_id is None]:
            if job_id := find_job(submission.token):
                journal.record_job_id(submission, job_id)
            else:
                journal.withdraw([submission])
        jobs = JobMap(journal)
        if any(jobs.places(run.run_id) for run in pending):
            _ask_steady_queue(jobs)
    except SlurmUnavailable as error:
        raise SlurmUnavailable(
            f"{layout.root}: tasks of it were submitted, and Slurm does not say whether they "
            f"still wait or run ({error}). Launch again when it answers"
        ) from None
    return {run.run_id for run in pending if jobs.newest(run.run_id)[1]}


def _ask_steady_queue(jobs: JobMap) -> None:
    """Ask for the queue, until no task is about to leave it or to come back."""
    deadline = time.monotonic() + ENDING_SECONDS
    told = False
    while ending := [task for task in jobs.ask_queue() if task.state == "COMPLETING"]:
        if time.monotonic() > deadline:
            return
        if not told:
            print(f"waiting for {len(ending)} tasks that are about to end", flush=True)
            told = True
        time.sleep(1)


def _send(journal: Journal, submission: Submission, script: str, profile: Profile) -> Submission:
    """Submit, and write down the job id. An answer that got lost is looked for."""
    job_id = None
    try:
        job_id = send(script, journal.script(submission), profile)
    except RefusedError:
        with suppress(SlurmUnavailable):  # a wrapper's words may hide that it was accepted
            job_id = find_job(submission.token)
        if job_id is None:
            raise
    return journal.record_job_id(submission, job_id)
