"""Submission of runs to Slurm: one array task a run, by way of submitit."""

from __future__ import annotations

import io
import itertools
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from inr.config import RunConfig
from inr.errors import UsageError, UserError
from inr.index import IndexEntry
from inr.layout import SweepLayout
from jobs.profiles import Profile
from jobs.task import run_task

DEFAULT_MAX_ARRAY_SIZE = 1001  # Slurm's own default
SIGNAL_SECONDS = 90  # USR2 comes this long before the time limit

# Word in a refusal by sbatch -> fields of the profile it is about. The first match counts.
_REFUSALS = {
    "account": ("account", "partition", "qos"),
    "partition": ("partition",),
    "qos": ("qos",),
    "feature": ("constraint",),
    "node name": ("nodelist", "exclude"),
    "mem": ("memory",),
    "processors": ("cpus",),
    "gres": ("gpus",),
    "node configuration": ("gpus", "cpus", "memory", "partition"),
    "time limit": ("time",),
    "array": ("max_array_size",),
    "option": ("extra",),
}


@dataclass(frozen=True)
class Submission:
    """One job that Slurm accepted: an array, or a plain job for a single run."""

    job_id: str  # of the whole array
    tasks: range  # positions in the submitted sequence; array task i runs tasks[i]


def plan_arrays(count: int, max_array_size: int) -> list[slice]:
    """Split ``count`` tasks into as few arrays as allowed, of sizes that differ by at most one.

    Slurm numbers the tasks of an array from 0 to at most ``max_array_size - 1``. Clusters that
    forbid arrays say 0 or 1: then every task is a job of its own.
    """
    arrays = -(-count // max(1, max_array_size))
    edges = [number * count // arrays for number in range(arrays + 1)] if arrays else []
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def preview(layout: SweepLayout, tasks: Sequence[IndexEntry], profile: Profile) -> str:
    """What `submit` would do: the number of tasks and arrays, and every distinct sbatch script.

    Needs no cluster. Without one, Slurm's default for the size of an array is assumed.
    """
    asked = _ask_max_array_size(profile)
    limit = DEFAULT_MAX_ARRAY_SIZE if asked is None else asked
    source = ", Slurm's default: no cluster answers" if asked is None else ""
    parts = plan_arrays(len(tasks), limit)
    executor = _executor(layout, profile, arrays=len(parts))
    blocks = [
        f"# tasks: {len(tasks)}, arrays: {len(parts)} (an array holds at most {limit}{source})"
    ]
    numbers = itertools.count(1)
    for size, same in itertools.groupby(part.stop - part.start for part in parts):
        arrays = ", ".join(str(next(numbers)) for _ in same)
        blocks.append(f"# array {arrays}: tasks: {size}\n{executor.script(size)}")
    return "\n\n".join(blocks)


def submit(layout: SweepLayout, tasks: Sequence[IndexEntry], profile: Profile) -> list[Submission]:
    """Submit ``tasks`` as job arrays. Each task gets its configuration as JSON and nothing else.

    Raises:
        UserError: there is no Slurm here, or it refused; names the arrays accepted before.
        UsageError: the path of the sweep cannot be written in an sbatch script.
    """
    _require_slurm()
    limit = _ask_max_array_size(profile)
    if limit is None:
        raise UserError(
            "Slurm does not answer `scontrol show config`. Try again when the cluster is back, "
            "or run here with --local"
        )
    parts = plan_arrays(len(tasks), limit)
    executor = _executor(layout, profile, arrays=len(parts))
    root = str(layout.root.resolve())
    accepted: list[Submission] = []
    for part in parts:
        batch = tasks[part]
        names = [entry.name for entry in batch]
        configs = [RunConfig(**entry.config).canonical_json() for entry in batch]
        with _refusals_explained(layout, profile, accepted):
            jobs = executor.map_array(run_task, [root] * len(batch), names, configs)
        job_id = jobs[0].job_id.partition("_")[0]
        accepted.append(Submission(job_id, range(part.start, part.stop)))
    return accepted


class _ArrayExecutor(submitit.SlurmExecutor):
    """submitit's executor, which also tells its script, and can be made without a cluster."""

    @classmethod
    def affinity(cls) -> int:
        """Always available: whoever submits has looked for Slurm before."""
        return 2

    def script(self, count: int) -> str:
        """The sbatch script that submits ``count`` tasks, exactly as submitit will write it."""
        without = self.parameters
        if count > 1:  # submitit makes a plain job of a single task
            self.parameters = without | {"map_count": count}
        try:
            return str(self._make_submission_file_text(self._submitit_command_str, uid=""))
        finally:
            self.parameters = without


def _executor(layout: SweepLayout, profile: Profile, arrays: int) -> _ArrayExecutor:
    folder = layout.submitit.resolve()
    if "%" in str(folder):
        raise UsageError(
            f"{folder}: Slurm gives '%' in the names of log files a meaning of its own. "
            "Choose an --output directory without it"
        )
    # -P: a job starts where it was submitted, and must not import what happens to lie there
    executor = _ArrayExecutor(folder, python=f"{shlex.quote(sys.executable)} -P")
    executor.update_parameters(**_parameters(layout.name, profile, arrays))
    return executor


def _parameters(name: str, profile: Profile, arrays: int) -> dict[str, Any]:
    """The profile in submitit's terms. None means: no such line in the script."""
    # Arrays run side by side and share the limit, but none can do with less than one task.
    parallelism = max(1, profile.parallelism // max(1, arrays)) if profile.parallelism else None
    return {
        "job_name": name,
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "nodelist": profile.nodelist,
        "exclude": profile.exclude,
        "time": profile.time,
        "ntasks_per_node": 1,
        "gpus_per_node": profile.gpus or None,
        "cpus_per_task": profile.cpus,
        "mem": profile.memory,
        "array_parallelism": parallelism or sys.maxsize,
        "signal_delay_s": SIGNAL_SECONDS,
        "wckey": None,
        "setup": list(_guarded(profile.setup)) or None,
        # since Slurm 22.05 srun does not inherit this from sbatch
        "srun_args": [f"--cpus-per-task={profile.cpus}"],
        "additional_parameters": {k: v for k, v in profile.extra.items() if v is not False},
    }


def _guarded(setup: Sequence[str]) -> Iterator[str]:
    """Each setup line, followed by a check that ends the job if it failed.

    Not `set -e`: it would miss `cd data && . env.sh`, and it breaks scripts that module and conda
    run, which were not written for it.
    """
    for line in setup:
        yield line
        yield f"[ $? -eq 0 ] || {{ echo {shlex.quote(f'setup failed: {line}')} >&2; exit 1; }}"


def _require_slurm() -> None:
    missing = [program for program in ("sbatch", "srun") if shutil.which(program) is None]
    if missing:
        raise UserError(
            f"no {' and no '.join(missing)} here, so nothing can be submitted. Go to a machine of "
            "the cluster (perhaps `module load slurm` first), or run here with --local"
        )


def _ask_max_array_size(profile: Profile) -> int | None:
    """The profile's limit, otherwise the cluster's; None when there is no cluster to ask."""
    if profile.max_array_size is not None:
        return profile.max_array_size
    command = shutil.which("scontrol")
    if command is None:
        return None
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command
            [command, "show", "config"], capture_output=True, text=True, timeout=30, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer.stdout, re.MULTILINE)
    return int(found[1]) if found else None


@contextmanager
def _refusals_explained(
    layout: SweepLayout, profile: Profile, accepted: Sequence[Submission]
) -> Iterator[None]:
    """Turn sbatch's refusal into one message, and remove the files of what was not submitted."""
    before = set(_unsubmitted(layout.submitit))
    try:
        with redirect_stderr(io.StringIO()):  # submitit prints what it then raises
            yield
    except (FailedJobError, FailedSubmissionError, KeyboardInterrupt) as error:
        for path in set(_unsubmitted(layout.submitit)) - before:
            path.unlink(missing_ok=True)
        interrupted = isinstance(error, KeyboardInterrupt)
        message = "interrupted" if interrupted else _explain(str(error), profile)
        if accepted:
            ids = " ".join(each.job_id for each in accepted)
            message += (
                f". Already submitted: {accepted[-1].tasks.stop} tasks as {ids}; "
                f"`scancel {ids}` takes them back"
            )
        raise UserError(message) from None


def _unsubmitted(folder: Path) -> Iterator[Path]:
    """Files that submitit has not yet given the name of a job."""
    name = re.compile(r"[0-9a-f]{32}\.pkl|\.submission_file_[0-9a-f]{32}\.sh")
    return (path for path in folder.glob("*") if name.fullmatch(path.name))


def _explain(refusal: str, profile: Profile) -> str:
    """Say what sbatch said, and which fields of the profile it is about."""
    lines = [re.sub(r"^sbatch: (error: )?", "", line) for line in refusal.splitlines()]
    said = "; ".join(line for line in dict.fromkeys(lines) if line and "--help" not in line)
    message = f"Slurm refused: {said}"
    for word, fields in _REFUSALS.items():
        if word in said.lower():
            given = ", ".join(f"{field} ({getattr(profile, field)!r})" for field in fields)
            return f"{message}. In the cluster profile, look at {given}"
    return message
